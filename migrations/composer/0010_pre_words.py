"""Let a track be made from words alone, and keep with a variant when its words are sung."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.alter_column("tracks", "asset_id", nullable=True, schema="composer")
    lines = sa.Column("lines", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False)
    op.add_column("variants", lines, schema="composer")


def downgrade() -> None:
    """Take this step back; tracks of words alone, which the step before does not know, are removed."""
    op.drop_column("variants", "lines", schema="composer")
    op.execute(sa.text("DELETE FROM composer.tracks WHERE asset_id IS NULL"))
    op.alter_column("tracks", "asset_id", nullable=False, schema="composer")
