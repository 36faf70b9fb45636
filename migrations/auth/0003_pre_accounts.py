"""Lay down names, passwords, guards, codes, messages and the login log; open the doors of phone, mailbox and Apple."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NONE = sa.text("''")
_ZERO = sa.text("0")
_NOW = sa.text("now()")
# The first step named it without saying that the name was whole.
_FIRST_NAME = "ck_identities_ck_identities_provider"


def upgrade() -> None:
    """Apply this step."""
    op.add_column("users", sa.Column("username", sa.Text(), nullable=True), schema="auth")
    op.add_column("users", sa.Column("username_key", sa.Text(), nullable=True), schema="auth")
    op.create_unique_constraint("uq_users_username_key", "users", ["username_key"], schema="auth")
    op.drop_constraint(op.f(_FIRST_NAME), "identities", schema="auth")
    doors = "provider IN ('web', 'wechat', 'phone', 'email', 'apple')"
    op.create_check_constraint(op.f("ck_identities_provider"), "identities", doors, schema="auth")
    _create_passwords_and_guards()
    _create_codes()
    _create_messages()
    _create_logins()


def downgrade() -> None:
    """Undo this step."""
    for table in ("logins", "messages", "codes", "guards", "passwords"):
        op.drop_table(table, schema="auth")
    op.drop_constraint(op.f("ck_identities_provider"), "identities", schema="auth")
    op.create_check_constraint(op.f(_FIRST_NAME), "identities", "provider IN ('web', 'wechat')", schema="auth")
    op.drop_constraint("uq_users_username_key", "users", schema="auth")
    op.drop_column("users", "username_key", schema="auth")
    op.drop_column("users", "username", schema="auth")


def _create_passwords_and_guards() -> None:
    op.create_table(
        "passwords",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["auth.users.user_id"], name="fk_passwords_user_id"),
        sa.PrimaryKeyConstraint("user_id", name="pk_passwords"),
        schema="auth",
    )
    op.create_table(
        "guards",
        sa.Column("guard_hash", sa.LargeBinary(), nullable=False),
        sa.Column("failure_count", sa.Integer(), nullable=False),
        sa.Column("first_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lock_count", sa.Integer(), nullable=False),
        sa.Column("locked_until_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("guard_hash", name="pk_guards"),
        schema="auth",
    )
    op.create_index("ix_guards_update_time", "guards", ["update_time"], unique=False, schema="auth")


def _create_codes() -> None:
    op.create_table(
        "codes",
        sa.Column("code_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("target_hash", sa.LargeBinary(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("try_count", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code_id", name="pk_codes"),
        schema="auth",
    )
    for columns in (["target_hash", "create_time"], ["address_hash", "create_time"], ["create_time"]):
        op.create_index(f"ix_codes_{'_'.join(columns)}", "codes", columns, unique=False, schema="auth")


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("message_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sealed_content", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=_ZERO, nullable=False),
        sa.Column("reason", sa.Text(), server_default=_NONE, nullable=False),
        sa.Column("cause", sa.Text(), server_default=_NONE, nullable=False),
        sa.Column("carrier_id", sa.Text(), server_default=_NONE, nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.CheckConstraint("state IN ('pending', 'sending', 'sent', 'failed')", name=op.f("ck_messages_state")),
        sa.PrimaryKeyConstraint("message_id", name="pk_messages"),
        schema="auth",
    )
    op.create_index("ix_messages_create_time", "messages", ["create_time"], unique=False, schema="auth")


def _create_logins() -> None:
    op.create_table(
        "logins",
        sa.Column("login_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["auth.users.user_id"], name="fk_logins_user_id"),
        sa.PrimaryKeyConstraint("login_id", name="pk_logins"),
        schema="auth",
    )
    op.create_index("ix_logins_user_id_login_id", "logins", ["user_id", "login_id"], unique=False, schema="auth")
    op.create_index("ix_logins_create_time", "logins", ["create_time"], unique=False, schema="auth")
