"""All tables of Share on one page."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from services.kit.db.metadata import id_column, schema_metadata, time_column
from services.kit.db.ownership import move_tables
from services.share.domain.report import Reason
from services.share.domain.share import State

metadata = schema_metadata("share")

_STATES = ", ".join(f"'{state.value}'" for state in State)

shares = Table(
    "shares",
    metadata,
    id_column("share_id", primary_key=True),
    Column("share_code", Text, nullable=False, unique=True),
    id_column("track_id", nullable=False),
    id_column("user_id", nullable=False),
    Column("state", Text, nullable=False),
    Column("view_count", BigInteger, nullable=False, server_default=text("0")),
    Column("play_count", BigInteger, nullable=False, server_default=text("0")),
    time_column("create_time"),
    time_column("revoke_time", nullable=True),
    Column("listed", Boolean, nullable=False, server_default=text("false")),
    Column("category", Text, nullable=False, server_default=text("''")),
    time_column("expire_time", nullable=True),
    Column("password_hash", Text, nullable=False, server_default=text("''")),
    # The same track keeps its code for its owner, whatever happens to the share.
    UniqueConstraint("user_id", "track_id"),
    CheckConstraint(f"state IN ({_STATES})", name="state"),
    CheckConstraint("(state <> 'active') = (revoke_time IS NOT NULL)", name="revoke_time"),
    CheckConstraint("view_count >= 0", name="view_count"),
    CheckConstraint("play_count >= 0", name="play_count"),
    CheckConstraint("NOT listed OR (state = 'active' AND password_hash = '')", name="listed"),
)
Index("ix_shares_user_id_share_id", shares.c.user_id, shares.c.share_id)
Index("ix_shares_listed", shares.c.share_id, postgresql_where=shares.c.listed)
Index("ix_shares_listed_category", shares.c.category, shares.c.share_id, postgresql_where=shares.c.listed)
Index("ix_shares_played", shares.c.play_count, shares.c.share_id, postgresql_where=shares.c.listed)
Index(
    "ix_shares_played_category",
    shares.c.category,
    shares.c.play_count,
    shares.c.share_id,
    postgresql_where=shares.c.listed,
)

# Wrong passwords of the last minutes. Of an address only a hash is kept, and not for long.
guesses = Table(
    "guesses",
    metadata,
    Column("share_id", ForeignKey(shares.c.share_id, ondelete="CASCADE"), primary_key=True),
    Column("place", Text, primary_key=True),
    Column("wrong", Integer, nullable=False),
    time_column("begin_time"),
    CheckConstraint("wrong >= 0", name="wrong"),
)

# Who has listened lately: a hash that is another one each day, so that nobody can be followed by it.
plays = Table(
    "plays",
    metadata,
    Column("share_id", ForeignKey(shares.c.share_id, ondelete="CASCADE"), primary_key=True),
    Column("listener", Text, primary_key=True),
    time_column("play_time"),
)
Index("ix_plays_play_time", plays.c.play_time)

# What two users that became one had, so that it can be given back.
moves = move_tables(metadata)

_REASONS = ", ".join(f"'{reason.value}'" for reason in Reason)

# Complaints: one for each place that complains about a share, the address itself not among it.
reports = Table(
    "reports",
    metadata,
    Column("share_id", ForeignKey(shares.c.share_id, ondelete="CASCADE"), primary_key=True),
    Column("place", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    time_column("create_time"),
    time_column("decide_time", nullable=True),
    CheckConstraint(f"reason IN ({_REASONS})", name="reason"),
)
Index("ix_reports_open", reports.c.share_id, postgresql_where=reports.c.decide_time.is_(None))

# What is wanted of WeChat for a share, and what it has given.
invitations = Table(
    "invitations",
    metadata,
    Column("share_id", ForeignKey(shares.c.share_id, ondelete="CASCADE"), primary_key=True),
    Column("wants_wxcode", Boolean, nullable=False),
    Column("wants_scheme", Boolean, nullable=False),
    id_column("wxcode_asset_id"),
    Column("scheme_url", Text, nullable=False, server_default=text("''")),
    time_column("scheme_expire_time", nullable=True),
    Column("tries", Integer, nullable=False),
    id_column("making_id", nullable=False),
    time_column("due_time", nullable=True),
)
Index("ix_invitations_due_time", invitations.c.due_time, postgresql_where=invitations.c.due_time.is_not(None))
