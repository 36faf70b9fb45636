"""Planted corruption: a healthy world has no finding, and each way of bending it is found and named.

The world is made once by the real services: jobs of every ending, a frozen wallet, an adjustment, a changed price. Each
corruption changes rows behind all triggers, as a superuser's hand would, and the rows are put back after it; what
changes the triggers themselves gets a copy of the whole database.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from cadenza.composer.v1 import job_service_pb2 as job_pb
from cadenza.composer.v1.bill_service_pb2_grpc import BillServiceStub, add_BillServiceServicer_to_server
from services.composer.rpc.bill import BillRpc
from services.composer.usecases.bill import Bills
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.deadlines import Deadlines
from services.kit.rpc.errors import Errors
from services.kit.rpc.local import LocalMesh
from services.wallet.domain.audit import Action, AdminAct
from services.wallet.domain.credit import Price, TransferKind
from services.wallet.domain.quota import Plan
from services.wallet.domain.reconciliation import FindingKind, Patience
from services.wallet.usecases.admin import Administration
from services.wallet.usecases.credit import Credits
from services.wallet.usecases.merge import Merges
from services.wallet.usecases.reconciliation import Reconciliation
from tests.composer.studio import running
from tests.conftest import _address, _administer, _new_name
from tests.wallet.corruptions import CORRUPTIONS

pytestmark = pytest.mark.timeout(240)

AT_ONCE = Patience(timedelta(0), timedelta(0))


@pytest.fixture(scope="module")
def world(postgres: str, database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of a database in which people have lived, with a second set of all rows beside them."""
    with asyncio.Runner() as runner:
        runner.run(_live(database_url, redis_url, tmp_path_factory.mktemp("world")))
        runner.run(_keep(database_url))
    return str(make_url(database_url).database)


_TABLES = (
    *(f"wallet.{name}" for name in ("accounts", "transfers", "entries", "holds", "prices", "quotas", "members")),
    *(f"wallet.{name}" for name in ("freezes", "audits", "reconciliations", "merges")),
    *(f"composer.{name}" for name in ("jobs", "outbox", "tracks")),
)


async def _keep(database_url: str) -> None:
    """Keep every row for `_put_back`."""
    db = Database(database_url)
    async with db.transaction() as tx:
        await tx.execute(text("CREATE SCHEMA kept"))
        for table in _TABLES:
            await tx.execute(text(f"CREATE TABLE kept.{table.replace('.', '_')} AS TABLE {table}"))
    await db.close()


async def _put_back(db: Database) -> None:
    """Let every row be as it was kept, without a word from any trigger."""
    async with db.transaction() as tx:
        await tx.execute(text("SET LOCAL session_replication_role = replica"))
        for table in _TABLES:
            await tx.execute(text(f"DELETE FROM {table}"))
            await tx.execute(text(f"INSERT INTO {table} TABLE kept.{table.replace('.', '_')}"))


async def _live(database_url: str, redis_url: str, folder: Path) -> None:
    async with running(database_url, redis_url, folder) as studio:
        done = await studio.create()
        await studio.finish(done.job_id)
        stopped = await studio.create()
        await studio.jobs().CancelJob(job_pb.CancelJobRequest(job_id=stopped.job_id), metadata=studio.metadata())
        failed = await studio.create()
        async with studio.db.transaction() as tx:
            await studio.queue.fail(tx, failed.job_id, "GENERATE_PROVIDER_ERROR")
        await studio.charge.dispatcher.drain()
        waiting = await studio.create()
        assert waiting.job_id
        credits_, admin = Credits(studio.db, now, signup_grant_credits=100), Administration(studio.db, now)
        user_id = await studio.new_user()
        act = AdminAct(Action.ADJUST_BALANCE, new_id(), user_id, "boss", "a present", {"amount": 5})
        await credits_.adjust(act, 5)
        await admin.freeze("boss", request_id=new_id(), user_id=user_id, reason="a chargeback")
        await admin.set_plan("boss", request_id=new_id(), user_id=user_id, plan=Plan.BASIC, reason="paid")
        await admin.set_price("boss", request_id=new_id(), price=Price("music", 20), reason="the same again")
        # Two people become one, and two again.
        merges, merge_id = Merges(studio.db, now), new_id()
        one, other = await studio.new_user(), await studio.new_user()
        assert await merges.move(merge_id, source=one, target=other) == (100, 0)
        assert await merges.move(merge_id, source=one, target=other) == (0, 0)
        assert await merges.undo(merge_id, source=one, target=other) == 100
        assert await merges.move(merge_id, source=one, target=other) == (0, 0)


@asynccontextmanager
async def _open(postgres: str, world: str, *statements: str) -> AsyncIterator[tuple[Database, Reconciliation]]:
    """Yield the world, bent by the statements, and what compares it; it is as before afterwards."""
    whole = any(each.startswith(("ALTER", "DROP")) for each in statements)
    name = _new_name("copy") if whole else world
    if whole:
        await asyncio.to_thread(_administer, postgres, f'CREATE DATABASE "{name}" TEMPLATE "{world}"')
    db = Database(_address(postgres, name), pool_size=2, max_overflow=1)
    mesh = LocalMesh()
    composer = Application("composer", [Registered(add_BillServiceServicer_to_server, BillRpc(Bills(db)))])
    mesh.add(composer, (Deadlines, Errors))
    stub = BillServiceStub(mesh.peers("wallet").channel("composer"))
    credits_ = Credits(db, now, signup_grant_credits=100)
    try:
        await _bend(db, *statements)
        yield db, Reconciliation(db, credits_, stub, now, patience=AT_ONCE)
    finally:
        await mesh.drain(0.1)
        if not whole:
            await _put_back(db)
        await db.close()
        if whole:
            await asyncio.to_thread(_administer, postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _bend(db: Database, *statements: str) -> None:
    """Run statements as a superuser who has switched all triggers off for the session."""
    async with db.transaction() as tx:
        await tx.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            done = await tx.execute(text(statement.replace(":", r"\:")))
            assert done.rowcount != 0, statement


async def test_a_healthy_world_has_no_finding(postgres: str, world: str) -> None:
    """After jobs of every ending, adjustments, freezes and price changes nothing differs, without any patience."""
    async with _open(postgres, world) as (_, reconciliation):
        assert await reconciliation.findings() == []


async def test_jobs_that_went_with_their_owner_are_no_difference(postgres: str, world: str) -> None:
    """After two users became one their jobs are the one's, the holds stay where they were made, and that is right."""
    nobody = "'00000000-0000-7000-8000-000000000009'"
    merged = (
        "INSERT INTO wallet.merges (merge_id, source_id, target_id, create_time) "
        f"SELECT gen_random_uuid(), user_id, {nobody}, now() FROM (SELECT DISTINCT user_id FROM wallet.holds) AS h"
    )
    moved = f"UPDATE composer.jobs SET user_id = {nobody} WHERE user_id IS NOT NULL"
    async with _open(postgres, world, moved) as (_, reconciliation):
        assert {each.kind for each in await reconciliation.findings()} == {FindingKind.JOB_OWNER_DIFFERS}
    async with _open(postgres, world, merged, moved) as (_, reconciliation):
        assert await reconciliation.findings() == []


def test_there_are_more_than_fifty_corruptions_and_every_name_is_met() -> None:
    """Fifty and more distinct corruptions are planted, and no kind of finding is without one."""
    distinct = {hashlib.sha256("".join(statements).encode()).digest() for _, statements in CORRUPTIONS.values()}
    assert len(distinct) >= 50
    assert {kind for kind, _ in CORRUPTIONS.values()} == set(FindingKind)


@pytest.mark.parametrize("name", CORRUPTIONS)
async def test_each_corruption_is_found_and_named(postgres: str, world: str, name: str) -> None:
    """One change behind the triggers is found under its own name."""
    kind, statements = CORRUPTIONS[name]
    async with _open(postgres, world, *statements) as (_, reconciliation):
        found = await reconciliation.findings()
        assert kind in {finding.kind for finding in found}, [(each.kind.name, each.facts) for each in found]


@pytest.mark.parametrize(
    ("name", "left", "line"),
    [
        ("job of an open hold deleted", (80, 0), (TransferKind.RELEASE, FindingKind.HOLD_WITHOUT_JOB.value)),
        ("job ended silently", (80, 0), (TransferKind.RELEASE, FindingKind.JOB_ENDED_WITHOUT_MESSAGE.value)),
        ("message marked as delivered", (60, 0), None),
        ("hold overdue", (80, 0), (TransferKind.EXPIRE, "music: the hold expired")),
    ],
)
async def test_what_is_safe_is_repaired_with_an_entry_and_an_audit_line(
    postgres: str, world: str, name: str, left: tuple[int, int], line: tuple[TransferKind, str] | None
) -> None:
    """The hold ends as its job did, once also by two at a time, the entry says why, and the finding is gone."""
    kind, statements = CORRUPTIONS[name]
    async with _open(postgres, world, *statements) as (db, reconciliation):
        async with db.transaction() as tx:
            query = text("SELECT user_id FROM wallet.holds WHERE state = 'held'")
            user_id = str((await tx.execute(query)).scalar_one())
        found = [each for each in await reconciliation.findings() if each.kind is kind]
        done = await asyncio.gather(*(reconciliation.repair(each) for each in found * 2))
        assert any(done)
        assert kind not in {each.kind for each in await reconciliation.findings()}
        credits_ = Credits(db, now, signup_grant_credits=100)
        balance = await credits_.balance(user_id)
        assert (balance.available, balance.held) == left
        if line is not None:
            newest = (await credits_.entries(user_id, page_size=1, page_token="")).entries[0]
            assert (newest.kind, newest.description) == line
        audits, _ = await Administration(db, now).audits(page_size=9, page_token="", subject=user_id)
        assert [(each.action, each.reason) for each in audits] == [(Action.REPAIR, kind.value)]


@pytest.mark.parametrize("name", ["account balance", "hold amount", "message stuck", "job refunded"])
async def test_what_is_not_safe_is_left_alone(postgres: str, world: str, name: str) -> None:
    """A finding without a safe repair is told, and repairing changes nothing at all."""
    kind, statements = CORRUPTIONS[name]
    async with _open(postgres, world, *statements) as (_, reconciliation):
        before = await reconciliation.findings()
        assert [await reconciliation.repair(each) for each in before if each.kind is kind] == [False]
        assert await reconciliation.findings() == before


async def test_two_processes_reconcile_a_night_once(postgres: str, world: str) -> None:
    """Of four that try at the same time one does the night's work; the others, and later ones, do nothing."""
    async with _open(postgres, world, *CORRUPTIONS["job of an open hold deleted"][1]) as (db, reconciliation):
        # Somewhere on earth it is past three in the morning.
        offset = timedelta(hours=4 - now().hour) if now().hour < 3 else timedelta(0)
        tries = await asyncio.gather(*(reconciliation.nightly(offset) for _ in range(4)))
        assert sorted(tries) == [False, False, False, True]
        assert await reconciliation.nightly(offset) is False
        async with db.transaction() as tx:
            rows = (
                await tx.execute(text("SELECT finish_time IS NOT NULL, findings FROM wallet.reconciliations"))
            ).all()
        assert [tuple(row) for row in rows] == [(True, 1)]
        assert await reconciliation.findings() == []
