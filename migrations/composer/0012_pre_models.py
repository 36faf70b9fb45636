"""Keep what models took to write lyrics, and which instruction each version was written by."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_COUNTS = ("input_tokens", "output_tokens", "cost_micros")


def upgrade() -> None:
    """Apply this step."""
    for name in _COUNTS:
        count = sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)
        op.add_column("lyrics", count, schema="composer")
    prompt = sa.Column("prompt", sa.Text(), server_default=sa.text("''"), nullable=False)
    op.add_column("lyrics_versions", prompt, schema="composer")


def downgrade() -> None:
    """Take this step back."""
    op.drop_column("lyrics_versions", "prompt", schema="composer")
    for name in reversed(_COUNTS):
        op.drop_column("lyrics", name, schema="composer")
