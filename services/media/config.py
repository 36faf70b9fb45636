"""The settings of Media."""

from dataclasses import dataclass

from services.kit.config import ProcessConfig, setting
from services.media.domain.upload import MEBIBYTE, Limits


@dataclass(frozen=True, kw_only=True)
class Config(ProcessConfig):
    """What Media's server and worker need besides what every process needs."""

    port: int = setting("MEDIA_PORT", 50054, doc="gRPC port of Media")
    upload_limit_mb: int = setting("UPLOAD_LIMIT_MB", 50, doc="largest upload through the gateway in MiB")
    upload_limit_wxmp_mb: int = setting(
        "UPLOAD_LIMIT_WXMP_MB", 10, doc="largest upload of a mini-program through the gateway in MiB"
    )
    upload_limit_presigned_mb: int = setting(
        "UPLOAD_LIMIT_PRESIGNED_MB", 100, doc="largest upload by a signed address in MiB"
    )
    upload_limit_resumable_mb: int = setting(
        "UPLOAD_LIMIT_RESUMABLE_MB",
        100,
        doc="largest upload that can be resumed in MiB; a mini-program's stays smaller",
    )
    audio_shortest_s: float = setting("AUDIO_SHORTEST_S", 1.0, doc="shortest recording in seconds")
    audio_longest_s: float = setting("AUDIO_LONGEST_S", 180.0, doc="longest recording in seconds")
    assets_open_most: int = setting("ASSETS_OPEN_MOST", 50, doc="unfinished uploads that one person may have at a time")
    asset_url_s: int = setting("ASSET_URL_S", 3600, doc="life of a signed address for reading, in seconds")
    upload_url_s: int = setting("UPLOAD_URL_S", 900, doc="life of a signed address for an upload, in seconds")
    upload_abandoned_h: float = setting(
        "UPLOAD_ABANDONED_H", 24.0, doc="hours after which an upload that never came is removed"
    )
    raw_kept_days: float = setting(
        "RAW_KEPT_DAYS",
        30.0,
        doc="days for which a file is kept as it came, once it is playable; 0 for as long as that",
    )
    ffmpeg_binary: str = setting("FFMPEG_BINARY", "", doc="ffmpeg to use; empty for the one that is installed with us")
    content_check_url: str = setting(
        "CONTENT_CHECK_URL",
        "",
        doc="address that judges sounds and pictures before they are kept; empty for no check",
    )
    content_check_secret: str = setting(
        "CONTENT_CHECK_SECRET", "", doc="bearer token for CONTENT_CHECK_URL; empty for none", secret=True
    )
    job_log_days: float = setting(
        "JOB_LOG_DAYS", 90.0, doc="days after a job's end for which its log is kept whole; then only the last line is"
    )

    @property
    def limits(self) -> Limits:
        """How large and how long uploads may be."""
        return Limits(
            proxy_bytes=self.upload_limit_mb * MEBIBYTE,
            mini_program_bytes=self.upload_limit_wxmp_mb * MEBIBYTE,
            presigned_bytes=self.upload_limit_presigned_mb * MEBIBYTE,
            resumable_bytes=self.upload_limit_resumable_mb * MEBIBYTE,
            shortest_ms=round(self.audio_shortest_s * 1000),
            longest_ms=round(self.audio_longest_s * 1000),
        )
