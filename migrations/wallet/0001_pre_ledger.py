"""Lay down the ledger: tables, the triggers that guard them, the accounts of the house, the first prices."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The database itself refuses what no correct program does, so that neither a defect nor a hand at a console
# can bend the books unnoticed.
_REFUSE_CHANGE = """
CREATE FUNCTION wallet.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'wallet.% is append-only: % refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'integrity_constraint_violation';
END $$
"""

# At commit: every transfer moves something and sums to zero.
_REQUIRE_BALANCED = """
CREATE FUNCTION wallet.require_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE total numeric; lines bigint;
BEGIN
  SELECT coalesce(sum(amount), 0), count(*) INTO total, lines
    FROM wallet.entries WHERE transfer_id = NEW.transfer_id;
  IF total <> 0 OR lines < 2 THEN
    RAISE EXCEPTION 'transfer % is not balanced: % lines sum to %', NEW.transfer_id, lines, total
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $$
"""

# At commit: every entry continues the one before it and its account has taken it in.
_REQUIRE_CHAINED = """
CREATE FUNCTION wallet.require_chained() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE before_balance bigint := 0; before_hash bytea := decode(repeat('00', 32), 'hex'); taken bigint;
BEGIN
  IF NEW.version > 1 THEN
    SELECT balance_after, hash INTO before_balance, before_hash
      FROM wallet.entries WHERE account_id = NEW.account_id AND version = NEW.version - 1;
  END IF;
  SELECT version INTO taken FROM wallet.accounts WHERE account_id = NEW.account_id;
  IF NEW.version < 1 OR NEW.balance_after IS DISTINCT FROM before_balance + NEW.amount
     OR NEW.previous_hash IS DISTINCT FROM before_hash OR length(NEW.hash) <> 32 OR taken < NEW.version THEN
    RAISE EXCEPTION 'entry % does not continue its account', NEW.entry_id
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $$
"""

# At once: an account keeps its identity and takes one entry at a time.
_GUARD_ACCOUNT = """
CREATE FUNCTION wallet.guard_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.account_id, NEW.owner_id, NEW.kind, NEW.version)
     IS DISTINCT FROM (OLD.account_id, OLD.owner_id, OLD.kind, OLD.version + 1) THEN
    RAISE EXCEPTION 'account % changes only by one entry at a time', OLD.account_id
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$
"""

# At commit: the balance of an account is what its newest entry says.
_REQUIRE_ENTRY = """
CREATE FUNCTION wallet.require_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM wallet.entries WHERE account_id = NEW.account_id AND version = NEW.version
    AND balance_after = NEW.balance AND hash = NEW.last_hash;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'account % has no entry for its balance', NEW.account_id
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $$
"""

# At once: a hold closes once, and nothing but its end can change.
_GUARD_HOLD = """
CREATE FUNCTION wallet.guard_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state <> 'held' OR (NEW.hold_id, NEW.user_id, NEW.price_kind, NEW.amount, NEW.create_time)
     IS DISTINCT FROM (OLD.hold_id, OLD.user_id, OLD.price_kind, OLD.amount, OLD.create_time) THEN
    RAISE EXCEPTION 'hold % is closed or would be rewritten', OLD.hold_id
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$
"""

_TRIGGERS = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON wallet.transfers
  FOR EACH ROW EXECUTE FUNCTION wallet.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON wallet.entries
  FOR EACH ROW EXECUTE FUNCTION wallet.refuse_change();
CREATE TRIGGER keep BEFORE DELETE ON wallet.accounts FOR EACH ROW EXECUTE FUNCTION wallet.refuse_change();
CREATE TRIGGER keep BEFORE DELETE ON wallet.holds FOR EACH ROW EXECUTE FUNCTION wallet.refuse_change();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON wallet.transfers EXECUTE FUNCTION wallet.refuse_change();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON wallet.entries EXECUTE FUNCTION wallet.refuse_change();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON wallet.accounts EXECUTE FUNCTION wallet.refuse_change();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON wallet.holds EXECUTE FUNCTION wallet.refuse_change();
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON wallet.transfers DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wallet.require_balanced();
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON wallet.entries DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wallet.require_balanced();
CREATE CONSTRAINT TRIGGER chained AFTER INSERT ON wallet.entries DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wallet.require_chained();
CREATE TRIGGER guarded BEFORE UPDATE ON wallet.accounts FOR EACH ROW EXECUTE FUNCTION wallet.guard_account();
CREATE CONSTRAINT TRIGGER explained AFTER UPDATE ON wallet.accounts DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wallet.require_entry();
CREATE TRIGGER guarded BEFORE UPDATE ON wallet.holds FOR EACH ROW EXECUTE FUNCTION wallet.guard_hold()
"""

_HOUSE_ACCOUNTS = """
INSERT INTO wallet.accounts (account_id, owner_id, kind, last_hash) VALUES
  ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000000', 'revenue',
   decode(repeat('00', 32), 'hex')),
  ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000000', 'grants',
   decode(repeat('00', 32), 'hex'))
"""

_PRICES = "INSERT INTO wallet.prices (kind, amount) VALUES ('lyrics', 10), ('music', 20)"

_FUNCTIONS = ("refuse_change", "require_balanced", "require_chained", "guard_account", "require_entry", "guard_hold")


def upgrade() -> None:
    """Apply this step."""
    _create_accounts_and_transfers()
    _create_entries()
    _create_holds_and_prices()
    for function in (
        _REFUSE_CHANGE,
        _REQUIRE_BALANCED,
        _REQUIRE_CHAINED,
        _GUARD_ACCOUNT,
        _REQUIRE_ENTRY,
        _GUARD_HOLD,
    ):
        op.execute(function)
    for trigger in _TRIGGERS.split(";"):
        op.execute(trigger)
    op.execute(_HOUSE_ACCOUNTS)
    op.execute(_PRICES)


def downgrade() -> None:
    """Undo this step."""
    for table in ("prices", "holds", "entries", "transfers", "accounts"):
        op.drop_table(table, schema="wallet")
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION wallet.{function}()")


def _id(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Uuid(as_uuid=False), nullable=nullable)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _created() -> tuple[sa.Column[object], sa.Column[object]]:
    now = sa.text("now()")
    return (
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False, server_default=now),
    )


def _create_accounts_and_transfers() -> None:
    op.create_table(
        "accounts",
        _id("account_id"),
        _id("owner_id"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("version", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("last_hash", sa.LargeBinary(), nullable=False),
        *_created(),
        sa.PrimaryKeyConstraint("account_id", name="pk_accounts"),
        sa.UniqueConstraint("owner_id", "kind", name="uq_accounts_owner_id_kind"),
        sa.CheckConstraint("kind IN ('user', 'user_held', 'revenue', 'grants')", name="ck_accounts_kind"),
        sa.CheckConstraint("balance >= 0 OR kind = 'grants'", name="ck_accounts_not_overdrawn"),
        sa.CheckConstraint("version > 0 OR balance = 0", name="ck_accounts_starts_empty"),
        schema="wallet",
    )
    op.create_table(
        "transfers",
        _id("transfer_id"),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        _id("user_id"),
        sa.Column("input_hash", sa.LargeBinary(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("reference_id", sa.Text(), nullable=False),
        _time("create_time"),
        sa.PrimaryKeyConstraint("transfer_id", name="pk_transfers"),
        sa.UniqueConstraint("operation", "request_id", name="uq_transfers_operation_request_id"),
        sa.CheckConstraint("operation IN ('grant', 'hold', 'settle', 'release')", name="ck_transfers_operation"),
        schema="wallet",
    )


def _create_entries() -> None:
    op.create_table(
        "entries",
        _id("entry_id"),
        _id("account_id"),
        sa.Column("version", sa.BigInteger(), nullable=False),
        _id("transfer_id"),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        _time("create_time"),
        sa.PrimaryKeyConstraint("entry_id", name="pk_entries"),
        sa.ForeignKeyConstraint(["account_id"], ["wallet.accounts.account_id"], name="fk_entries_account_id"),
        sa.ForeignKeyConstraint(["transfer_id"], ["wallet.transfers.transfer_id"], name="fk_entries_transfer_id"),
        sa.UniqueConstraint("account_id", "version", name="uq_entries_account_id_version"),
        sa.CheckConstraint("amount <> 0", name="ck_entries_amount"),
        schema="wallet",
    )
    op.create_index("ix_entries_transfer_id", "entries", ["transfer_id"], schema="wallet")


def _create_holds_and_prices() -> None:
    op.create_table(
        "holds",
        _id("hold_id"),
        _id("user_id"),
        sa.Column("price_kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("state", sa.Text(), nullable=False),
        *_created(),
        sa.PrimaryKeyConstraint("hold_id", name="pk_holds"),
        sa.CheckConstraint("state IN ('held', 'settled', 'released')", name="ck_holds_state"),
        sa.CheckConstraint("amount > 0 AND settled BETWEEN 0 AND amount", name="ck_holds_amounts"),
        sa.CheckConstraint("state = 'settled' OR settled = 0", name="ck_holds_settled"),
        schema="wallet",
    )
    op.create_index("ix_holds_open", "holds", ["user_id"], schema="wallet", postgresql_where=sa.text("state = 'held'"))
    op.create_table(
        "prices",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_prices"),
        sa.CheckConstraint("amount > 0", name="ck_prices_amount"),
        schema="wallet",
    )
