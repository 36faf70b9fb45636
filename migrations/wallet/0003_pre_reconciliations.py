"""Keep a row for each night's reconciliation, by which one of many processes is the one to make it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "reconciliations",
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finish_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("findings", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("night", name="pk_reconciliations"),
        schema="wallet",
    )


def downgrade() -> None:
    """Undo this step."""
    op.drop_table("reconciliations", schema="wallet")
