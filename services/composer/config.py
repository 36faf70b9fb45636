"""Settings of Composer: server and worker read the same ones."""

from dataclasses import dataclass
from pathlib import Path

from services.kit.config import ConfigError, ProcessConfig, setting
from services.kit.sealing import Sealer


@dataclass(frozen=True, kw_only=True)
class Config(ProcessConfig):
    """What Composer needs beyond what every process needs."""

    port: int = setting("COMPOSER_PORT", 50053, doc="gRPC port of Composer")
    soundfont: Path | None = setting(
        "SOUNDFONT", None, doc="General MIDI soundfont (sf2 or sf3); unset takes the best one found on the machine"
    )
    ffmpeg_binary: str = setting("FFMPEG_BINARY", "", doc="ffmpeg program; unset takes the bundled one")
    engine_url: str = setting(
        "ENGINE_URL", "", doc="engine server that listens and makes the music instead of this machine's own engine"
    )
    engine_key: str = setting("ENGINE_KEY", "", doc="key that the engine server wants to see", secret=True)
    active_jobs_per_user: int = setting(
        "ACTIVE_JOBS_PER_USER", 3, doc="songs one person may have in the making at the same time"
    )
    active_jobs_total: int = setting(
        "ACTIVE_JOBS_TOTAL", 200, doc="songs everybody together may have in the making at the same time"
    )
    music_deadline_s: float = setting(
        "MUSIC_DEADLINE_S", 600.0, doc="longest time one song may take, all tries together"
    )
    variant_processes: int = setting(
        "VARIANT_PROCESSES", 2, doc="1 renders the variants of a song one after the other, 2 both at once"
    )
    encryption_key: str = setting(
        "ENCRYPTION_KEY",
        "",
        doc="the same key as Auth's; it seals the secrets of webhooks, none without it",
        secret=True,
    )
    encryption_keys_old: str = setting(
        "ENCRYPTION_KEYS_OLD", "", doc="earlier values of ENCRYPTION_KEY with commas; they only decrypt", secret=True
    )
    webhooks_per_user: int = setting("WEBHOOKS_PER_USER", 5, doc="webhooks one person may have")
    webhook_loopback: bool = setting(
        "WEBHOOK_LOOPBACK",
        default=False,
        doc="also send webhooks to this machine, over plain http; for development only",
    )
    webhook_log_days: float = setting("WEBHOOK_LOG_DAYS", 30.0, doc="days for which deliveries of webhooks are kept")
    job_log_days: float = setting(
        "JOB_LOG_DAYS", 90.0, doc="days after a job's end for which its log is kept whole; then only the last line is"
    )

    def __post_init__(self) -> None:
        """Refuse keys that cannot work."""
        super().__post_init__()
        self.sealer()

    def sealer(self) -> Sealer | None:
        """Return what seals the secrets of webhooks, or None without a key; raises ConfigError for a bad one."""
        if not self.encryption_key:
            return None
        try:
            return Sealer.from_hex(self.encryption_key, self.encryption_keys_old)
        except ValueError as error:
            raise ConfigError(["ENCRYPTION_KEY and ENCRYPTION_KEYS_OLD must be 64 hex characters each"]) from error
