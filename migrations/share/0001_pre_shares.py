"""Lay down shares."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "shares",
        sa.Column("share_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("share_code", sa.Text(), nullable=False),
        sa.Column("track_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("view_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoke_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'revoked') = (revoke_time IS NOT NULL)", name=op.f("ck_shares_revoke_time")),
        sa.CheckConstraint("state IN ('active', 'revoked')", name=op.f("ck_shares_state")),
        sa.CheckConstraint("view_count >= 0", name=op.f("ck_shares_view_count")),
        sa.PrimaryKeyConstraint("share_id", name=op.f("pk_shares")),
        sa.UniqueConstraint("share_code", name=op.f("uq_shares_share_code")),
        sa.UniqueConstraint("user_id", "track_id", name=op.f("uq_shares_user_id_track_id")),
        schema="share",
    )
    op.create_index("ix_shares_user_id_share_id", "shares", ["user_id", "share_id"], unique=False, schema="share")


def downgrade() -> None:
    """Undo this step."""
    op.drop_table("shares", schema="share")
