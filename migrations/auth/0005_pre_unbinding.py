"""Let sessions outlive the identity that opened them."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NAME = "fk_sessions_identity_id"


def upgrade() -> None:
    """Apply this step."""
    op.alter_column("sessions", "identity_id", nullable=True, schema="auth")
    _refer("SET NULL")


def downgrade() -> None:
    """Undo this step; sessions without an identity go."""
    op.execute("DELETE FROM auth.sessions WHERE identity_id IS NULL")
    op.alter_column("sessions", "identity_id", nullable=False, schema="auth")
    _refer(None)


def _refer(ondelete: str | None) -> None:
    op.drop_constraint(_NAME, "sessions", schema="auth")
    op.create_foreign_key(
        _NAME, "sessions", "identities", ["identity_id"], ["identity_id"],
        source_schema="auth", referent_schema="auth", ondelete=ondelete,
    )  # fmt: skip
