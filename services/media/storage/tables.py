"""Every table of Media: assets, the objects that back them, and the jobs that make them playable."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.kit.db.metadata import id_column, schema_metadata, time_column
from services.kit.db.ownership import move_tables
from services.kit.jobs.table import job_tables
from services.media.domain.asset import Kind, State

metadata = schema_metadata("media")

_STATES = ", ".join(f"'{state.value}'" for state in State)
_KINDS = ", ".join(f"'{kind.value}'" for kind in Kind)


def _words(name: str) -> Column[str]:
    """Return text that is empty rather than absent."""
    return Column(name, Text, nullable=False, server_default=text("''"))


def _of_asset() -> Column[str]:
    """Return the key of a row that belongs to one asset and goes with it."""
    return id_column("asset_id", ForeignKey("media.assets.asset_id", ondelete="CASCADE"), primary_key=True)


assets = Table(
    "assets",
    metadata,
    id_column("asset_id", primary_key=True),
    id_column("user_id", nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False, server_default=text("0")),
    _words("raw_key"),
    _words("storage_key"),
    Column("peaks", ARRAY(SmallInteger), nullable=False),
    _words("sha256"),
    _words("etag"),
    _words("platform"),
    id_column("job_id", nullable=True),
    Column("failure", JSONB(none_as_null=True), nullable=True),
    # The way in and the client's request id, with the fingerprint of what was asked.
    Column("request_key", Text, nullable=True),
    _words("request_hash"),
    time_column("create_time"),
    time_column("update_time"),
    # A deleted asset stays for a while, so that deleting it again is answered alike.
    time_column("delete_time", nullable=True),
    CheckConstraint(f"state IN ({_STATES})", name="state"),
    CheckConstraint(f"kind IN ({_KINDS})", name="kind"),
    CheckConstraint("size_bytes >= 0 AND duration_ms >= 0", name="sizes"),
    CheckConstraint("state <> 'ready' OR storage_key <> ''", name="ready"),
    CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name="failed"),
    UniqueConstraint("user_id", "request_key"),
)
Index(
    "ix_assets_user_id_asset_id", assets.c.user_id, assets.c.asset_id, postgresql_where=assets.c.delete_time.is_(None)
)
Index(
    "ix_assets_open",
    assets.c.user_id,
    postgresql_where=text("state IN ('uploading', 'uploaded', 'processing') AND delete_time IS NULL"),
)
Index("ix_assets_abandoned", assets.c.create_time, postgresql_where=text("state = 'uploading'"))
Index("ix_assets_delete_time", assets.c.delete_time, postgresql_where=text("delete_time IS NOT NULL"))

# Every key is written here before its bytes are stored, so that no crash leaves bytes nobody knows of.
objects = Table(
    "objects",
    metadata,
    Column("object_key", Text, primary_key=True),
    time_column("create_time"),
    # When the object goes unless an asset keeps it; absent while one does.
    time_column("delete_after", nullable=True),
)
Index("ix_objects_delete_after", objects.c.delete_after, postgresql_where=objects.c.delete_after.is_not(None))

# How far a file that comes piece by piece is. The row goes with its asset.
resumable_uploads = Table(
    "resumable_uploads",
    metadata,
    id_column("asset_id", ForeignKey(assets.c.asset_id, ondelete="CASCADE"), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("offset_bytes", BigInteger, nullable=False, server_default=text("0")),
    _words("parts_id"),
    # Number, size and etag of each part in the object store.
    Column("parts", JSONB, nullable=False, server_default=text("'[]'")),
    _words("content_type"),
    # Whoever appends holds the token until the instant, and writes under no other.
    Column("lock_token", BigInteger, nullable=False, server_default=text("0")),
    time_column("lock_until", nullable=True),
    time_column("expire_time"),
    # When the asset was made of the bytes.
    time_column("finish_time", nullable=True),
    CheckConstraint("offset_bytes BETWEEN 0 AND size_bytes", name="offset"),
)
Index(
    "ix_resumable_uploads_arrived",
    resumable_uploads.c.asset_id,
    postgresql_where=text("offset_bytes = size_bytes AND finish_time IS NULL"),
)

# Bytes that are too few for a part of S3, kept until more come; never more than a part or so of one upload.
resumable_tails = Table(
    "resumable_tails",
    metadata,
    id_column("asset_id", ForeignKey(resumable_uploads.c.asset_id, ondelete="CASCADE"), primary_key=True),
    Column("start_bytes", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

# The latest attempt that is known of each job that stores files here; an earlier one stores nothing any more.
upload_fences = Table(
    "upload_fences",
    metadata,
    id_column("job_id", primary_key=True),
    Column("lease_token", BigInteger, nullable=False),
    time_column("update_time"),
    CheckConstraint("lease_token > 0", name="lease_token"),
)
Index("ix_upload_fences_update_time", upload_fences.c.update_time)

# The outline of a sound that came in, one signed byte each for the lowest and highest value of a pixel.
waveforms = Table(
    "waveforms",
    metadata,
    _of_asset(),
    Column("sample_rate_hz", Integer, nullable=False),
    Column("samples_per_pixel", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("loudness_lufs", Double, nullable=False),
    Column("true_peak_dbtp", Double, nullable=False),
)

# The size of a picture that came in, and its smaller versions with their keys.
images = Table(
    "images",
    metadata,
    _of_asset(),
    Column("width_px", Integer, nullable=False),
    Column("height_px", Integer, nullable=False),
    Column("variants", JSONB(none_as_null=True), nullable=False),
)

jobs = job_tables(metadata)

# What two users that became one had, so that it can be given back.
moves = move_tables(metadata)
