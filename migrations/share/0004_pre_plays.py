"""Count how often shared songs are played."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_LISTED = sa.text("listed")


def upgrade() -> None:
    """Apply this step."""
    op.add_column(
        "shares", sa.Column("play_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False), schema="share"
    )
    op.create_check_constraint(op.f("ck_shares_play_count"), "shares", "play_count >= 0", schema="share")
    op.create_index("ix_shares_played", "shares", ["play_count", "share_id"], schema="share", postgresql_where=_LISTED)
    op.create_index(
        "ix_shares_played_category",
        "shares",
        ["category", "play_count", "share_id"],
        schema="share",
        postgresql_where=_LISTED,
    )
    op.create_table(
        "plays",
        sa.Column("share_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("listener", sa.Text(), nullable=False),
        sa.Column("play_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["share_id"], ["share.shares.share_id"], name=op.f("fk_plays_share_id_shares"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("share_id", "listener", name=op.f("pk_plays")),
        schema="share",
    )
    op.create_index("ix_plays_play_time", "plays", ["play_time"], schema="share")


def downgrade() -> None:
    """Undo this step."""
    op.drop_table("plays", schema="share")
    op.drop_index("ix_shares_played_category", table_name="shares", schema="share")
    op.drop_index("ix_shares_played", table_name="shares", schema="share")
    op.drop_constraint(op.f("ck_shares_play_count"), "shares", schema="share", type_="check")
    op.drop_column("shares", "play_count", schema="share")
