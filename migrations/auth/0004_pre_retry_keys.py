"""Keep the hash of the key with which a refresh token's owner may ask for its successor again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.add_column("refresh_tokens", sa.Column("key_hash", sa.LargeBinary(), nullable=True), schema="auth")


def downgrade() -> None:
    """Undo this step."""
    op.drop_column("refresh_tokens", "key_hash", schema="auth")
