"""Random merges against a model of who should own what: `python -m tests.auth.merges --count 1000 --seed 1`."""

import asyncio
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import click
from sqlalchemy import text

from cadenza.auth.v1 import merge_service_pb2 as pb
from cadenza.auth.v1 import session_service_pb2
from cadenza.wallet.v1 import credit_service_pb2 as wallet_pb
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.auth.domain.merge import Merge, MergeState
from services.auth.storage import merge as storage
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.db.migrate import upgrade
from services.kit.ids import new_id
from services.kit.redis import connect
from services.mesh.postgres import Postgres
from services.mesh.valkey import Valkey
from tests.auth.estates import THINGS, Model, give, open_estates, owners
from tests.auth.house import House, house, said
from tests.conftest import SettableClock

PEOPLE = 12
_SETTLED_S = 120.0
_TOLD_EVERY = 100


class _RealClock(SettableClock):
    """The clock of the machine, by which what failed is offered again."""

    def __call__(self) -> datetime:
        """Return the present."""
        return now()


@dataclass
class _Crowd:
    """People by their id with a token of each; who has become another one, and by which merge."""

    tokens: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)

    def here(self) -> list[str]:
        """Return those who are still themselves."""
        return [user_id for user_id in self.tokens if user_id not in self.gone]


async def run_merges(home: House, db: Database, model: Model, *, merges: int) -> None:
    """Do random things until so many merges were confirmed, comparing with the model after each."""
    crowd, done = _Crowd(), 0
    while done < merges:
        while len(crowd.here()) < PEOPLE:
            await _arrive(home, db, model, crowd)
        what = model.chance.random()
        if what < 0.5:
            source, target = model.chance.sample(crowd.here(), 2)
            await _merge(home, db, model, crowd, source=source, target=target)
            done += 1
            if done % _TOLD_EVERY == 0:
                click.echo(f"{done} merges of {len(model.credits)} people", err=True)
        elif what < 0.65 and crowd.gone:
            await _undo(home, model, crowd)
        elif what < 0.8:
            user_id = model.chance.choice(crowd.here())
            model.things |= dict.fromkeys(await give(db, user_id, model.chance.choice(list(THINGS))), user_id)
        else:
            await _spend(home, model, model.chance.choice(crowd.here()))
        await _compare(db, model)


async def _arrive(home: House, db: Database, model: Model, crowd: _Crowd) -> None:
    device = f"device-{new_id()}"
    login = await _login(home, device)
    crowd.tokens[login.user_id], crowd.devices[login.user_id] = login.access_token, device
    model.credits[login.user_id] = 100
    names = model.chance.choices(list(THINGS), k=model.chance.randrange(6))
    model.things |= dict.fromkeys(await give(db, login.user_id, *names), login.user_id)


async def _login(home: House, device: str) -> session_service_pb2.AnonymousLoginResponse:
    request = session_service_pb2.AnonymousLoginRequest(provider="web", provider_id=device)
    answer: session_service_pb2.AnonymousLoginResponse = await home.sessions.AnonymousLogin(request)
    return answer


async def _merge(home: House, db: Database, model: Model, crowd: _Crowd, *, source: str, target: str) -> None:
    """Let one become another; the offer is written as binding writes it."""
    merge_id, at = new_id(), home.clock()
    offer = Merge(merge_id, target, source, target, MergeState.OFFERED, at + timedelta(minutes=15))
    async with db.transaction() as tx:
        await storage.add(tx, offer, at=at)
    request = pb.ConfirmMergeRequest(merge_id=merge_id)
    # Two at once are one.
    await asyncio.gather(*(home.merges.ConfirmMerge(request, metadata=said(crowd.tokens[target])) for _ in range(2)))
    await _settled(home, crowd.tokens[target], merge_id, pb.Merge.STATE_DONE)
    crowd.gone[source] = merge_id
    model.merge(merge_id, source, target)


async def _undo(home: House, model: Model, crowd: _Crowd) -> None:
    """Undo one of the merges whose target is still itself."""
    for source, merge_id in sorted(crowd.gone.items(), key=lambda _: model.chance.random()):
        target = model.taken[merge_id][1]
        if target in crowd.gone:
            continue
        request = pb.UndoMergeRequest(merge_id=merge_id)
        await home.merges.UndoMerge(request, metadata=said(crowd.tokens[target]))
        await _settled(home, crowd.tokens[target], merge_id, pb.Merge.STATE_UNDONE)
        model.undo(merge_id)
        del crowd.gone[source]
        again = await _login(home, crowd.devices[source])
        assert again.user_id == source
        crowd.tokens[source] = again.access_token
        return


async def _spend(home: House, model: Model, user_id: str) -> None:
    """Let a person buy a song if they can."""
    wallet = CreditServiceStub(home.local.peers("composer").channel("wallet"))
    price = 20
    if model.credits[user_id] < price:
        return
    job_id = new_id()
    held = await wallet.Hold(wallet_pb.HoldRequest(request_id=job_id, user_id=user_id, price_kind="music"))
    await wallet.Settle(wallet_pb.SettleRequest(request_id=f"s:{job_id}", hold_id=job_id))
    model.credits[user_id] -= held.hold.amount_credits
    model.credits["spent"] += held.hold.amount_credits


async def _settled(home: House, token: str, merge_id: str, state: int) -> None:
    async with asyncio.timeout(_SETTLED_S):
        while True:
            request = pb.PreviewMergeRequest(merge_id=merge_id)
            found = await home.merges.PreviewMerge(request, metadata=said(token))
            if found.merge.state == state:
                return
            await asyncio.sleep(0.01)


async def _compare(db: Database, model: Model) -> None:
    """AssertionError when a wallet or the books are not what they should be."""
    async with db.transaction() as tx:
        rows = await tx.execute(text("SELECT owner_id::text, balance FROM wallet.accounts WHERE kind = 'user'"))
        balances = {row[0]: row[1] for row in rows}
        books = (await tx.execute(text("SELECT coalesce(sum(balance), 0) FROM wallet.accounts"))).scalar()
    expected = {user_id: amount for user_id, amount in model.credits.items() if user_id != "spent"}
    assert {user_id: balances[user_id] for user_id in expected} == expected
    assert books == 0


async def _run(database_url: str, redis_url: str, count: int, seed: int) -> None:
    redis, db, began = connect(redis_url), Database(database_url), time.perf_counter()
    async with house(database_url, redis_url, redis, _RealClock()) as home:
        open_estates(home, db, redis)
        model = Model(random.Random(seed))
        await run_merges(home, db, model, merges=count)
        assert await owners(db, list(model.things)) == model.things
    await db.close()
    await redis.aclose()
    people = len([each for each in model.credits if each != "spent"])
    click.echo(
        f"{count} merges of {people} people with {len(model.things)} things in {time.perf_counter() - began:.0f} s: "
        f"every thing is where it should be, and so are {100 * people} credits"
    )


@click.command()
@click.option("--count", default=1000, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(count: int, seed: int) -> None:
    """Merge at random and compare."""
    with tempfile.TemporaryDirectory(prefix="cadenza-merges-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        postgres, valkey = Postgres(Path(folder) / "postgres", durable=False), Valkey(Path(folder) / "valkey")
        try:
            database_url, redis_url = postgres.start(), valkey.start()
            upgrade(database_url)
            asyncio.run(_run(database_url, redis_url, count, seed))
        finally:
            postgres.remove()
            valkey.remove()


if __name__ == "__main__":
    sys.exit(main())
