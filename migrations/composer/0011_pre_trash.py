"""Find the tracks that a user has put away without reading all tracks."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    away = sa.text("delete_time IS NOT NULL")
    op.create_index("ix_tracks_trash", "tracks", ["user_id", "track_id"], schema="composer", postgresql_where=away)


def downgrade() -> None:
    """Undo this step."""
    op.drop_index("ix_tracks_trash", table_name="tracks", schema="composer")
