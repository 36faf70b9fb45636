"""Keep the outline and loudness of sounds, and the sizes and variants of pictures."""

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
        "waveforms",
        sa.Column("asset_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("sample_rate_hz", sa.Integer(), nullable=False),
        sa.Column("samples_per_pixel", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("loudness_lufs", sa.Double(), nullable=False),
        sa.Column("true_peak_dbtp", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["media.assets.asset_id"], name=op.f("fk_waveforms_asset_id_assets"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("asset_id", name=op.f("pk_waveforms")),
        schema="media",
    )
    op.create_table(
        "images",
        sa.Column("asset_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("width_px", sa.Integer(), nullable=False),
        sa.Column("height_px", sa.Integer(), nullable=False),
        sa.Column("variants", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["media.assets.asset_id"], name=op.f("fk_images_asset_id_assets"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("asset_id", name=op.f("pk_images")),
        schema="media",
    )


def downgrade() -> None:
    """Take this step back."""
    op.drop_table("images", schema="media")
    op.drop_table("waveforms", schema="media")
