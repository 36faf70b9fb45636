"""The embedded Valkey: what it keeps over a stop and over a kill, and whom it answers."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from services.mesh.errors import CannotStart
from services.mesh.valkey import Valkey


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """A server on an empty directory, stopped afterwards."""
    valkey = Valkey(tmp_path / "valkey")
    yield valkey
    valkey.remove()


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=5)


def test_what_was_written_is_there_after_a_stop(server: Valkey) -> None:
    """An orderly stop loses nothing, and the address keeps its password."""
    first = server.start()
    with _client(first) as client:
        client.rpush("queue", "job-1", "job-2")
    server.stop()
    with _client(server.start()) as client:
        assert client.lrange("queue", 0, -1) == ["job-1", "job-2"]
    assert server.url.split("@")[0] == first.split("@")[0]


def test_what_was_synced_is_there_after_sigkill(server: Valkey) -> None:
    """Writes that the append-only file has taken survive SIGKILL."""
    with _client(server.start()) as client:
        client.set("kept", "yes")
        assert client.execute_command("WAITAOF", 1, 0, 5000)[0] == 1
    server.kill()
    with _client(server.start()) as client:
        assert client.get("kept") == "yes"


def test_a_half_written_last_command_does_not_keep_it_from_starting(server: Valkey) -> None:
    """A torn end of the append-only file, as a power cut leaves it, is cut off and the rest is served."""
    with _client(server.start()) as client:
        client.set("kept", "yes")
    server.stop()
    (log,) = (server.data_directory / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as torn:
        torn.write(b"*3\r\n$3\r\nSET\r\n$4\r\nlo")
    with _client(server.start()) as client:
        assert client.get("kept") == "yes"
        assert client.get("lo") is None


def test_nobody_without_the_password_gets_in_and_the_process_list_does_not_show_it(server: Valkey) -> None:
    """The server refuses a stranger; the password is in a 0600 file and in no command line."""
    url = server.start()
    with pytest.raises(redis.AuthenticationError), _client(f"redis://127.0.0.1:{server.port}") as client:
        client.ping()
    password = server.directory / "password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert password.read_text() in url
    assert password.read_text() not in " ".join(psutil.Process(server.pid).cmdline())


def test_the_server_left_by_a_killed_supervisor_is_replaced(server: Valkey, tmp_path: Path) -> None:
    """A server whose supervisor is gone is stopped, and its data is served by the new one."""
    with _client(server.start()) as client:
        client.set("kept", "yes")
    left = server.pid
    server._lock.release()  # What the kernel does when a supervisor dies.
    second = Valkey(tmp_path / "valkey")
    try:
        with _client(second.start()) as client:
            assert client.get("kept") == "yes"
        assert second.pid != left
        assert server.pid is None
    finally:
        second.stop()


def test_a_directory_with_a_live_owner_is_refused(server: Valkey, tmp_path: Path) -> None:
    """Two live owners never run one directory."""
    server.start()
    with pytest.raises(CannotStart, match=f"process {os.getpid()}"):
        Valkey(tmp_path / "valkey").start()
