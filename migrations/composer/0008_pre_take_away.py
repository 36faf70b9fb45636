"""Keep with a variant what it can be taken away as, and what it was made of."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TEXTS = ("chord_sheet", "mp3_sha256")


def upgrade() -> None:
    """Apply this step."""
    op.add_column("variants", sa.Column("midi_asset_id", sa.Uuid(as_uuid=False), nullable=True), schema="composer")
    for name in _TEXTS:
        column = sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False)
        op.add_column("variants", column, schema="composer")
    op.create_table(
        "recipes",
        sa.Column("track_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.Column("order", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["track_id"], ["composer.tracks.track_id"], name=op.f("fk_recipes_track_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("track_id", name=op.f("pk_recipes")),
        schema="composer",
    )
    op.create_index(
        "ix_variants_midi_asset_id",
        "variants",
        ["midi_asset_id"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("midi_asset_id IS NOT NULL"),
    )


def downgrade() -> None:
    """Take this step back."""
    op.drop_index(
        "ix_variants_midi_asset_id",
        table_name="variants",
        schema="composer",
        postgresql_where=sa.text("midi_asset_id IS NOT NULL"),
    )
    op.drop_table("recipes", schema="composer")
    for name in (*reversed(_TEXTS), "midi_asset_id"):
        op.drop_column("variants", name, schema="composer")
