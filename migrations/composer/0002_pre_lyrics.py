"""Add lyrics and their versions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this step."""
    op.create_table(
        "lyrics",
        sa.Column("lyrics_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("theme", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("mood", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("keywords", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cost_credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("remaining_credits", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("request_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("request_hash", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("platform", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("delete_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('writing', 'ready', 'failed', 'cancelled')", name=op.f("ck_lyrics_state")),
        sa.CheckConstraint("language IN ('auto', 'zh', 'en')", name=op.f("ck_lyrics_language")),
        sa.CheckConstraint("char_length(theme) BETWEEN 1 AND 200", name=op.f("ck_lyrics_theme")),
        sa.PrimaryKeyConstraint("lyrics_id", name=op.f("pk_lyrics")),
        sa.UniqueConstraint("job_id", name=op.f("uq_lyrics_job_id")),
        schema="composer",
    )
    op.create_index(
        "ix_lyrics_user_id_lyrics_id",
        "lyrics",
        ["user_id", "lyrics_id"],
        schema="composer",
        postgresql_where=sa.text("delete_time IS NULL"),
    )
    op.create_index(
        "uq_lyrics_user_id_request_id",
        "lyrics",
        ["user_id", "request_id"],
        unique=True,
        schema="composer",
        postgresql_where=sa.text("request_id <> ''"),
    )
    op.create_table(
        "lyrics_versions",
        sa.Column("version_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("lyrics_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("sections", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.CheckConstraint("label IN ('A', 'B')", name=op.f("ck_lyrics_versions_label")),
        sa.CheckConstraint("language IN ('zh', 'en')", name=op.f("ck_lyrics_versions_language")),
        sa.ForeignKeyConstraint(
            ["lyrics_id"],
            ["composer.lyrics.lyrics_id"],
            name=op.f("fk_lyrics_versions_lyrics_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("version_id", name=op.f("pk_lyrics_versions")),
        sa.UniqueConstraint("lyrics_id", "label", name=op.f("uq_lyrics_versions_lyrics_id_label")),
        schema="composer",
    )


def downgrade() -> None:
    """Take this step back."""
    op.drop_table("lyrics_versions", schema="composer")
    op.drop_table("lyrics", schema="composer")
