"""Exports: the wav and the stems of a variant, made when somebody wants them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "exports",
        sa.Column("export_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("track_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("variant_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("wav_asset_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("stems_asset_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("stems", postgresql.JSONB(), nullable=False),
        sa.Column("error_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('generating', 'ready', 'failed')", name=op.f("ck_exports_state")),
        sa.ForeignKeyConstraint(
            ["track_id"], ["composer.tracks.track_id"], name=op.f("fk_exports_track_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("export_id", name=op.f("pk_exports")),
        sa.UniqueConstraint("job_id", name=op.f("uq_exports_job_id")),
        sa.UniqueConstraint("variant_id", name=op.f("uq_exports_variant_id")),
        schema="composer",
    )
    op.create_index("ix_exports_user_id", "exports", ["user_id"], unique=False, schema="composer")
    op.create_index("ix_exports_track_id", "exports", ["track_id"], unique=False, schema="composer")


def downgrade() -> None:
    """Take this step back."""
    op.drop_table("exports", schema="composer")
