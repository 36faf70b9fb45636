"""The settings of Share."""

from dataclasses import dataclass

from services.kit.config import ConfigError, ProcessConfig, setting

_VERSIONS = ("release", "trial", "develop")


@dataclass(frozen=True, kw_only=True)
class Config(ProcessConfig):
    """What a Share process needs beyond what every process needs."""

    port: int = setting("SHARE_PORT", 50055, doc="gRPC port of Share")
    wechat_app_id: str = setting("WECHAT_APP_ID", "", doc="mini-program id; empty switches WeChat login off")
    wechat_app_secret: str = setting("WECHAT_APP_SECRET", "", doc="secret of the mini-program", secret=True)
    wechat_base_url: str = setting(
        "WECHAT_BASE_URL", "https://api.weixin.qq.com", doc="where WeChat is; the sandbox has its own"
    )
    wechat_timeout_s: float = setting("WECHAT_TIMEOUT_S", 5.0, doc="seconds WeChat has to answer")
    wechat_version: str = setting(
        "WECHAT_VERSION", "release", doc="version of the mini-program that codes lead into: release, trial or develop"
    )

    def __post_init__(self) -> None:
        """Refuse a version that there is none of."""
        super().__post_init__()
        if self.wechat_version not in _VERSIONS:
            raise ConfigError([f"WECHAT_VERSION must be one of {', '.join(_VERSIONS)}"])
