"""What the database itself refuses, whoever asks: the books cannot be bent by a defect or by hand."""

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.kit.db.engine import Database
from services.kit.db.migrate import check
from services.kit.ids import new_id
from services.wallet.domain import credit
from services.wallet.domain.credit import AccountKind
from services.wallet.domain.ledger import first_broken
from services.wallet.storage import credit as storage
from services.wallet.usecases.credit import Credits
from tests.conftest import SettableClock

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def user_id(db: Database, clock: SettableClock) -> str:
    """Return a user with a grant, an open hold and a closed one."""
    credits_, user_id = Credits(db, clock, signup_grant_credits=100), new_id()
    await credits_.grant_signup(request_id=user_id, user_id=user_id)
    for job_id in (first := new_id(), new_id()):
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
    await credits_.settle(request_id=first, hold_id=first, amount=None)
    return user_id


_MINE = "(SELECT account_id FROM wallet.accounts WHERE owner_id = CAST(:user AS uuid) AND kind = 'user')"
_ENTRY = (
    "INSERT INTO wallet.entries SELECT CAST(:id AS uuid), account_id, version + 1, {transfer}, {amount},"
    " balance_after + {amount}, hash, hash, now() FROM wallet.entries WHERE account_id = @mine"
    " ORDER BY version DESC LIMIT 1"
)
_ACCOUNT = (
    "INSERT INTO wallet.accounts (account_id, owner_id, kind, balance, last_hash)"
    " VALUES (CAST(:id AS uuid), {owner}, 'user', {balance}, '')"
)
_TRANSFER = (
    "INSERT INTO wallet.transfers VALUES (CAST(:id AS uuid), 'grant', CAST(:id AS text), 'signup_grant',"
    " CAST(:user AS uuid), '', '{}', '', '', now())"
)


async def _run(db: Database, user_id: str, statements: list[str]) -> None:
    """Run the statements in one transaction with the user and one new id."""
    values = {"user": user_id, "id": new_id()}
    async with db.transaction() as tx:
        for statement in statements:
            whole = statement.replace("@mine", _MINE)
            await tx.execute(text(whole), {name: values[name] for name in values if f":{name}" in whole})


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE wallet.entries SET amount = amount + 1 WHERE account_id = @mine"],
        ["UPDATE wallet.entries SET create_time = now() WHERE account_id = @mine"],
        ["DELETE FROM wallet.entries WHERE account_id = @mine"],
        ["TRUNCATE wallet.entries"],
        ["UPDATE wallet.transfers SET answer = '{}' WHERE user_id = CAST(:user AS uuid)"],
        ["DELETE FROM wallet.transfers WHERE user_id = CAST(:user AS uuid)"],
        ["TRUNCATE wallet.transfers, wallet.entries"],
        ["UPDATE wallet.accounts SET balance = balance + 1 WHERE account_id = @mine"],
        ["UPDATE wallet.accounts SET balance = balance + 1, version = version + 1 WHERE account_id = @mine"],
        ["UPDATE wallet.accounts SET balance = -1, version = version + 1 WHERE account_id = @mine"],
        ["UPDATE wallet.accounts SET owner_id = CAST(:id AS uuid) WHERE account_id = @mine"],
        ["DELETE FROM wallet.accounts WHERE account_id = @mine"],
        ["TRUNCATE wallet.accounts CASCADE"],
        [_ACCOUNT.format(owner="CAST(:id AS uuid)", balance=5)],
        [_ACCOUNT.format(owner="CAST(:user AS uuid)", balance=0)],
        ["UPDATE wallet.holds SET amount = 1 WHERE user_id = CAST(:user AS uuid) AND state = 'held'"],
        ["UPDATE wallet.holds SET state = 'held', settled = 0 WHERE user_id = CAST(:user AS uuid)"],
        ["DELETE FROM wallet.holds WHERE user_id = CAST(:user AS uuid)"],
        ["TRUNCATE wallet.holds"],
        # A transfer without lines, with one line, and a line added to a transfer of long ago.
        [_TRANSFER],
        [_TRANSFER, _ENTRY.format(transfer="CAST(:id AS uuid)", amount=5)],
        [_ENTRY.format(transfer="transfer_id", amount=5)],
        [_TRANSFER, _ENTRY.format(transfer="CAST(:id AS uuid)", amount=0)],
    ],
)
async def test_the_database_refuses_to_bend_the_books(db: Database, user_id: str, statements: list[str]) -> None:
    """Each way of changing what is written, or of adding what does not balance, fails and leaves the balance."""
    with pytest.raises(IntegrityError):
        await _run(db, user_id, statements)
    async with db.transaction() as tx:
        balance = await storage.get_balance(tx, user_id)
    assert (balance.available, balance.held) == (60, 20)


async def test_a_fault_between_the_lines_leaves_nothing(db: Database, clock: SettableClock) -> None:
    """When the write of the last line fails neither balance nor transfer nor hold is there."""
    credits_, user_id, job_id = Credits(db, clock, signup_grant_credits=100), new_id(), new_id()
    await credits_.grant_signup(request_id=user_id, user_id=user_id)
    async with db.transaction() as tx:
        # The only way to make one line fail without touching the code: its account may not hold more.
        await tx.execute(
            text(
                "ALTER TABLE wallet.accounts ADD CONSTRAINT ck_test CHECK"
                f" (kind <> 'user_held' OR owner_id <> '{user_id}' OR balance = 0)"
            )
        )
    with pytest.raises(asyncpg.CheckViolationError):
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
    async with db.transaction() as tx:
        await tx.execute(text("ALTER TABLE wallet.accounts DROP CONSTRAINT ck_test"))
        assert (await storage.get_balance(tx, user_id)).available == 100
        assert await storage.lock_hold(tx, job_id) is None
        assert await storage.find_earlier(tx, credit.Operation.HOLD, job_id) is None


async def test_a_line_changed_behind_the_triggers_is_found(db: Database, user_id: str) -> None:
    """Whoever switches the triggers off and changes an amount is found by the chain."""
    async with db.transaction() as tx:
        account = (await storage.lock_accounts(tx, user_id))[AccountKind.USER]
        assert first_broken(await storage.read_chain(tx, account.account_id)) is None
        await tx.execute(text("ALTER TABLE wallet.entries DISABLE TRIGGER append_only"))
        await tx.execute(
            text(
                "UPDATE wallet.entries SET amount = -19, balance_after = 81"
                " WHERE account_id = CAST(:account AS uuid) AND version = 2"
            ),
            {"account": account.account_id},
        )
        await tx.execute(text("ALTER TABLE wallet.entries ENABLE TRIGGER append_only"))
        broken = first_broken(await storage.read_chain(tx, account.account_id))
        await tx.rollback()
    assert broken is not None
    assert broken.version == 2


def test_migration_and_tables_agree(database_url: str) -> None:
    """Autogenerate finds nothing to add to the history."""
    assert check(database_url, "wallet") == []
