"""The settings of Share."""

from dataclasses import dataclass

from services.kit.config import ProcessConfig, setting


@dataclass(frozen=True, kw_only=True)
class Config(ProcessConfig):
    """What a Share process needs beyond what every process needs."""

    port: int = setting("SHARE_PORT", 50055, doc="gRPC port of Share")
