"""Keep how far files are that come piece by piece, and the bytes that are too few for a part."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "resumable_uploads",
        sa.Column("asset_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("parts_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("parts", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("content_type", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("lock_token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lock_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finish_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("offset_bytes BETWEEN 0 AND size_bytes", name=op.f("ck_resumable_uploads_offset")),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["media.assets.asset_id"], name=op.f("fk_resumable_uploads_asset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("asset_id", name=op.f("pk_resumable_uploads")),
        schema="media",
    )
    op.create_index(
        "ix_resumable_uploads_arrived",
        "resumable_uploads",
        ["asset_id"],
        unique=False,
        schema="media",
        postgresql_where=sa.text("offset_bytes = size_bytes AND finish_time IS NULL"),
    )
    op.create_table(
        "resumable_tails",
        sa.Column("asset_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("start_bytes", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asset_id"],
            ["media.resumable_uploads.asset_id"],
            name=op.f("fk_resumable_tails_asset_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("asset_id", "start_bytes", name=op.f("pk_resumable_tails")),
        schema="media",
    )
    # Sound is packed already: trying to pack it again would only cost time.
    op.execute("ALTER TABLE media.resumable_tails ALTER COLUMN data SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Take this step back; uploads that are not finished are lost."""
    op.drop_table("resumable_tails", schema="media")
    op.drop_index("ix_resumable_uploads_arrived", table_name="resumable_uploads", schema="media")
    op.drop_table("resumable_uploads", schema="media")
