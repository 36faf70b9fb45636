"""Holds with their settlements: many accounts and one hot account, against pgbench running the same statement.

Both sides use a server of their own that flushes every commit to the disk, the same function in it and the same number
of connections. pgbench is C and waits for each answer; ours is the whole use case with its queue, and in a second row
the whole call: another process asks Wallet over gRPC with mutual TLS.
"""

import asyncio
import re
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from cadenza.wallet.v1 import credit_service_pb2 as pb
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.db.migrate import upgrade
from services.kit.ids import new_id
from services.mesh.account import CLEAN_ENVIRONMENT
from services.mesh.postgres import Postgres, programs
from services.wallet.domain.credit import Operation, TransferKind, fingerprint
from services.wallet.storage.perform import Write, perform
from services.wallet.usecases.credit import Credits
from tests.bench.rounds import Figures, Row, Side, Trial, median
from tests.bench.wallet_process import wallet_process

if TYPE_CHECKING:
    from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceAsyncStub

ACCOUNTS = 1_000
CONNECTIONS = 4
CALLERS = 64
SECONDS = 3
_CALL_S = 30.0
_FORTUNE = 10**12
_GRANTS_AT_ONCE = 100
_PAIRS = re.compile(r"number of transactions actually processed: (\d+)")

# One transaction of pgbench is a hold and the settlement of it; the job's id is made of a random number.
_SCRIPT = """
\\set u random(1, :accounts)
\\set j random(1, 9000000000000000)
SELECT outcome FROM wallet.perform(ARRAY['hold'], ARRAY[wallet_bench.job(:j)::text], ARRAY['\\x00'::bytea],
  ARRAY[wallet_bench.person(:u)], ARRAY[wallet_bench.job(:j)], ARRAY[NULL::bigint], ARRAY['lyrics'], ARRAY[0::bigint],
  ARRAY[now() + interval '1 day'], ARRAY['hold'], ARRAY[''], ARRAY[gen_random_uuid()],
  ARRAY[gen_random_uuid(), gen_random_uuid(), gen_random_uuid()], now(), now());
SELECT outcome FROM wallet.perform(ARRAY['settle'], ARRAY['s' || wallet_bench.job(:j)::text], ARRAY['\\x00'::bytea],
  ARRAY[NULL::uuid], ARRAY[wallet_bench.job(:j)], ARRAY[NULL::bigint], ARRAY[NULL::text], ARRAY[0::bigint],
  ARRAY[NULL::timestamptz], ARRAY['settle'], ARRAY[''], ARRAY[gen_random_uuid()],
  ARRAY[gen_random_uuid(), gen_random_uuid(), gen_random_uuid()], now(), now());
"""
_HELP = (
    "CREATE SCHEMA wallet_bench",
    (
        "CREATE FUNCTION wallet_bench.job(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS"
        " $$ SELECT ('00000000-0000-7000-8' || lpad(to_hex(n >> 48), 3, '0') || '-'"
        " || lpad(to_hex(n & 281474976710655), 12, '0'))::uuid $$"
    ),
    (
        "CREATE FUNCTION wallet_bench.person(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS"
        " $$ SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$"
    ),
)


async def measure(trial: Trial) -> list[Row]:
    """Return the rows; milliseconds are of wall time for one hold with its settlement."""
    async with furnished(trial.folder / "postgres") as (url, db):
        credits_ = Credits(db, now, signup_grant_credits=1)
        script = trial.folder / "pair.sql"
        script.write_text(_SCRIPT)
        many = await trial.in_turn(_ours(_used(credits_), ACCOUNTS), _pgbench(url, script, ACCOUNTS))
        hot = await trial.in_turn(_ours(_used(credits_), 1), _pgbench(url, script, 1))
        async with wallet_process(trial.folder, url) as stub:
            called = await trial.in_turn(_ours(_called(stub), ACCOUNTS), _pgbench(url, script, ACCOUNTS))
    return [
        _row("hold and settle, 1,000 accounts", many.ours["ms"], many.reference["ms"]),
        _row("the same as two calls by gRPC with mutual TLS", called.ours["ms"], called.reference["ms"]),
        _row("hold and settle, one hot account", hot.ours["ms"], hot.reference["ms"]),
    ]


def _row(figure: str, ours: tuple[float, ...], reference: tuple[float, ...]) -> Row:
    share = median(reference) / median(ours)
    return Row(
        *("wallet", figure, "ms", f"pgbench, the same statement, {CONNECTIONS} connections"),
        *(ours, reference),
        note=f"{1e3 / median(ours):.0f} pairs a second, {share:.2f} times pgbench; {CALLERS} callers",
    )


@asynccontextmanager
async def furnished(folder: Path) -> AsyncIterator[tuple[str, Database]]:
    """Yield a durable server with a thousand rich people on a plan without limits."""
    server = Postgres(folder)
    url = await asyncio.to_thread(server.start)
    db = Database(url, prepared_size=CONNECTIONS)
    try:
        await asyncio.to_thread(upgrade, url)
        for statement in _HELP:
            await db.prepared.fetch(statement)
        people = [person(number) for number in range(1, ACCOUNTS + 1)]
        for first in range(0, ACCOUNTS, _GRANTS_AT_ONCE):
            grants = [_grant(user_id) for user_id in people[first : first + _GRANTS_AT_ONCE]]
            await perform(db, grants, at=now(), day_start=now())
        await db.prepared.fetch(
            "INSERT INTO wallet.members SELECT owner_id, 'premium', now() FROM wallet.accounts WHERE kind = 'user'"
        )
        # Of what has rows: a table that was found empty is planned for as if it stayed so.
        for table in ("accounts", "entries", "members", "transfers"):
            await db.prepared.fetch(f"ANALYZE wallet.{table}")
        yield url, db
    finally:
        await db.close()
        await asyncio.to_thread(server.remove)


def person(number: int) -> str:
    """Return the id of one of the rich."""
    return f"00000000-0000-4000-8000-{number:012x}"


def _grant(user_id: str) -> Write:
    return Write(
        operation=Operation.GRANT,
        request_id=user_id,
        input_hash=fingerprint(Operation.GRANT, user_id=user_id),
        kind=TransferKind.SIGNUP_GRANT,
        user_id=user_id,
        amount=_FORTUNE,
        description="bench",
    )


Pair = Callable[[str, str], Awaitable[None]]
"""Holds for a job of a person and settles it."""


def _used(credits_: Credits) -> Pair:
    """Return the pair as the use case does it."""

    async def pair(job: str, user_id: str) -> None:
        await credits_.hold(request_id=job, user_id=user_id, price_kind="lyrics")
        await credits_.settle(request_id="s" + job, hold_id=job, amount=None)

    return pair


def _called(stub: "CreditServiceAsyncStub") -> Pair:
    """Return the pair as another service calls for it."""

    async def pair(job: str, user_id: str) -> None:
        hold = pb.HoldRequest(request_id=job, user_id=user_id, price_kind="lyrics")
        await stub.Hold(hold, timeout=_CALL_S)
        await stub.Settle(pb.SettleRequest(request_id="s" + job, hold_id=job), timeout=_CALL_S)

    return pair


def _ours(pair: Pair, accounts: int) -> Side:
    """Return our side: callers that each wait for their own answers."""

    async def side() -> Figures:
        people = cycle(range(1, accounts + 1))
        until, pairs = time.monotonic() + SECONDS, 0
        began = time.monotonic()

        async def call() -> None:
            nonlocal pairs
            while time.monotonic() < until:
                await pair(new_id(), person(next(people)))
                pairs += 1

        await asyncio.gather(*(call() for _ in range(CALLERS)))
        return {"ms": (time.monotonic() - began) / pairs * 1e3}

    return side


def _pgbench(url: str, script: Path, accounts: int) -> Callable[[], Awaitable[Figures]]:
    """Return the side of pgbench, prepared statements, as many connections as ours."""
    program = programs() / "pgbench"

    def run() -> Figures:
        command = [str(program), "--no-vacuum", "--protocol=prepared", f"--client={CONNECTIONS}", "--jobs=1"]
        command += [f"--time={SECONDS}", f"--define=accounts={accounts}", f"--file={script}", url]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=CLEAN_ENVIRONMENT, timeout=120)
        found = _PAIRS.search(done.stdout)
        assert found is not None, done.stdout
        return {"ms": SECONDS / int(found[1]) * 1e3}

    async def side() -> Figures:
        return await asyncio.to_thread(run)

    return side
