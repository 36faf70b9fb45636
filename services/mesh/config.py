"""The settings of the embedded runtime, beside those of the processes that it starts."""

from dataclasses import dataclass
from pathlib import Path

from services.kit.config import ProcessConfig, setting


@dataclass(frozen=True, kw_only=True)
class Config(ProcessConfig):
    """What ``cadenza up`` and the process that hosts the co-located mesh need."""

    home: Path = setting("CADENZA_HOME", Path(".cadenza"), doc="data folder of the embedded runtime")
    gateway_port: int = setting("GATEWAY_PORT", 8080, doc="HTTP port of the gateway; 0 takes any free one")
    edge_port: int = setting("EDGE_PORT", 50050, doc="plaintext gRPC port on loopback; 0 takes any free one")
    mesh_port: int = setting("MESH_PORT", 0, doc="mTLS port for the workers; the runtime chooses and remembers it")
    workers: int = setting("WORKERS", 2, doc="worker processes; each makes one song at a time")
    mesh_processes: int = setting("MESH_PROCESSES", 1, doc="processes that share the ports of gateway and mesh")
    sandbox: bool = setting("SANDBOX", False, doc="start stand-ins for all vendors too, and use them")  # noqa: FBT003
    sandbox_port: int = setting("SANDBOX_PORT", 8090, doc="HTTP port of the stand-ins; 0 takes any free one")
