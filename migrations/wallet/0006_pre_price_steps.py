"""Let a price name what is owed for the finished steps of a run that its owner cancels; a song's is half when made."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MUSIC = "UPDATE wallet.prices SET steps = '{\"music_generate\": 10}' WHERE kind = 'music' AND amount >= 10"


def upgrade() -> None:
    """Run this step."""
    column = sa.Column("steps", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False)
    op.add_column("prices", column, schema="wallet")
    # Prices are only ever added to; a column that is new is filled once, before anybody reads it.
    op.execute("ALTER TABLE wallet.prices DISABLE TRIGGER USER")
    op.execute(_MUSIC)
    op.execute("ALTER TABLE wallet.prices ENABLE TRIGGER USER")


def downgrade() -> None:
    """Undo this step; what is owed for steps is lost."""
    op.drop_column("prices", "steps", schema="wallet")
