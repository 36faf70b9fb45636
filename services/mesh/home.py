"""One place for the ports, folders, secrets and environment of a mesh on this machine.

Everything lives under CADENZA_HOME. What was chosen once (a free port, a secret) is written down there, so that the
next start finds the same addresses and old links still verify.
"""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from services.mesh.config import Config
from services.mesh.errors import CannotStart
from services.mesh.process import DirectoryLock, free_port

SERVICES = ("auth", "wallet", "composer", "media", "share")

DEFAULT_GATEWAY_PORT = Config.gateway_port
DEFAULT_EDGE_PORT = Config.edge_port
PUBLIC_PORTS = {
    "GATEWAY_PORT": DEFAULT_GATEWAY_PORT,
    "EDGE_PORT": DEFAULT_EDGE_PORT,
    "SANDBOX_PORT": Config.sandbox_port,
}
DEFAULT_WORKERS = Config.workers
FIRST_FREE_PORT = 1024
LAST_PORT = 65535
SECRET_SETTINGS = ("OBJECT_URL_SECRET", "ENCRYPTION_KEY")


@dataclass(frozen=True)
class Ports:
    """TCP ports on loopback: two that people use, three between our own processes."""

    gateway: int
    edge: int
    mesh: int
    postgres: int
    valkey: int


class Home:
    """The data folder of one mesh; opening it makes the folder, ``claim`` makes it ours alone."""

    def __init__(self, root: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
        self.environ = dict(os.environ if environ is None else environ)
        chosen = root or Path(self.environ.get("CADENZA_HOME") or Config.home)
        self.root = chosen.expanduser().absolute()
        self.tls = self.root / "tls"
        self.authority = self.root / "authority"
        self.objects = self.root / "objects"
        self.logs = self.root / "logs"
        self.run = self.root / "run"
        self._lock = DirectoryLock(self.root)
        self._ports: Ports | None = None

    def prepare(self) -> None:
        """Make the folders; raise ``CannotStart`` when the place cannot be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for folder in (self.objects, self.logs, self.run):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            message = f"The data folder {self.root} cannot be made: {error.strerror}."
            raise CannotStart(message, "Set CADENZA_HOME to a folder you can write.") from error

    def claim(self) -> None:
        """Make this home ours until we release it or die; a second owner is refused with the pid of the first."""
        self.prepare()
        self._lock.acquire()

    def release(self) -> None:
        """Let another process claim this home."""
        self._lock.release()

    def is_claimed(self) -> bool:
        """Return whether a live process holds this home, without making anything."""
        if not (self.root / "lock").exists():
            return False
        try:
            self._lock.acquire()
        except CannotStart:
            return True
        self._lock.release()
        return False

    @property
    def workers(self) -> int:
        """How many worker processes run (WORKERS)."""
        return self.number("WORKERS", DEFAULT_WORKERS, least=0, most=64)

    @property
    def mesh_processes(self) -> int:
        """How many processes share the mesh's ports (MESH_PROCESSES)."""
        return self.number("MESH_PROCESSES", Config.mesh_processes, least=1, most=64)

    @property
    def ports(self) -> Ports:
        """The ports of this home, remembered; raise ``CannotStart`` when one a person chose is taken."""
        if self._ports is None:
            self._ports = self._choose_ports()
        return self._ports

    @property
    def public_url(self) -> str:
        """How a client on this machine reaches the gateway."""
        return self.environ.get("PUBLIC_URL") or f"http://127.0.0.1:{self.ports.gateway}"

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """Return an integer setting of the environment; raise ``CannotStart`` when it is not in range."""
        text = self.environ.get(name, "").strip()
        if not text:
            return default
        if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
            message = f"{name} is {text!r}, but must be a whole number from {least} to {most}."
            raise CannotStart(message, f"Change it or unset it (then it is {default}).")
        return int(text)

    def environment(self, database_url: str, redis_url: str) -> dict[str, str]:
        """Return the environment of our processes: the caller's, with every address and secret of this home.

        A value the caller has set wins, so each part can be replaced by a real server or a stronger secret.
        """
        mesh_address = f"127.0.0.1:{self.ports.mesh}"
        ours = {
            "CADENZA_TLS": str(self.tls),
            "OBJECT_STORE_DIR": str(self.objects),
            "PUBLIC_URL": self.public_url,
            "LOG_LEVEL": "info",
            # Whoever shares one machine is known to it; the stricter limits are for gateways in the open.
            "RATE_USER_PER_MINUTE": "1200",
            # One process, many threads of BLAS: they would fight the other worker for two cores.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            **{f"{service.upper()}_ADDRESS": mesh_address for service in SERVICES},
            **self._secrets(),
        }
        fixed = {
            "CADENZA_HOME": str(self.root),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "GATEWAY_PORT": str(self.ports.gateway),
            "EDGE_PORT": str(self.ports.edge),
            "MESH_PORT": str(self.ports.mesh),
            "PYTHONUNBUFFERED": "1",
        }
        given = {name: value for name, value in self.environ.items() if value}
        return {**ours, **given, **fixed}

    def free_disk_bytes(self) -> int:
        """Return the space left where the data is."""
        existing = next(each for each in (self.root, *self.root.parents) if each.exists())
        return shutil.disk_usage(existing).free

    def _choose_ports(self) -> Ports:
        remembered = self.remembered_ports()
        chosen = Ports(
            gateway=self.public_port("GATEWAY_PORT"),
            edge=self.public_port("EDGE_PORT"),
            mesh=free_port(remembered.get("mesh")),
            postgres=free_port(remembered.get("postgres")),
            valkey=free_port(remembered.get("valkey")),
        )
        if len(set(asdict(chosen).values())) < len(asdict(chosen)):
            chosen = replace(chosen, mesh=free_port(), postgres=free_port(), valkey=free_port())
        if chosen.gateway == chosen.edge:
            message = f"GATEWAY_PORT and EDGE_PORT are both {chosen.gateway}."
            raise CannotStart(message, "Give them different numbers.")
        path = self.root / "ports.json"
        path.write_text(json.dumps(asdict(chosen), indent=1) + "\n")
        return chosen

    def remembered_ports(self) -> dict[str, int]:
        """Return the ports of the last start by name, those of a running mesh among them; empty before the first."""
        try:
            found = json.loads((self.root / "ports.json").read_text())
        except (OSError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {k: v for k, v in found.items() if isinstance(v, int) and FIRST_FREE_PORT <= v <= LAST_PORT}

    def public_port(self, name: str) -> int:
        """Return the port a person asked for, or with 0 any free one; a taken port is refused, not replaced."""
        wanted = self.number(name, PUBLIC_PORTS[name], least=0, most=LAST_PORT)
        if wanted == 0:
            return free_port()
        if free_port(wanted) != wanted:
            owner = port_owner(wanted)
            message = f"Port {wanted} ({name}) is in use{f' by {owner}' if owner else ''}."
            raise CannotStart(message, f"Stop that program, or choose another: {name}={wanted + 1} make up")
        return wanted

    def _secrets(self) -> dict[str, str]:
        """Return this home's generated secrets, making those that are missing, readable by us only."""
        path = self.root / "secrets.json"
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            found = {}
        except ValueError as error:
            message = f"{path} is damaged."
            raise CannotStart(message, "Restore it, or remove it: signed links made before stop working.") from error
        missing = [name for name in SECRET_SETTINGS if not found.get(name)]
        if missing:
            found |= {name: secrets.token_hex(32) for name in missing}
            unfinished = path.with_suffix(".unfinished")
            unfinished.unlink(missing_ok=True)
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                json.dump(found, out, indent=1)
                out.flush()
                os.fsync(out.fileno())
            unfinished.replace(path)
        return {name: str(found[name]) for name in SECRET_SETTINGS}


def port_owner(port: int) -> str:
    """Return the program that listens on ``port`` as "name (process 123)", or nothing when we may not see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            bound = getattr(connection.laddr, "port", None)
            if connection.status == psutil.CONN_LISTEN and bound == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass
    return ""
