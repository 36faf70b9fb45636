"""All tables of Composer on one page."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.composer.domain.export import ExportState
from services.composer.domain.lyrics import LyricsState
from services.composer.domain.moderation import Part, Standing
from services.composer.domain.track import LONGEST_DURATION_S, SHORTEST_DURATION_S, TrackState
from services.composer.domain.vendor import TaskState
from services.composer.domain.webhook import DeliveryState, PauseReason
from services.kit.db.metadata import created_columns, id_column, schema_metadata, time_column
from services.kit.db.ownership import move_tables
from services.kit.jobs.table import job_tables

metadata = schema_metadata("composer")
jobs = job_tables(metadata)

_STATES = ", ".join(f"'{state.value}'" for state in TrackState)
_STANDINGS = ", ".join(f"'{standing.value}'" for standing in Standing)
_PARTS = ", ".join(f"'{part.value}'" for part in Part)
_DELIVERY_STATES = ", ".join(f"'{state.value}'" for state in DeliveryState)
_PAUSE_REASONS = ", ".join(f"'{reason.value}'" for reason in PauseReason)

tracks = Table(
    "tracks",
    metadata,
    id_column("track_id", primary_key=True),
    id_column("user_id", nullable=False),
    Column("title", Text, nullable=False),
    Column("style", Text, nullable=False),
    Column("mood", Text, nullable=False),
    Column("lyrics", Text, nullable=False),
    Column("voice_gender", Text, nullable=False),
    Column("duration_s", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    id_column("asset_id"),
    id_column("job_id", nullable=False),
    Column("state", Text, nullable=False),
    Column("analysis", JSONB(none_as_null=True)),
    id_column("chosen_variant_id"),
    id_column("cover_asset_id"),
    Column("provider", Text, nullable=False, server_default=text("''")),
    Column("cost_credits", BigInteger, nullable=False, server_default=text("0")),
    Column("request_id", Text, nullable=False, server_default=text("''")),
    Column("request_hash", Text, nullable=False, server_default=text("''")),
    Column("platform", Text, nullable=False, server_default=text("''")),
    Column("standing", Text, nullable=False, server_default=text("'unchecked'")),
    *created_columns(),
    time_column("delete_time", nullable=True),
    CheckConstraint(f"state IN ({_STATES})", name="state"),
    CheckConstraint(f"standing IN ({_STANDINGS})", name="standing"),
    Index("ix_tracks_review", "track_id", postgresql_where=text("standing = 'review' AND delete_time IS NULL")),
    CheckConstraint(f"duration_s BETWEEN {SHORTEST_DURATION_S} AND {LONGEST_DURATION_S}", name="duration"),
    CheckConstraint("char_length(title) BETWEEN 1 AND 128", name="title"),
    CheckConstraint("char_length(lyrics) <= 10000", name="lyrics"),
    Index("ix_tracks_user_id_track_id", "user_id", "track_id", postgresql_where=text("delete_time IS NULL")),
    Index("ix_tracks_trash", "user_id", "track_id", postgresql_where=text("delete_time IS NOT NULL")),
    Index("ix_tracks_asset_id", "asset_id", postgresql_where=text("delete_time IS NULL")),
    Index(
        "uq_tracks_user_id_request_id", "user_id", "request_id", unique=True, postgresql_where=text("request_id <> ''")
    ),
    Index("ix_tracks_cover_asset_id", "cover_asset_id", postgresql_where=text("cover_asset_id IS NOT NULL")),
    UniqueConstraint("job_id"),
)

variants = Table(
    "variants",
    metadata,
    id_column("variant_id", primary_key=True),
    id_column("track_id", ForeignKey("composer.tracks.track_id", ondelete="CASCADE"), nullable=False),
    Column("label", Text, nullable=False),
    id_column("asset_id", nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("style", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("tempo_bpm", Double, nullable=False),
    Column("melody_score", Double, nullable=False),
    Column("loudness_lufs", Double, nullable=False),
    Column("score", Double, nullable=False),
    Column("recommended", Boolean, nullable=False),
    Column("chords", JSONB, nullable=False),
    Column("instruments", JSONB, nullable=False),
    Column("remarks", JSONB, nullable=False),
    id_column("midi_asset_id"),
    Column("chord_sheet", Text, nullable=False, server_default=text("''")),
    Column("mp3_sha256", Text, nullable=False, server_default=text("''")),
    Column("lines", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Index("ix_variants_asset_id", "asset_id"),
    Index("ix_variants_midi_asset_id", "midi_asset_id", postgresql_where=text("midi_asset_id IS NOT NULL")),
    UniqueConstraint("track_id", "label"),
    CheckConstraint("label IN ('A', 'B')", name="label"),
)

findings = Table(
    "findings",
    metadata,
    id_column("track_id", ForeignKey("composer.tracks.track_id", ondelete="CASCADE"), primary_key=True),
    Column("part", Text, primary_key=True),
    Column("standing", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("label", Text, nullable=False, server_default=text("''")),
    Column("digest", Text, nullable=False, server_default=text("''")),
    Column("reference", Text, nullable=False, server_default=text("''")),
    time_column("update_time"),
    CheckConstraint(f"part IN ({_PARTS})", name="part"),
    CheckConstraint(f"standing IN ({_STANDINGS})", name="standing"),
    Index("ix_findings_reference", "reference", postgresql_where=text("reference <> ''")),
)

appeals = Table(
    "appeals",
    metadata,
    id_column("track_id", ForeignKey("composer.tracks.track_id", ondelete="CASCADE"), primary_key=True),
    id_column("user_id", nullable=False),
    Column("message", Text, nullable=False),
    time_column("create_time"),
    Column("decision", Text),
    time_column("decide_time", nullable=True),
    CheckConstraint("(decision IS NULL) = (decide_time IS NULL)", name="decision"),
    Index("ix_appeals_open", "track_id", postgresql_where=text("decision IS NULL")),
)

recipes = Table(
    "recipes",
    metadata,
    id_column("track_id", ForeignKey("composer.tracks.track_id", ondelete="CASCADE"), primary_key=True),
    Column("engine", Text, nullable=False),
    Column("order", JSONB, nullable=False),
)

_EXPORT_STATES = ", ".join(f"'{state.value}'" for state in ExportState)

exports = Table(
    "exports",
    metadata,
    id_column("export_id", primary_key=True),
    id_column("user_id", nullable=False),
    id_column("track_id", ForeignKey("composer.tracks.track_id", ondelete="CASCADE"), nullable=False),
    id_column("variant_id", nullable=False),
    id_column("job_id", nullable=False),
    Column("state", Text, nullable=False),
    id_column("wav_asset_id"),
    id_column("stems_asset_id"),
    Column("stems", JSONB, nullable=False),
    Column("error_reason", Text, nullable=False, server_default=text("''")),
    *created_columns(),
    CheckConstraint(f"state IN ({_EXPORT_STATES})", name="state"),
    Index("ix_exports_user_id", "user_id"),
    Index("ix_exports_track_id", "track_id"),
    UniqueConstraint("job_id"),
    UniqueConstraint("variant_id"),
)

_LYRICS_STATES = ", ".join(f"'{state.value}'" for state in LyricsState)

lyrics = Table(
    "lyrics",
    metadata,
    id_column("lyrics_id", primary_key=True),
    id_column("user_id", nullable=False),
    Column("theme", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("style", Text, nullable=False),
    Column("mood", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("keywords", JSONB, nullable=False),
    Column("seed", BigInteger, nullable=False),
    id_column("job_id", nullable=False),
    Column("state", Text, nullable=False),
    Column("cost_credits", BigInteger, nullable=False, server_default=text("0")),
    Column("remaining_credits", BigInteger, nullable=False, server_default=text("0")),
    Column("request_id", Text, nullable=False, server_default=text("''")),
    Column("request_hash", Text, nullable=False, server_default=text("''")),
    Column("platform", Text, nullable=False, server_default=text("''")),
    Column("input_tokens", BigInteger, nullable=False, server_default=text("0")),
    Column("output_tokens", BigInteger, nullable=False, server_default=text("0")),
    # Millionths of a US dollar.
    Column("cost_micros", BigInteger, nullable=False, server_default=text("0")),
    *created_columns(),
    time_column("delete_time", nullable=True),
    CheckConstraint(f"state IN ({_LYRICS_STATES})", name="state"),
    CheckConstraint("language IN ('auto', 'zh', 'en')", name="language"),
    CheckConstraint("char_length(theme) BETWEEN 1 AND 200", name="theme"),
    Index("ix_lyrics_user_id_lyrics_id", "user_id", "lyrics_id", postgresql_where=text("delete_time IS NULL")),
    Index(
        "uq_lyrics_user_id_request_id", "user_id", "request_id", unique=True, postgresql_where=text("request_id <> ''")
    ),
    UniqueConstraint("job_id"),
)

lyrics_versions = Table(
    "lyrics_versions",
    metadata,
    id_column("version_id", primary_key=True),
    id_column("lyrics_id", ForeignKey("composer.lyrics.lyrics_id", ondelete="CASCADE"), nullable=False),
    Column("label", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("form", Text, nullable=False),
    # Objects of kind and lines, in order.
    Column("sections", JSONB, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("prompt", Text, nullable=False, server_default=text("''")),
    UniqueConstraint("lyrics_id", "label"),
    CheckConstraint("label IN ('A', 'B')", name="label"),
    CheckConstraint("language IN ('zh', 'en')", name="language"),
)

_TASK_STATES = ", ".join(f"'{state.value}'" for state in TaskState)

# What was ordered from vendors of songs: one row for each order, written before the vendor hears of it.
vendor_tasks = Table(
    "vendor_tasks",
    metadata,
    id_column("vendor_task_id", primary_key=True),
    id_column("job_id", ForeignKey("composer.jobs.job_id", ondelete="CASCADE"), nullable=False),
    Column("vendor", Text, nullable=False),
    # The variants that it is to give: A, B or AB.
    Column("labels", Text, nullable=False),
    Column("paid", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    # The vendor's own id; empty until its answer has been written down.
    Column("task_id", Text, nullable=False, server_default=text("''")),
    # What the vendor said when it did not go well, in its own numbers, and what helps against it.
    Column("code", Text, nullable=False, server_default=text("''")),
    Column("remedy", Text, nullable=False, server_default=text("''")),
    Column("offer", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("songs", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("lease_token", BigInteger, nullable=False),
    time_column("create_time"),
    time_column("accept_time", nullable=True),
    time_column("finish_time", nullable=True),
    CheckConstraint(f"state IN ({_TASK_STATES})", name="state"),
    CheckConstraint("labels IN ('A', 'B', 'AB')", name="labels"),
    CheckConstraint("(state IN ('asked', 'accepted')) = (finish_time IS NULL)", name="finish_time"),
    Index("ix_vendor_tasks_job_id", "job_id"),
)

webhooks = Table(
    "webhooks",
    metadata,
    id_column("webhook_id", primary_key=True),
    id_column("user_id", nullable=False),
    Column("url", Text, nullable=False),
    Column("event_kinds", ARRAY(Text), nullable=False),
    Column("description", Text, nullable=False),
    Column("pause_reason", Text, nullable=False, server_default=text("''")),
    # Since when every attempt has failed; null after a success.
    time_column("failing_since_time", nullable=True),
    Column("secret_sealed", Text, nullable=False),
    Column("old_secret_sealed", Text, nullable=False, server_default=text("''")),
    time_column("old_secret_expire_time", nullable=True),
    Column("request_id", Text, nullable=False, server_default=text("''")),
    Column("request_hash", Text, nullable=False, server_default=text("''")),
    Column("rotate_request_id", Text, nullable=False, server_default=text("''")),
    *created_columns(),
    CheckConstraint(f"pause_reason IN ({_PAUSE_REASONS})", name="pause_reason"),
    CheckConstraint("char_length(url) <= 2048", name="url"),
    Index("ix_webhooks_user_id_webhook_id", "user_id", "webhook_id"),
    Index(
        "uq_webhooks_user_id_request_id",
        "user_id",
        "request_id",
        unique=True,
        postgresql_where=text("request_id <> ''"),
    ),
)

# A queue of its own, apart from the outbox: a receiver that does not answer holds up no settlement.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    id_column("delivery_id", primary_key=True),
    id_column("webhook_id", ForeignKey("composer.webhooks.webhook_id", ondelete="CASCADE"), nullable=False),
    id_column("event_id", nullable=False),
    Column("event_kind", Text, nullable=False),
    id_column("job_id"),
    # Text, not jsonb: the signature is over these very bytes.
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    # Also the fence: an attempt's outcome is written under its own number.
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("sending", Boolean, nullable=False, server_default=text("false")),
    # While it is being sent this is the end of the sender's lease.
    time_column("run_after"),
    Column("status_code", Integer, nullable=False, server_default=text("0")),
    Column("error", Text, nullable=False, server_default=text("''")),
    Column("latency_ms", Integer, nullable=False, server_default=text("0")),
    id_column("replay_of"),
    Column("request_id", Text, nullable=False, server_default=text("''")),
    time_column("create_time"),
    time_column("finish_time", nullable=True),
    CheckConstraint(f"state IN ({_DELIVERY_STATES})", name="state"),
    CheckConstraint("(state = 'pending') = (finish_time IS NULL)", name="finish_time"),
    CheckConstraint("attempts >= 0 AND latency_ms >= 0", name="counters"),
    Index("ix_webhook_deliveries_due", "run_after", postgresql_where=text("state = 'pending'")),
    Index(
        "ix_webhook_deliveries_webhook_id_due", "webhook_id", "run_after", postgresql_where=text("state = 'pending'")
    ),
    Index("ix_webhook_deliveries_sending", "webhook_id", postgresql_where=text("sending")),
    Index("ix_webhook_deliveries_webhook_id_delivery_id", "webhook_id", "delivery_id"),
    Index("ix_webhook_deliveries_create_time", "create_time"),
    Index(
        "uq_webhook_deliveries_webhook_id_request_id",
        "webhook_id",
        "request_id",
        unique=True,
        postgresql_where=text("request_id <> ''"),
    ),
)

templates = Table(
    "templates",
    metadata,
    id_column("template_id", primary_key=True),
    Column("locale", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("theme", Text, nullable=False),
    Column("style", Text, nullable=False),
    Column("mood", Text, nullable=False),
    Column("sort_order", Integer, nullable=False),
    CheckConstraint("locale IN ('zh-CN', 'en')", name="locale"),
)

banners = Table(
    "banners",
    metadata,
    id_column("banner_id", primary_key=True),
    Column("locale", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("image_url", Text, nullable=False),
    Column("link_url", Text, nullable=False),
    Column("sort_order", Integer, nullable=False),
    time_column("start_time", nullable=True),
    time_column("end_time", nullable=True),
    CheckConstraint("locale IN ('zh-CN', 'en')", name="locale"),
)
# What two users that became one had, so that it can be given back.
moves = move_tables(metadata)
