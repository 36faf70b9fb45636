"""Make room for webhooks and for what is on its way to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_kinds", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("pause_reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("failing_since_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("secret_sealed", sa.Text(), nullable=False),
        sa.Column("old_secret_sealed", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("old_secret_expire_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("request_hash", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("rotate_request_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("pause_reason IN ('', 'owner', 'failing', 'gone')", name=op.f("ck_webhooks_pause_reason")),
        sa.CheckConstraint("char_length(url) <= 2048", name=op.f("ck_webhooks_url")),
        sa.PrimaryKeyConstraint("webhook_id", name=op.f("pk_webhooks")),
        schema="composer",
    )
    op.create_index(
        "ix_webhooks_user_id_webhook_id", "webhooks", ["user_id", "webhook_id"], unique=False, schema="composer"
    )
    op.create_index(
        "uq_webhooks_user_id_request_id",
        "webhooks",
        ["user_id", "request_id"],
        unique=True,
        schema="composer",
        postgresql_where=sa.text("request_id <> ''"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("delivery_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("webhook_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("event_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("event_kind", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sending", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("run_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status_code", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("latency_ms", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("replay_of", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("request_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finish_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'pending') = (finish_time IS NULL)", name=op.f("ck_webhook_deliveries_finish_time")
        ),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_state")),
        sa.CheckConstraint("attempts >= 0 AND latency_ms >= 0", name=op.f("ck_webhook_deliveries_counters")),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["composer.webhooks.webhook_id"],
            name=op.f("fk_webhook_deliveries_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_webhook_deliveries")),
        schema="composer",
    )
    op.create_index(
        "ix_webhook_deliveries_create_time", "webhook_deliveries", ["create_time"], unique=False, schema="composer"
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["run_after"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_sending",
        "webhook_deliveries",
        ["webhook_id"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("sending"),
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id_delivery_id",
        "webhook_deliveries",
        ["webhook_id", "delivery_id"],
        unique=False,
        schema="composer",
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id_due",
        "webhook_deliveries",
        ["webhook_id", "run_after"],
        unique=False,
        schema="composer",
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "uq_webhook_deliveries_webhook_id_request_id",
        "webhook_deliveries",
        ["webhook_id", "request_id"],
        unique=True,
        schema="composer",
        postgresql_where=sa.text("request_id <> ''"),
    )


def downgrade() -> None:
    """Take this step back."""
    op.drop_index(
        "uq_webhook_deliveries_webhook_id_request_id",
        table_name="webhook_deliveries",
        schema="composer",
        postgresql_where=sa.text("request_id <> ''"),
    )
    op.drop_index(
        "ix_webhook_deliveries_webhook_id_due",
        table_name="webhook_deliveries",
        schema="composer",
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.drop_index("ix_webhook_deliveries_webhook_id_delivery_id", table_name="webhook_deliveries", schema="composer")
    op.drop_index(
        "ix_webhook_deliveries_sending",
        table_name="webhook_deliveries",
        schema="composer",
        postgresql_where=sa.text("sending"),
    )
    op.drop_index(
        "ix_webhook_deliveries_due",
        table_name="webhook_deliveries",
        schema="composer",
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.drop_index("ix_webhook_deliveries_create_time", table_name="webhook_deliveries", schema="composer")
    op.drop_table("webhook_deliveries", schema="composer")
    op.drop_index(
        "uq_webhooks_user_id_request_id",
        table_name="webhooks",
        schema="composer",
        postgresql_where=sa.text("request_id <> ''"),
    )
    op.drop_index("ix_webhooks_user_id_webhook_id", table_name="webhooks", schema="composer")
    op.drop_table("webhooks", schema="composer")
