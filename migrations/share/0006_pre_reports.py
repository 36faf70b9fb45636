"""Take complaints about shares, and take shares down."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_REASONS = "('copyright', 'abuse', 'sexual', 'spam', 'privacy', 'other')"


def upgrade() -> None:
    """Apply this step."""
    op.drop_constraint(op.f("ck_shares_state"), "shares", schema="share", type_="check")
    op.drop_constraint(op.f("ck_shares_revoke_time"), "shares", schema="share", type_="check")
    op.create_check_constraint(
        op.f("ck_shares_state"), "shares", "state IN ('active', 'revoked', 'taken_down')", schema="share"
    )
    op.create_check_constraint(
        op.f("ck_shares_revoke_time"), "shares", "(state <> 'active') = (revoke_time IS NOT NULL)", schema="share"
    )
    op.create_table(
        "reports",
        sa.Column("share_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decide_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(f"reason IN {_REASONS}", name=op.f("ck_reports_reason")),
        sa.ForeignKeyConstraint(
            ["share_id"], ["share.shares.share_id"], name=op.f("fk_reports_share_id_shares"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("share_id", "place", name=op.f("pk_reports")),
        schema="share",
    )
    op.create_index(
        "ix_reports_open", "reports", ["share_id"], schema="share", postgresql_where=sa.text("decide_time IS NULL")
    )


def downgrade() -> None:
    """Undo this step; what was taken down counts as called back."""
    op.drop_table("reports", schema="share")
    op.execute(sa.text("UPDATE share.shares SET state = 'revoked' WHERE state = 'taken_down'"))
    op.drop_constraint(op.f("ck_shares_revoke_time"), "shares", schema="share", type_="check")
    op.drop_constraint(op.f("ck_shares_state"), "shares", schema="share", type_="check")
    op.create_check_constraint(op.f("ck_shares_state"), "shares", "state IN ('active', 'revoked')", schema="share")
    op.create_check_constraint(
        op.f("ck_shares_revoke_time"), "shares", "(state = 'revoked') = (revoke_time IS NOT NULL)", schema="share"
    )
