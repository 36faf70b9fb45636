"""The embedded PostgreSQL: starting, stopping, every way of dying, and whom it serves."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from services.mesh import account
from services.mesh.errors import CannotStart
from services.mesh.postgres import Postgres
from services.mesh.process import end_child


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Postgres]:
    """A durable server on an empty directory, gone without a trace afterwards."""
    postgres = Postgres(tmp_path / "postgres")
    yield postgres
    postgres.remove()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stopped cluster to copy, because making one takes seconds of CPU."""
    postgres = Postgres(tmp_path_factory.mktemp("cluster") / "postgres")
    postgres.start()
    postgres.stop()
    yield postgres.directory
    postgres.remove()


@pytest.fixture
def server(empty: Postgres, cluster: Path) -> Postgres:
    """A durable server on a directory with a cluster in it."""
    copy = shutil.which("cp")
    assert copy is not None
    for part in ("data", "password"):
        subprocess.run([copy, "-a", str(cluster / part), str(empty.directory)], check=True)
    return empty


async def _ask(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_start_makes_a_cluster_that_keeps_its_data_and_password_over_a_stop(empty: Postgres) -> None:
    """A new directory becomes PostgreSQL 18 in UTF-8 with checksums, and a second start finds the rows."""
    server = empty
    url = server.start()
    assert str(await _ask(url, "SHOW server_version")).startswith("18.")
    assert await _ask(url, "SHOW data_checksums") == "on"
    assert await _ask(url, "SELECT datlocale FROM pg_database WHERE datname = 'cadenza'") == "C.UTF-8"
    await _ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    assert server.pid is None
    assert await _ask(server.start(), "SELECT answer FROM kept") == 42
    assert server.url.split("@")[0] == url.split("@")[0]


async def test_the_database_wants_its_password_which_only_we_can_read(server: Postgres) -> None:
    """A wrong password is refused over TCP, and the right one lies in a file of mode 0600."""
    url = server.start()
    password = server.directory / "password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _ask(url.replace(password.read_text(), "wrong"), "SELECT 1")


async def test_committed_rows_survive_sigkill_of_every_process(server: Postgres) -> None:
    """After SIGKILL of the server and its backends the next start recovers what was committed."""
    url = server.start()
    await _ask(url, "CREATE TABLE paid AS SELECT generate_series(1, 1000) AS id")
    server.kill()
    assert (server.data_directory / "postmaster.pid").exists()
    assert await _ask(server.start(), "SELECT count(*) FROM paid") == 1000


async def test_sigkill_of_the_postmaster_alone_is_recovered(server: Postgres) -> None:
    """Backends orphaned by a dead postmaster do not keep the next start from working."""
    url = server.start()
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS answer")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert server._child is not None
    await asyncio.to_thread(server._child.wait, 10)  # The signal takes a moment; until then it counts as running.
    assert server.crashed
    assert await _ask(server.start(), "SELECT answer FROM kept") == 7
    connection.terminate()


async def test_the_server_left_by_a_killed_supervisor_is_replaced(server: Postgres, tmp_path: Path) -> None:
    """A server whose supervisor died by SIGKILL is found by its directory, stopped, and its data served again."""
    script = "import sys, pathlib, os; from services.mesh.postgres import Postgres\n"
    script += "p = Postgres(pathlib.Path(sys.argv[1])); p.start(); print(p.pid, flush=True); os.kill(os.getpid(), 9)"
    command = [sys.executable, "-c", script, str(tmp_path / "postgres")]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    left = int((await process.communicate())[0])
    assert psutil.pid_exists(left)
    assert await _ask(server.start(), "SELECT 1") == 1
    assert not _lives(left)


async def test_a_pid_file_naming_a_stranger_is_ignored_and_the_stranger_lives(server: Postgres) -> None:
    """A recycled pid in postmaster.pid neither blocks the start nor costs the unrelated process its life."""
    server.start()
    server.kill()
    ours, program = account.server_account(), shutil.which("sleep")
    assert program is not None
    # Of the same account: only such a process looks alive to PostgreSQL.
    groups: list[int] | None = None if ours.user is None else []
    stranger = await asyncio.create_subprocess_exec(
        program, "60", user=ours.user, group=ours.group, extra_groups=groups
    )
    try:
        pid_file = server.data_directory / "postmaster.pid"
        pid_file.write_text("\n".join([str(stranger.pid), *pid_file.read_text().splitlines()[1:]]))
        assert await _ask(server.start(), "SELECT 1") == 1
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


def test_a_directory_with_a_live_owner_is_refused(server: Postgres, tmp_path: Path) -> None:
    """Two live owners never run one directory: the second is told the pid of the first."""
    server.start()
    with pytest.raises(CannotStart, match=f"process {os.getpid()}"):
        Postgres(tmp_path / "postgres").start()
    assert server.pid is not None


async def test_an_initdb_that_was_killed_is_begun_again(empty: Postgres) -> None:
    """Half a cluster, left by a kill during initdb, is thrown away and made anew."""
    unfinished = empty.directory / "data.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    assert await _ask(empty.start(), "SELECT 1") == 1
    assert not unfinished.exists()


def test_a_taken_port_that_was_asked_for_is_an_error_with_the_reason(tmp_path: Path, server: Postgres) -> None:
    """A server told to use a taken port says so instead of choosing another behind our back."""
    server.start()
    second = Postgres(tmp_path / "second", port=server.port)
    try:
        with pytest.raises(CannotStart, match="could not bind"):
            second.start()
    finally:
        second.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another account")
def test_root_runs_the_server_as_nobody_and_opens_no_private_folder(tmp_path: Path) -> None:
    """Under a folder closed to others the data goes to /var/tmp, run by nobody, and the folder stays closed."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = Postgres(private / "home" / "postgres")
    try:
        server.start()
        assert psutil.Process(server.pid).username() == "nobody"
        assert server.directory.is_relative_to(account.SHARED_ROOT)
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert (private / "home" / "postgres" / "location.txt").read_text().strip() == str(server.directory)
    finally:
        server.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another account")
def test_programs_that_nobody_cannot_reach_are_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the virtual environment behind a closed folder the server's account still gets programs it can run."""
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    closed.chmod(0o700)
    program = closed / "bin" / "postgres"
    program.write_text("#!/bin/sh\necho version\n")
    program.chmod(0o700)
    shared = account.SHARED_ROOT / f"cadenza-test-{os.getpid()}"
    shared.mkdir(mode=0o711)
    monkeypatch.setattr(account, "SHARED_ROOT", shared)
    try:
        found = account.reachable_programs(closed / "bin", account.server_account())
        assert found.is_relative_to(shared)
        assert account.server_account().run([str(found / "postgres")]).stdout == b"version\n"
        assert account.reachable_programs(closed / "bin", account.server_account()) == found
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(shared)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can plant a folder of another account")
def test_a_stand_in_prepared_by_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of our name in /var/tmp that another account owns is not trusted with the data."""
    monkeypatch.setattr(account, "SHARED_ROOT", tmp_path)
    planted = tmp_path / "cadenza-0-planted"
    planted.mkdir()
    os.chown(planted, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(CannotStart, match="not a private folder"):
        account.private_directory(planted)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user is the case that all other tests cover then")
def test_an_ordinary_user_runs_the_server_without_root(tmp_path: Path) -> None:
    """An account without rights starts, uses and stops its own server."""
    entry = pwd.getpwnam("nobody")
    folder = account.SHARED_ROOT / f"cadenza-test-user-{os.getpid()}"
    folder.mkdir(mode=0o700)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    # Rights are given up after the imports: the interpreter itself may lie where only root can read.
    script = (
        "import asyncio, asyncpg, os, pathlib, sys; from services.mesh.postgres import Postgres\n"
        "folder, user, group = sys.argv[1:]\n"
        "os.setgroups([]); os.setgid(int(group)); os.setuid(int(user))\n"
        "p = Postgres(pathlib.Path(folder) / 'postgres'); url = p.start()\n"
        "async def ask():\n    c = await asyncpg.connect(url)\n"
        "    print(await c.fetchval('SELECT 40 + 2')); await c.close()\n"
        "asyncio.run(ask()); p.stop()"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder), str(entry.pw_uid), str(entry.pw_gid)],
            capture_output=True, text=True, timeout=60, check=False,
            env={**account.CLEAN_ENVIRONMENT, "HOME": str(folder)},
        )  # fmt: skip
        assert done.stdout == "42\n", done.stderr
    finally:
        shutil.rmtree(folder)


def test_a_process_that_ignores_the_polite_signal_gets_the_next() -> None:
    """Ending goes through the list of signals until the process is gone."""
    script = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    stubborn = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    stubborn.stdout.close()
    assert end_child(stubborn, ((signal.SIGINT, 0.2), (signal.SIGTERM, 5.0))) == -signal.SIGTERM


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
