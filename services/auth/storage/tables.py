"""All tables of Auth. No table holds an id of an outside provider, a code or a token in a form that could be used."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.kit.db.metadata import created_columns, id_column, schema_metadata, time_column
from services.kit.jobs.table import outbox_table

metadata = schema_metadata("auth")

users = Table(
    "users",
    metadata,
    id_column("user_id", primary_key=True),
    Column("display_name", Text, nullable=False, server_default=text("''")),
    # Kept as text, never fetched.
    Column("avatar_url", Text, nullable=False, server_default=text("''")),
    # Carried in access tokens; `admin` opens the administrators' methods.
    Column("roles", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    # What the person logs in by besides mailbox and phone, and the same in small letters, which is what must be unique.
    Column("username", Text, nullable=True),
    Column("username_key", Text, nullable=True),
    # The user that this one has become; nobody logs in as it any more.
    id_column("merged_into", nullable=True),
    # Set by an operator: no login and no refresh from then on.
    time_column("disable_time", nullable=True),
    # When the account is to be erased because its owner wished so, and when it was: then only this row is left of it.
    time_column("erase_time", nullable=True),
    time_column("delete_time", nullable=True),
    *created_columns(),
    UniqueConstraint("username_key"),
    Index(None, "erase_time", postgresql_where=text("erase_time IS NOT NULL")),
)

# What people say of themselves; those who say nothing have no row.
profiles = Table(
    "profiles",
    metadata,
    id_column("user_id", ForeignKey(users.c.user_id, ondelete="CASCADE"), primary_key=True),
    Column("first_name", Text, nullable=False, server_default=text("''")),
    Column("last_name", Text, nullable=False, server_default=text("''")),
    Column("bio", Text, nullable=False, server_default=text("''")),
    Column("time_zone", Text, nullable=False, server_default=text("''")),
    Column("language", Text, nullable=False, server_default=text("''")),
    *created_columns(),
)

passwords = Table(
    "passwords",
    metadata,
    id_column("user_id", ForeignKey(users.c.user_id), primary_key=True),
    # argon2id in its PHC form.
    Column("password_hash", Text, nullable=False),
    *created_columns(),
)

identities = Table(
    "identities",
    metadata,
    id_column("identity_id", primary_key=True),
    id_column("user_id", ForeignKey(users.c.user_id), nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_id_hash", LargeBinary, nullable=False),
    # The provider's own ids, encrypted; empty where the provider is never called about the user.
    Column("sealed_account", Text, nullable=False, server_default=text("''")),
    *created_columns(),
    UniqueConstraint("provider", "provider_id_hash"),
    CheckConstraint("provider IN ('web', 'wechat', 'phone', 'email', 'apple')", name="provider"),
    Index(None, "user_id"),
)

sessions = Table(
    "sessions",
    metadata,
    id_column("session_id", primary_key=True),
    id_column("user_id", ForeignKey(users.c.user_id), nullable=False),
    # Of the way that led in; none once that was taken away.
    id_column("identity_id", ForeignKey(identities.c.identity_id, ondelete="SET NULL"), nullable=True),
    time_column("expire_time"),
    time_column("revoke_time", nullable=True),
    # `logout`, `replay` or `ended` from another session.
    Column("revoke_cause", Text, nullable=False, server_default=text("''")),
    # Where the login or its newest refresh came from, as the client said.
    Column("platform", Text, nullable=False, server_default=text("''")),
    Column("address", Text, nullable=False, server_default=text("''")),
    Column("agent", Text, nullable=False, server_default=text("''")),
    *created_columns(),
    Index(None, "user_id"),
    Index(None, "expire_time"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    id_column("session_id", ForeignKey(sessions.c.session_id, ondelete="CASCADE"), nullable=False),
    time_column("expire_time"),
    time_column("used_time", nullable=True),
    # The token that was given in exchange for this one, and the key with which its owner may ask for it again.
    Column("successor_hash", LargeBinary, nullable=True),
    Column("key_hash", LargeBinary, nullable=True),
    time_column("create_time"),
    Index(None, "session_id"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("public_key", LargeBinary, nullable=False),
    # AES-256-GCM with the id of the encryption key in front.
    Column("sealed_private_key", Text, nullable=False),
    time_column("create_time"),
)

merges = Table(
    "merges",
    metadata,
    id_column("merge_id", primary_key=True),
    id_column("asked_by", nullable=False),
    id_column("source_id", ForeignKey(users.c.user_id), nullable=False),
    id_column("target_id", ForeignKey(users.c.user_id), nullable=False),
    Column("state", Text, nullable=False),
    time_column("offer_expire_time"),
    time_column("confirm_time", nullable=True),
    # The ways to log in that went from the one to the other.
    Column("identity_ids", ARRAY(Uuid(as_uuid=False)), nullable=False, server_default=text("'{}'::uuid[]")),
    *created_columns(),
    CheckConstraint("state IN ('offered', 'running', 'done', 'undoing', 'undone')", name="state"),
    CheckConstraint("source_id <> target_id AND asked_by IN (source_id, target_id)", name="two"),
    # A user becomes another one once, until that is undone.
    Index("uq_merges_gone", "source_id", unique=True, postgresql_where=text("state IN ('running', 'done')")),
    Index(None, "target_id", "confirm_time"),
)

# Failures of one account or network address, named by keyed hashes; names without an account have their line too.
guards = Table(
    "guards",
    metadata,
    Column("guard_hash", LargeBinary, primary_key=True),
    Column("failure_count", Integer, nullable=False),
    time_column("first_time", nullable=True),
    Column("lock_count", Integer, nullable=False),
    time_column("locked_until_time", nullable=True),
    time_column("update_time"),
    Index(None, "update_time"),
)

codes = Table(
    "codes",
    metadata,
    id_column("code_id", primary_key=True),
    Column("purpose", Text, nullable=False),
    # Keyed hashes: the target, the code with all it is bound to, and the address that asked for it.
    Column("target_hash", LargeBinary, nullable=False),
    Column("code_hash", LargeBinary, nullable=False),
    Column("address_hash", LargeBinary, nullable=False),
    Column("try_count", Integer, nullable=False, server_default=text("0")),
    time_column("expire_time"),
    time_column("used_time", nullable=True),
    time_column("create_time"),
    Index(None, "target_hash", "create_time"),
    Index(None, "address_hash", "create_time"),
    Index(None, "create_time"),
)

# What was handed to a carrier or is to be: the delivery log.
messages = Table(
    "messages",
    metadata,
    id_column("message_id", primary_key=True),
    # Nobody's while it is not known whether the target has an account.
    id_column("user_id", nullable=True),
    Column("channel", Text, nullable=False),
    Column("kind", Text, nullable=False),
    # Where to and what with, encrypted; emptied when the message is done with.
    Column("sealed_content", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    # The public reason and the carrier's own word of a failure; the carrier's id of a success.
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("cause", Text, nullable=False, server_default=text("''")),
    Column("carrier_id", Text, nullable=False, server_default=text("''")),
    time_column("expire_time"),
    *created_columns(),
    CheckConstraint("state IN ('pending', 'sending', 'sent', 'failed')", name="state"),
    Index(None, "create_time"),
)

logins = Table(
    "logins",
    metadata,
    id_column("login_id", primary_key=True),
    # Empty when the name has no account.
    id_column("user_id", ForeignKey(users.c.user_id), nullable=True),
    Column("provider", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    time_column("create_time"),
    Index(None, "user_id", "login_id"),
    Index(None, "create_time"),
)

notifications = Table(
    "notifications",
    metadata,
    id_column("notification_id", primary_key=True),
    id_column("user_id", ForeignKey(users.c.user_id, ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    # What fills the gaps of its words, by name.
    Column("facts", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    # The track of a song, which is told of once.
    id_column("subject_id", nullable=True),
    time_column("read_time", nullable=True),
    # False for what the person wishes not to find there; the row then only says that it was told.
    Column("shown", Boolean, nullable=False, server_default=text("true")),
    time_column("create_time"),
    Index(None, "user_id", "notification_id"),
    Index(None, "create_time"),
    UniqueConstraint("user_id", "kind", "subject_id"),
)

notification_preferences = Table(
    "notification_preferences",
    metadata,
    id_column("user_id", ForeignKey(users.c.user_id, ondelete="CASCADE"), primary_key=True),
    Column("songs_in_inbox", Boolean, nullable=False, server_default=text("true")),
    Column("songs_by_mail", Boolean, nullable=False, server_default=text("false")),
    *created_columns(),
)

outbox = outbox_table(metadata)
