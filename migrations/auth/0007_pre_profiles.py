"""Let people say who they are, be told what happened, and go."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NOW = sa.text("now()")
_EMPTY = sa.text("''")


def _times() -> list[sa.Column[object]]:
    return [
        sa.Column(name, sa.DateTime(timezone=True), server_default=_NOW, nullable=False)
        for name in ("create_time", "update_time")
    ]


def upgrade() -> None:
    """Apply this step."""
    for name in ("erase_time", "delete_time"):
        op.add_column("users", sa.Column(name, sa.DateTime(timezone=True), nullable=True), schema="auth")
    op.create_index(
        "ix_users_erase_time",
        "users",
        ["erase_time"],
        schema="auth",
        postgresql_where=sa.text("erase_time IS NOT NULL"),
    )
    op.create_table(
        "profiles",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        *(
            sa.Column(name, sa.Text(), server_default=_EMPTY, nullable=False)
            for name in ("first_name", "last_name", "bio", "time_zone", "language")
        ),
        *_times(),
        sa.ForeignKeyConstraint(["user_id"], ["auth.users.user_id"], name="fk_profiles_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name="pk_profiles"),
        schema="auth",
    )
    op.create_table(
        "notifications",
        sa.Column("notification_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("subject_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("read_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("shown", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["auth.users.user_id"], name="fk_notifications_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("notification_id", name="pk_notifications"),
        sa.UniqueConstraint("user_id", "kind", "subject_id", name="uq_notifications_user_id_kind_subject_id"),
        schema="auth",
    )
    op.create_index(
        "ix_notifications_user_id_notification_id", "notifications", ["user_id", "notification_id"], schema="auth"
    )
    op.create_index("ix_notifications_create_time", "notifications", ["create_time"], schema="auth")
    op.create_table(
        "notification_preferences",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("songs_in_inbox", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("songs_by_mail", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        *_times(),
        sa.ForeignKeyConstraint(
            ["user_id"], ["auth.users.user_id"], name="fk_notification_preferences_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_notification_preferences"),
        schema="auth",
    )


def downgrade() -> None:
    """Undo this step; what people said of themselves and were told is gone."""
    for name in ("notification_preferences", "notifications", "profiles"):
        op.drop_table(name, schema="auth")
    op.drop_index("ix_users_erase_time", "users", schema="auth")
    for name in ("delete_time", "erase_time"):
        op.drop_column("users", name, schema="auth")
