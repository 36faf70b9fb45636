"""The settings of Share."""

from dataclasses import dataclass

from services.kit.config import ConfigError, setting
from services.kit.wechat import WechatConfig

_VERSIONS = ("release", "trial", "develop")


@dataclass(frozen=True, kw_only=True)
class Config(WechatConfig):
    """What a Share process needs beyond what every process needs."""

    port: int = setting("SHARE_PORT", 50055, doc="gRPC port of Share")
    wechat_version: str = setting(
        "WECHAT_VERSION", "release", doc="version of the mini-program that codes lead into: release, trial or develop"
    )

    def __post_init__(self) -> None:
        """Refuse a version that there is none of."""
        super().__post_init__()
        if self.wechat_version not in _VERSIONS:
            raise ConfigError([f"WECHAT_VERSION must be one of {', '.join(_VERSIONS)}"])
