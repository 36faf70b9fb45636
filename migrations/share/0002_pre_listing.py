"""Let owners put shares on the public list."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_LISTED = sa.text("listed")


def upgrade() -> None:
    """Apply this step."""
    op.add_column(
        "shares", sa.Column("listed", sa.Boolean(), server_default=sa.text("false"), nullable=False), schema="share"
    )
    op.add_column(
        "shares", sa.Column("category", sa.Text(), server_default=sa.text("''"), nullable=False), schema="share"
    )
    op.create_check_constraint(op.f("ck_shares_listed"), "shares", "NOT listed OR state = 'active'", schema="share")
    op.create_index("ix_shares_listed", "shares", ["share_id"], schema="share", postgresql_where=_LISTED)
    op.create_index(
        "ix_shares_listed_category", "shares", ["category", "share_id"], schema="share", postgresql_where=_LISTED
    )


def downgrade() -> None:
    """Undo this step."""
    op.drop_index("ix_shares_listed_category", table_name="shares", schema="share")
    op.drop_index("ix_shares_listed", table_name="shares", schema="share")
    op.drop_constraint(op.f("ck_shares_listed"), "shares", schema="share", type_="check")
    op.drop_column("shares", "category", schema="share")
    op.drop_column("shares", "listed", schema="share")
