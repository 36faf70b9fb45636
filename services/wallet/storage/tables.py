"""All tables of Wallet. Rows of the ledger are only ever added; triggers in the migration see to that."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.db.metadata import created_columns, id_column, schema_metadata, time_column

metadata = schema_metadata("wallet")

accounts = Table(
    "accounts",
    metadata,
    id_column("account_id", primary_key=True),
    id_column("owner_id", nullable=False),
    Column("kind", Text, nullable=False),
    Column("balance", BigInteger, nullable=False, server_default=text("0")),
    # The number of entries of the account, and the hash of the newest one.
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("last_hash", LargeBinary, nullable=False),
    *created_columns(),
    UniqueConstraint("owner_id", "kind"),
    CheckConstraint("kind IN ('user', 'user_held', 'revenue', 'grants', 'adjustments')", name="kind"),
    # Credits come into the world through these accounts, so they alone may be below zero.
    CheckConstraint("balance >= 0 OR kind IN ('grants', 'adjustments')", name="not_overdrawn"),
    CheckConstraint("version > 0 OR balance = 0", name="starts_empty"),
)

transfers = Table(
    "transfers",
    metadata,
    id_column("transfer_id", primary_key=True),
    Column("operation", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    id_column("user_id", nullable=False),
    Column("input_hash", LargeBinary, nullable=False),
    # What the first call answered; every repeat reads it here.
    Column("answer", JSONB, nullable=False),
    Column("description", Text, nullable=False),
    Column("reference_id", Text, nullable=False),
    time_column("create_time"),
    UniqueConstraint("operation", "request_id"),
    CheckConstraint(
        "operation IN ('grant', 'hold', 'settle', 'release', 'expire', 'adjust', 'move')", name="operation"
    ),
)

entries = Table(
    "entries",
    metadata,
    id_column("entry_id", primary_key=True),
    # No foreign keys: the check at the end of each statement proves both references for all its rows at once.
    id_column("account_id", nullable=False),
    Column("version", BigInteger, nullable=False),
    id_column("transfer_id", nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("balance_after", BigInteger, nullable=False),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    time_column("create_time"),
    # Also the order in which an account is paged and its chain is read.
    UniqueConstraint("account_id", "version"),
    CheckConstraint("amount <> 0", name="amount"),
    Index(None, "transfer_id"),
)

holds = Table(
    "holds",
    metadata,
    id_column("hold_id", primary_key=True),
    id_column("user_id", nullable=False),
    Column("price_kind", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("settled", BigInteger, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False),
    # The version of the price that was held.
    Column("price_version", BigInteger, nullable=False, server_default=text("1")),
    # When the credits go back if nobody settles, releases or extends before; the default serves the code before it.
    time_column("expire_time", server_default=text("now() + interval '1 day'")),
    *created_columns(),
    CheckConstraint("state IN ('held', 'settled', 'released', 'expired')", name="state"),
    CheckConstraint("amount > 0 AND settled BETWEEN 0 AND amount", name="amounts"),
    CheckConstraint("state = 'settled' OR settled = 0", name="settled"),
    # What is still open, for reconciliation; small because holds close within minutes.
    Index("ix_holds_open", "user_id", postgresql_where=text("state = 'held'")),
    # What the sweeper looks for.
    Index("ix_holds_due", "expire_time", postgresql_where=text("state = 'held'")),
    # What counts against a quota.
    Index(
        "ix_holds_counted",
        "user_id",
        "price_kind",
        "create_time",
        postgresql_where=text("state IN ('held', 'settled')"),
    ),
)

# Versions of a price are only ever added; the one that holds is the newest that has begun.
prices = Table(
    "prices",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False, server_default=text("1")),
    Column("amount", BigInteger, nullable=False),
    time_column("valid_from", server_default=text("now()")),
    # What is owed for each finished step of a run that its owner cancels.
    Column("steps", JSONB, nullable=False, server_default=text("'{}'")),
    CheckConstraint("amount > 0 AND version > 0", name="amount"),
)

# Versions of a limit are only ever added; the newest holds. No row, or no number in it, means no limit.
quotas = Table(
    "quotas",
    metadata,
    Column("plan", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("limit_runs", BigInteger, nullable=True),
    time_column("create_time"),
    CheckConstraint("plan IN ('free', 'basic', 'premium')", name="plan"),
    CheckConstraint("limit_runs >= 0 AND version > 0", name="limit_runs"),
)

# Who is on another plan than the free one.
members = Table(
    "members",
    metadata,
    id_column("user_id", primary_key=True),
    Column("plan", Text, nullable=False),
    time_column("update_time"),
    CheckConstraint("plan IN ('free', 'basic', 'premium')", name="plan"),
)

# The wallets that are stopped; the audit keeps who did it and when it ended.
freezes = Table(
    "freezes",
    metadata,
    id_column("user_id", primary_key=True),
    Column("reason", Text, nullable=False),
    time_column("freeze_time"),
)

audits = Table(
    "audits",
    metadata,
    id_column("audit_id", primary_key=True),
    Column("action", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("operator_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("input", JSONB, nullable=False),
    Column("input_hash", LargeBinary, nullable=False),
    Column("answer", JSONB, nullable=False),
    time_column("create_time"),
    UniqueConstraint("action", "request_id"),
    Index(None, "subject", "audit_id"),
)

# One row for each night's reconciliation, by which one of many processes is the one to make it.
reconciliations = Table(
    "reconciliations",
    metadata,
    Column("night", Date, primary_key=True),
    time_column("start_time"),
    time_column("finish_time", nullable=True),
    Column("findings", BigInteger, nullable=True),
)

# Whose credits went to whom because two users became one; read by whoever compares holds with jobs, too.
merges = Table(
    "merges",
    metadata,
    id_column("merge_id", primary_key=True),
    id_column("source_id", nullable=False),
    id_column("target_id", nullable=False),
    # What was moved and has not been given back, and in how many moves.
    Column("moved", BigInteger, nullable=False, server_default=text("0")),
    Column("moves", BigInteger, nullable=False, server_default=text("0")),
    time_column("create_time"),
    time_column("undo_time", nullable=True),
    CheckConstraint("moved >= 0 AND moves >= 0", name="moved"),
)
