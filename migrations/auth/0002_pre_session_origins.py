"""Keep where a login came from, so that people can see where they are logged in."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = ("platform", "address", "agent")


def upgrade() -> None:
    """Apply this step."""
    for name in _COLUMNS:
        column = sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False)
        op.add_column("sessions", column, schema="auth")


def downgrade() -> None:
    """Undo this step."""
    for name in _COLUMNS:
        op.drop_column("sessions", name, schema="auth")
