"""The settings of Auth."""

import re
from dataclasses import dataclass
from datetime import timedelta

from services.auth.domain.session import Lifetimes
from services.kit.config import ConfigError, ProcessConfig, setting

_KEY = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, kw_only=True)
class Config(ProcessConfig):
    """What an Auth process needs beyond what every process needs."""

    port: int = setting("AUTH_PORT", 50051, doc="gRPC port of Auth")
    encryption_key: str = setting(
        "ENCRYPTION_KEY",
        doc="32 bytes in hex that encrypt secrets at rest: `openssl rand -hex 32`; the embedded runtime makes one",
        secret=True,
    )
    encryption_keys_old: str = setting(
        "ENCRYPTION_KEYS_OLD", "", doc="earlier values of ENCRYPTION_KEY with commas; they only decrypt", secret=True
    )
    jwt_access_ttl: int = setting("JWT_ACCESS_TTL", 604_800, doc="seconds an access token lives: 7 days")
    jwt_refresh_ttl: int = setting("JWT_REFRESH_TTL", 2_592_000, doc="seconds a refresh token lives: 30 days")
    signing_key_max_age: int = setting(
        "SIGNING_KEY_MAX_AGE", 7_776_000, doc="seconds after which a new signing key is made: 90 days"
    )
    wechat_app_id: str = setting("WECHAT_APP_ID", "", doc="mini-program id; empty switches WeChat login off")
    wechat_app_secret: str = setting("WECHAT_APP_SECRET", "", doc="secret of the mini-program", secret=True)
    wechat_base_url: str = setting(
        "WECHAT_BASE_URL", "https://api.weixin.qq.com", doc="where WeChat is; the sandbox has its own"
    )
    wechat_timeout_s: float = setting("WECHAT_TIMEOUT_S", 5.0, doc="seconds WeChat has to answer")

    def __post_init__(self) -> None:
        """Refuse keys and lifetimes that cannot work."""
        super().__post_init__()
        problems = [
            f"{name} must be 64 hex characters"
            for name, keys in (
                ("ENCRYPTION_KEY", [self.encryption_key]),
                ("ENCRYPTION_KEYS_OLD", [key.strip() for key in self.encryption_keys_old.split(",") if key.strip()]),
            )
            if not all(_KEY.fullmatch(key) for key in keys)
        ]
        if not 0 < self.jwt_access_ttl <= self.jwt_refresh_ttl:
            problems.append("JWT_ACCESS_TTL must be above 0 and at most JWT_REFRESH_TTL")
        if bool(self.wechat_app_id) != bool(self.wechat_app_secret):
            problems.append("WECHAT_APP_ID and WECHAT_APP_SECRET go together")
        if problems:
            raise ConfigError(problems)

    @property
    def lifetimes(self) -> Lifetimes:
        """Return how long tokens live."""
        return Lifetimes(timedelta(seconds=self.jwt_access_ttl), timedelta(seconds=self.jwt_refresh_ttl))
