"""Keep the latest known attempt of each job that stores files."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "upload_fences",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("lease_token > 0", name=op.f("ck_upload_fences_lease_token")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_upload_fences")),
        schema="media",
    )
    op.create_index("ix_upload_fences_update_time", "upload_fences", ["update_time"], unique=False, schema="media")


def downgrade() -> None:
    """Take this step back."""
    op.drop_index("ix_upload_fences_update_time", table_name="upload_fences", schema="media")
    op.drop_table("upload_fences", schema="media")
