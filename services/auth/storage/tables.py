"""All tables of Auth. No table holds an id of an outside provider or a token in a form that could be used."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

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
    # Set by an operator: no login and no refresh from then on.
    time_column("disable_time", nullable=True),
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
    CheckConstraint("provider IN ('web', 'wechat')", name="provider"),
    Index(None, "user_id"),
)

sessions = Table(
    "sessions",
    metadata,
    id_column("session_id", primary_key=True),
    id_column("user_id", ForeignKey(users.c.user_id), nullable=False),
    id_column("identity_id", ForeignKey(identities.c.identity_id), nullable=False),
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
    # The token that was given in exchange for this one.
    Column("successor_hash", LargeBinary, nullable=True),
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

outbox = outbox_table(metadata)
