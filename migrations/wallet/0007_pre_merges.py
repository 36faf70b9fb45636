"""Let credits go from one user to another when the two become one, and note whose went to whom."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_OLD = "operation IN ('grant', 'hold', 'settle', 'release', 'expire', 'adjust')"
_NEW = "operation IN ('grant', 'hold', 'settle', 'release', 'expire', 'adjust', 'move')"
_NAME = "ck_transfers_operation"


def upgrade() -> None:
    """Run this step."""
    _check(_NEW)
    op.create_table(
        "merges",
        sa.Column("merge_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("source_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("target_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("moved", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("moves", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undo_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("moved >= 0 AND moves >= 0", name=op.f("ck_merges_moved")),
        sa.PrimaryKeyConstraint("merge_id", name="pk_merges"),
        schema="wallet",
    )


def downgrade() -> None:
    """Undo this step; fails once credits have been moved, which the ledger keeps for ever."""
    op.drop_table("merges", schema="wallet")
    _check(_OLD)


def _check(rule: str) -> None:
    op.drop_constraint(op.f(_NAME), "transfers", schema="wallet")
    op.create_check_constraint(op.f(_NAME), "transfers", rule, schema="wallet")
