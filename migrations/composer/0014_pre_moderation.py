"""Keep what was found in songs, and what their owners say against it."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_STANDINGS = "('unchecked', 'pending', 'pass', 'review', 'risky')"


def upgrade() -> None:
    """Apply this step."""
    op.add_column(
        "tracks",
        sa.Column("standing", sa.Text(), server_default=sa.text("'unchecked'"), nullable=False),
        schema="composer",
    )
    op.create_check_constraint(op.f("ck_tracks_standing"), "tracks", f"standing IN {_STANDINGS}", schema="composer")
    op.create_index(
        "ix_tracks_review",
        "tracks",
        ["track_id"],
        schema="composer",
        postgresql_where=sa.text("standing = 'review' AND delete_time IS NULL"),
    )
    op.create_table(
        "findings",
        sa.Column("track_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("digest", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("reference", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("part IN ('words', 'sound', 'person')", name=op.f("ck_findings_part")),
        sa.CheckConstraint(f"standing IN {_STANDINGS}", name=op.f("ck_findings_standing")),
        sa.ForeignKeyConstraint(
            ["track_id"], ["composer.tracks.track_id"], name=op.f("fk_findings_track_id_tracks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("track_id", "part", name=op.f("pk_findings")),
        schema="composer",
    )
    op.create_index(
        "ix_findings_reference",
        "findings",
        ["reference"],
        schema="composer",
        postgresql_where=sa.text("reference <> ''"),
    )
    op.create_table(
        "appeals",
        sa.Column("track_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("decide_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(decision IS NULL) = (decide_time IS NULL)", name=op.f("ck_appeals_decision")),
        sa.ForeignKeyConstraint(
            ["track_id"], ["composer.tracks.track_id"], name=op.f("fk_appeals_track_id_tracks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("track_id", name=op.f("pk_appeals")),
        schema="composer",
    )
    op.create_index(
        "ix_appeals_open", "appeals", ["track_id"], schema="composer", postgresql_where=sa.text("decision IS NULL")
    )


def downgrade() -> None:
    """Undo this step."""
    op.drop_table("appeals", schema="composer")
    op.drop_table("findings", schema="composer")
    op.drop_index("ix_tracks_review", table_name="tracks", schema="composer")
    op.drop_constraint(op.f("ck_tracks_standing"), "tracks", schema="composer", type_="check")
    op.drop_column("tracks", "standing", schema="composer")
