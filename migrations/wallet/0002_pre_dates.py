"""Give holds a date and a price version, prices and quotas versions, users plans, and administrators an audit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# At once: a hold closes once; until then its date may only move forwards, and nothing else of it can change.
_GUARD_HOLD = """
CREATE OR REPLACE FUNCTION wallet.guard_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state <> 'held' OR (NEW.hold_id, NEW.user_id, NEW.price_kind, NEW.price_version, NEW.amount, NEW.create_time)
     IS DISTINCT FROM (OLD.hold_id, OLD.user_id, OLD.price_kind, OLD.price_version, OLD.amount, OLD.create_time)
     OR NEW.expire_time < OLD.expire_time THEN
    RAISE EXCEPTION 'hold % is closed or would be rewritten', OLD.hold_id
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$
"""

_OLD_GUARD_HOLD = """
CREATE OR REPLACE FUNCTION wallet.guard_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state <> 'held' OR (NEW.hold_id, NEW.user_id, NEW.price_kind, NEW.amount, NEW.create_time)
     IS DISTINCT FROM (OLD.hold_id, OLD.user_id, OLD.price_kind, OLD.amount, OLD.create_time) THEN
    RAISE EXCEPTION 'hold % is closed or would be rewritten', OLD.hold_id
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$
"""

_APPEND_ONLY = ("prices", "quotas", "audits")

# Generous, so that only abuse meets them; an administrator sets what a product wants.
_QUOTAS = """
INSERT INTO wallet.quotas (plan, kind, version, limit_runs, create_time) VALUES
  ('free', 'music', 1, 10000, now()), ('free', 'lyrics', 1, 10000, now()),
  ('basic', 'music', 1, 100000, now()), ('basic', 'lyrics', 1, 100000, now())
"""

_OPERATIONS = "operation IN ('grant', 'hold', 'settle', 'release', 'expire', 'adjust')"
_OLD_OPERATIONS = "operation IN ('grant', 'hold', 'settle', 'release')"
_STATES = "state IN ('held', 'settled', 'released', 'expired')"
_OLD_STATES = "state IN ('held', 'settled', 'released')"

_KINDS = "kind IN ('user', 'user_held', 'revenue', 'grants', 'adjustments')"
_OLD_KINDS = "kind IN ('user', 'user_held', 'revenue', 'grants')"
_NOT_OVERDRAWN = "balance >= 0 OR kind IN ('grants', 'adjustments')"
_OLD_NOT_OVERDRAWN = "balance >= 0 OR kind = 'grants'"

_ADJUSTMENTS = """
INSERT INTO wallet.accounts (account_id, owner_id, kind, last_hash) VALUES
  ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000000', 'adjustments',
   decode(repeat('00', 32), 'hex'))
"""


def upgrade() -> None:
    """Apply this step."""
    _check("accounts", "kind", _KINDS)
    _check("accounts", "not_overdrawn", _NOT_OVERDRAWN)
    op.execute(_ADJUSTMENTS)
    _check("transfers", "operation", _OPERATIONS)
    _date_holds()
    _version_prices()
    _create_quotas()
    _create_audits()
    op.execute(_GUARD_HOLD)
    op.execute(_QUOTAS)
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON wallet.{table}"
            " FOR EACH ROW EXECUTE FUNCTION wallet.refuse_change()"
        )
        op.execute(f"CREATE TRIGGER keep_all BEFORE TRUNCATE ON wallet.{table} EXECUTE FUNCTION wallet.refuse_change()")


def downgrade() -> None:
    """Undo this step; later versions of prices, and what only it can say, are lost."""
    op.execute(_OLD_GUARD_HOLD)
    for table in ("audits", "freezes", "members", "quotas"):
        op.drop_table(table, schema="wallet")
    for name in ("append_only", "keep_all"):
        op.execute(f"DROP TRIGGER {name} ON wallet.prices")
    op.execute("DELETE FROM wallet.prices WHERE version > 1")
    op.drop_constraint("pk_prices", "prices", schema="wallet")
    _check("prices", "amount", "amount > 0", back=True)
    op.drop_column("prices", "version", schema="wallet")
    op.drop_column("prices", "valid_from", schema="wallet")
    op.create_primary_key("pk_prices", "prices", ["kind"], schema="wallet")
    for index in ("ix_holds_due", "ix_holds_counted"):
        op.drop_index(index, "holds", schema="wallet")
    for column in ("expire_time", "price_version"):
        op.drop_column("holds", column, schema="wallet")
    op.execute("ALTER TABLE wallet.accounts DISABLE TRIGGER keep")
    op.execute("DELETE FROM wallet.accounts WHERE kind = 'adjustments' AND version = 0")
    op.execute("ALTER TABLE wallet.accounts ENABLE TRIGGER keep")
    _check("accounts", "kind", _OLD_KINDS, back=True)
    _check("accounts", "not_overdrawn", _OLD_NOT_OVERDRAWN, back=True)
    _check("holds", "state", _OLD_STATES, back=True)
    _check("transfers", "operation", _OLD_OPERATIONS, back=True)


def _check(table: str, name: str, condition: str, *, back: bool = False) -> None:
    """Say anew what a column may hold; the first step named its checks twice over, which ends here."""
    names = f"ck_{table}_ck_{table}_{name}", f"ck_{table}_{name}"
    old, new = reversed(names) if back else names
    op.drop_constraint(op.f(old), table, schema="wallet")
    op.create_check_constraint(op.f(new), table, condition, schema="wallet")


def _time(name: str, **options: object) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, **options)  # type: ignore[arg-type]


def _date_holds() -> None:
    _check("holds", "state", _STATES)
    op.add_column(
        "holds",
        sa.Column("price_version", sa.BigInteger(), nullable=False, server_default=sa.text("1")),
        schema="wallet",
    )
    op.add_column("holds", _time("expire_time", server_default=sa.text("now() + interval '1 day'")), schema="wallet")
    op.create_index(
        "ix_holds_due", "holds", ["expire_time"], schema="wallet", postgresql_where=sa.text("state = 'held'")
    )
    op.create_index(
        "ix_holds_counted",
        "holds",
        ["user_id", "price_kind", "create_time"],
        schema="wallet",
        postgresql_where=sa.text("state IN ('held', 'settled')"),
    )


def _version_prices() -> None:
    op.add_column(
        "prices", sa.Column("version", sa.BigInteger(), nullable=False, server_default=sa.text("1")), schema="wallet"
    )
    # Whoever has the first price has had it for ever.
    op.add_column("prices", _time("valid_from", server_default=sa.text("'-infinity'")), schema="wallet")
    op.execute("UPDATE wallet.prices SET valid_from = '2000-01-01T00:00:00Z'")
    op.alter_column("prices", "valid_from", schema="wallet", server_default=sa.text("now()"))
    op.drop_constraint("pk_prices", "prices", schema="wallet")
    op.create_primary_key("pk_prices", "prices", ["kind", "version"], schema="wallet")
    _check("prices", "amount", "amount > 0 AND version > 0")


def _create_quotas() -> None:
    plan = "plan IN ('free', 'basic', 'premium')"
    op.create_table(
        "quotas",
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("limit_runs", sa.BigInteger(), nullable=True),
        _time("create_time"),
        sa.PrimaryKeyConstraint("plan", "kind", "version", name="pk_quotas"),
        sa.CheckConstraint(plan, name=op.f("ck_quotas_plan")),
        sa.CheckConstraint("limit_runs >= 0 AND version > 0", name=op.f("ck_quotas_limit_runs")),
        schema="wallet",
    )
    op.create_table(
        "members",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        _time("update_time"),
        sa.PrimaryKeyConstraint("user_id", name="pk_members"),
        sa.CheckConstraint(plan, name=op.f("ck_members_plan")),
        schema="wallet",
    )


def _create_audits() -> None:
    op.create_table(
        "freezes",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        _time("freeze_time"),
        sa.PrimaryKeyConstraint("user_id", name="pk_freezes"),
        schema="wallet",
    )
    op.create_table(
        "audits",
        sa.Column("audit_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("operator_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("input", postgresql.JSONB(), nullable=False),
        sa.Column("input_hash", sa.LargeBinary(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        _time("create_time"),
        sa.PrimaryKeyConstraint("audit_id", name="pk_audits"),
        sa.UniqueConstraint("action", "request_id", name="uq_audits_action_request_id"),
        schema="wallet",
    )
    op.create_index("ix_audits_subject_audit_id", "audits", ["subject", "audit_id"], schema="wallet")
