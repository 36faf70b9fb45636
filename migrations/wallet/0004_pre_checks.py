"""Give every user the house's side of their own transfers, and check the books once per statement.

No two users wait for each other then; the accounts of the house keep what they have and take nothing more. What the
deferred row triggers and the foreign keys of the first step proved for each row is now proved for all rows of a
statement at its end, which is sooner and several times cheaper. The hash of every entry and the emptiness of every new
account are proved too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Users who came before this step get the accounts that everybody has from now on.
_COMPLETE_USERS = """
INSERT INTO wallet.accounts (account_id, owner_id, kind, last_hash)
SELECT gen_random_uuid(), a.owner_id, k.kind, decode(repeat('00', 32), 'hex')
FROM wallet.accounts AS a CROSS JOIN (VALUES ('adjustments'), ('grants'), ('revenue')) AS k (kind)
WHERE a.kind = 'user'
ON CONFLICT (owner_id, kind) DO NOTHING
"""

# SHA-256 over every field of an entry and the hash before it, as the domain's ledger makes it.
_ENTRY_HASH = """
CREATE FUNCTION wallet.entry_hash(previous bytea, entry uuid, account uuid, version bigint, transfer uuid,
                                  amount bigint, balance bigint, at timestamptz)
RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(convert_to(concat_ws(E'\\n', encode(previous, 'hex'), entry, account, version, transfer, amount,
    balance, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')), 'UTF8'))
$$
"""

# At the end of the statement: every entry continues its account, and its transfer was written whole with it.
_CHECK_ENTRIES = """
CREATE FUNCTION wallet.check_entries() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE bad uuid;
BEGIN
  SELECT e.entry_id INTO bad FROM added AS e
    LEFT JOIN wallet.accounts AS a ON a.account_id = e.account_id
    LEFT JOIN wallet.entries AS b ON b.account_id = e.account_id AND b.version = e.version - 1
    WHERE a.version IS NULL OR a.version < e.version OR e.version < 1
      OR (e.version = 1) <> (b.version IS NULL)
      OR e.balance_after <> coalesce(b.balance_after, 0) + e.amount
      OR e.previous_hash <> coalesce(b.hash, decode(repeat('00', 32), 'hex'))
      OR e.hash <> wallet.entry_hash(e.previous_hash, e.entry_id, e.account_id, e.version, e.transfer_id, e.amount,
                                     e.balance_after, e.create_time)
    LIMIT 1;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION 'entry % does not continue its account', bad USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  SELECT t.transfer_id INTO bad FROM (
      SELECT transfer_id, count(*) AS lines, sum(amount) AS total FROM added GROUP BY transfer_id) AS t
    WHERE t.total <> 0 OR t.lines < 2
      OR NOT EXISTS (SELECT FROM wallet.transfers AS w WHERE w.transfer_id = t.transfer_id)
      OR t.lines <> (SELECT count(*) FROM wallet.entries AS e WHERE e.transfer_id = t.transfer_id)
    LIMIT 1;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION 'transfer % is not balanced or not written whole', bad
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $$
"""

# At the end of the statement: no transfer moves nothing.
_CHECK_TRANSFERS = """
CREATE FUNCTION wallet.check_transfers() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE bad uuid;
BEGIN
  SELECT t.transfer_id INTO bad FROM added AS t
    WHERE NOT EXISTS (SELECT FROM wallet.entries AS e WHERE e.transfer_id = t.transfer_id) LIMIT 1;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION 'transfer % has no entries', bad USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $$
"""

# At the end of the statement: the balance of an account is what its newest entry says.
_CHECK_ACCOUNTS = """
CREATE FUNCTION wallet.check_accounts() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE bad uuid;
BEGIN
  SELECT a.account_id INTO bad FROM changed AS a
    WHERE a.version > 0 AND NOT EXISTS (SELECT FROM wallet.entries AS e
      WHERE e.account_id = a.account_id AND e.version = a.version AND e.balance_after = a.balance
        AND e.hash = a.last_hash) LIMIT 1;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION 'account % has no entry for its balance', bad USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $$
"""

# At once: an account starts empty, keeps its identity, and its balance moves only with its version.
_GUARD_ACCOUNT = """
CREATE OR REPLACE FUNCTION wallet.guard_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.version <> 0 OR NEW.last_hash <> decode(repeat('00', 32), 'hex') THEN
      RAISE EXCEPTION 'account % does not start empty', NEW.account_id
        USING ERRCODE = 'integrity_constraint_violation';
    END IF;
  ELSIF (NEW.account_id, NEW.owner_id, NEW.kind) IS DISTINCT FROM (OLD.account_id, OLD.owner_id, OLD.kind)
     OR NEW.version < OLD.version
     OR (NEW.version = OLD.version AND (NEW.balance, NEW.last_hash) IS DISTINCT FROM (OLD.balance, OLD.last_hash)) THEN
    RAISE EXCEPTION 'account % changes only by its entries', OLD.account_id
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$
"""

_TRIGGERS = """
CREATE TRIGGER checked AFTER INSERT ON wallet.entries REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION wallet.check_entries();
CREATE TRIGGER checked AFTER INSERT ON wallet.transfers REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION wallet.check_transfers();
CREATE TRIGGER checked AFTER UPDATE ON wallet.accounts REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION wallet.check_accounts();
CREATE TRIGGER opened BEFORE INSERT ON wallet.accounts FOR EACH ROW EXECUTE FUNCTION wallet.guard_account();
DROP TRIGGER balanced ON wallet.transfers;
DROP TRIGGER balanced ON wallet.entries;
DROP TRIGGER chained ON wallet.entries;
DROP TRIGGER explained ON wallet.accounts
"""

# The functions of the first step stay, so that it can be taken back to.
_OLD_TRIGGERS = """
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON wallet.transfers DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wallet.require_balanced();
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON wallet.entries DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wallet.require_balanced();
CREATE CONSTRAINT TRIGGER chained AFTER INSERT ON wallet.entries DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wallet.require_chained();
CREATE CONSTRAINT TRIGGER explained AFTER UPDATE ON wallet.accounts DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wallet.require_entry();
DROP TRIGGER opened ON wallet.accounts;
DROP TRIGGER checked ON wallet.entries;
DROP TRIGGER checked ON wallet.transfers;
DROP TRIGGER checked ON wallet.accounts
"""

_OLD_GUARD_ACCOUNT = """
CREATE OR REPLACE FUNCTION wallet.guard_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.account_id, NEW.owner_id, NEW.kind, NEW.version)
     IS DISTINCT FROM (OLD.account_id, OLD.owner_id, OLD.kind, OLD.version + 1) THEN
    RAISE EXCEPTION 'account % changes only by one entry at a time', OLD.account_id
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$
"""

_DROP_FUNCTIONS = """
DROP FUNCTION wallet.open_accounts(uuid[]);
DROP FUNCTION wallet.check_entries();
DROP FUNCTION wallet.check_transfers();
DROP FUNCTION wallet.check_accounts();
DROP FUNCTION wallet.entry_hash(bytea, uuid, uuid, bigint, uuid, bigint, bigint, timestamptz)
"""

# Every user has every account from the start, so that no later write has to make one.
_OPEN_ACCOUNTS = """
CREATE FUNCTION wallet.open_accounts(owners uuid[]) RETURNS void LANGUAGE sql
SET enable_seqscan = off AS $$
  INSERT INTO wallet.accounts (account_id, owner_id, kind, last_hash)
  SELECT gen_random_uuid(), o, k.kind, decode(repeat('00', 32), 'hex')
  FROM unnest(owners) AS o
  CROSS JOIN (VALUES (1, 'user'), (2, 'user_held'), (3, 'grants'), (4, 'revenue'), (5, 'adjustments')) AS k (n, kind)
  WHERE NOT EXISTS (SELECT FROM wallet.accounts AS a WHERE a.owner_id = o AND a.kind = 'adjustments')
  ORDER BY o, k.n
  ON CONFLICT (owner_id, kind) DO NOTHING
$$
"""

_NEW = (_ENTRY_HASH, _CHECK_ENTRIES, _CHECK_TRANSFERS, _CHECK_ACCOUNTS, _GUARD_ACCOUNT)


def upgrade() -> None:
    """Apply this step."""
    for name in ("account_id", "transfer_id"):
        op.drop_constraint(f"fk_entries_{name}", "entries", schema="wallet")
    _execute(*_NEW, *_TRIGGERS.split(";"), _COMPLETE_USERS, _OPEN_ACCOUNTS)


def downgrade() -> None:
    """Undo this step."""
    old = (_OLD_TRIGGERS, _DROP_FUNCTIONS)
    _execute(*(statement for several in old for statement in several.split(";")), _OLD_GUARD_ACCOUNT)
    for name, table in (("account_id", "accounts"), ("transfer_id", "transfers")):
        op.create_foreign_key(
            *(f"fk_entries_{name}", "entries", table, [name], [name]), source_schema="wallet", referent_schema="wallet"
        )


def _execute(*statements: str) -> None:
    """Run the statements as they are written: a colon names no parameter in them."""
    for statement in statements:
        op.execute(sa.text(statement.replace(":", r"\:")))
