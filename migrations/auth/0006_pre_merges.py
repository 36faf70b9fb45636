"""Let two users become one."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NOW = sa.text("now()")


def upgrade() -> None:
    """Apply this step."""
    op.add_column("users", sa.Column("merged_into", sa.Uuid(as_uuid=False), nullable=True), schema="auth")
    op.create_table(
        "merges",
        sa.Column("merge_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("asked_by", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("source_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("target_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("offer_expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirm_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "identity_ids",
            postgresql.ARRAY(sa.Uuid(as_uuid=False)),
            server_default=sa.text("'{}'::uuid[]"),
            nullable=False,
        ),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.CheckConstraint(
            "state IN ('offered', 'running', 'done', 'undoing', 'undone')", name=op.f("ck_merges_state")
        ),
        sa.CheckConstraint("source_id <> target_id AND asked_by IN (source_id, target_id)", name=op.f("ck_merges_two")),
        sa.ForeignKeyConstraint(["source_id"], ["auth.users.user_id"], name="fk_merges_source_id"),
        sa.ForeignKeyConstraint(["target_id"], ["auth.users.user_id"], name="fk_merges_target_id"),
        sa.PrimaryKeyConstraint("merge_id", name="pk_merges"),
        schema="auth",
    )
    op.create_index(
        "uq_merges_gone",
        "merges",
        ["source_id"],
        unique=True,
        schema="auth",
        postgresql_where=sa.text("state IN ('running', 'done')"),
    )
    op.create_index(
        "ix_merges_target_id_confirm_time", "merges", ["target_id", "confirm_time"], unique=False, schema="auth"
    )


def downgrade() -> None:
    """Undo this step; merges can no longer be undone."""
    op.drop_table("merges", schema="auth")
    op.drop_column("users", "merged_into", schema="auth")
