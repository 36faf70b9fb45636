"""Lead from shares into the mini-program."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "invitations",
        sa.Column("share_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("wants_wxcode", sa.Boolean(), nullable=False),
        sa.Column("wants_scheme", sa.Boolean(), nullable=False),
        sa.Column("wxcode_asset_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("scheme_url", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("scheme_expire_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("making_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("due_time", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["share_id"], ["share.shares.share_id"], name=op.f("fk_invitations_share_id_shares"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("share_id", name=op.f("pk_invitations")),
        schema="share",
    )
    op.create_index(
        "ix_invitations_due_time",
        "invitations",
        ["due_time"],
        schema="share",
        postgresql_where=sa.text("due_time IS NOT NULL"),
    )


def downgrade() -> None:
    """Undo this step."""
    op.drop_table("invitations", schema="share")
