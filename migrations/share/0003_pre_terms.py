"""Let a share end by itself and ask for a password."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column("shares", sa.Column("expire_time", sa.DateTime(timezone=True), nullable=True), schema="share")
    op.add_column(
        "shares", sa.Column("password_hash", sa.Text(), server_default=sa.text("''"), nullable=False), schema="share"
    )
    op.drop_constraint(op.f("ck_shares_listed"), "shares", schema="share", type_="check")
    op.create_check_constraint(
        op.f("ck_shares_listed"),
        "shares",
        "NOT listed OR (state = 'active' AND password_hash = '')",
        schema="share",
    )
    op.create_table(
        "guesses",
        sa.Column("share_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("begin_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("wrong >= 0", name=op.f("ck_guesses_wrong")),
        sa.ForeignKeyConstraint(
            ["share_id"], ["share.shares.share_id"], name=op.f("fk_guesses_share_id_shares"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("share_id", "place", name=op.f("pk_guesses")),
        schema="share",
    )


def downgrade() -> None:
    """Undo this step."""
    op.drop_table("guesses", schema="share")
    op.drop_constraint(op.f("ck_shares_listed"), "shares", schema="share", type_="check")
    op.execute(sa.text("UPDATE share.shares SET listed = false, category = '' WHERE listed AND state <> 'active'"))
    op.create_check_constraint(op.f("ck_shares_listed"), "shares", "NOT listed OR state = 'active'", schema="share")
    op.drop_column("shares", "password_hash", schema="share")
    op.drop_column("shares", "expire_time", schema="share")
