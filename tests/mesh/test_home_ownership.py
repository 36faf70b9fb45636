"""The home: one owner, remembered ports and secrets, and what the children are told."""

import json
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.mesh.errors import CannotStart
from services.mesh.home import SERVICES, Home

FREE = {"GATEWAY_PORT": "0", "EDGE_PORT": "0"}


def test_a_second_owner_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    """While one process holds a home another is told its pid; after SIGKILL of the first it is free at once."""
    script = (
        "import pathlib, sys, time; from services.mesh.home import Home\n"
        "Home(pathlib.Path(sys.argv[1])).claim() or print('held', flush=True); time.sleep(60)"
    )
    # The object must outlive the call, or the lock goes with it.
    script = script.replace(
        "Home(pathlib.Path(sys.argv[1])).claim() or", "h = Home(pathlib.Path(sys.argv[1])); h.claim();"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"held\n"
        second = Home(tmp_path)
        with pytest.raises(CannotStart, match=f"in use by another Cadenza, process {owner.pid}"):
            second.claim()
        owner.kill()
    second.claim()
    second.release()


def test_inner_ports_and_secrets_are_remembered(tmp_path: Path) -> None:
    """A second opening of a home gives the same inner ports and the same generated secrets, kept private."""
    first = Home(tmp_path, FREE)
    first.prepare()
    ports, environment = first.ports, first.environment("postgresql://a/b", "redis://c")
    second = Home(tmp_path, FREE)
    assert (second.ports.mesh, second.ports.postgres, second.ports.valkey) == (ports.mesh, ports.postgres, ports.valkey)
    again = second.environment("postgresql://a/b", "redis://c")
    assert again["OBJECT_URL_SECRET"] == environment["OBJECT_URL_SECRET"]
    assert len(environment["OBJECT_URL_SECRET"]) >= 32
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_a_remembered_inner_port_that_is_taken_now_is_replaced(tmp_path: Path) -> None:
    """An inner port that somebody else has taken meanwhile is not insisted on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        (tmp_path / "ports.json").write_text(json.dumps({"postgres": taken, "valkey": "x", "mesh": -1}))
        ports = Home(tmp_path, FREE).ports
    assert ports.postgres != taken
    assert len({ports.gateway, ports.edge, ports.mesh, ports.postgres, ports.valkey}) == 5


def test_a_taken_public_port_is_refused_with_its_owner_and_a_way_out(tmp_path: Path) -> None:
    """The port a person chose is never silently replaced; the message names the program and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"Port {taken} \(GATEWAY_PORT\) is in use by .*process \d+") as refused:
            _ = Home(tmp_path, {**FREE, "GATEWAY_PORT": str(taken)}).ports
    assert f"GATEWAY_PORT={taken + 1} make up" in refused.value.advice


@pytest.mark.parametrize("text", ["eighty", "-1", "65536", "8080.5", "٨"])
def test_a_port_that_is_no_port_is_refused(tmp_path: Path, text: str) -> None:
    """Words, negative, too large, fractional and non-ASCII numbers are refused by the name of the setting."""
    with pytest.raises(CannotStart, match="GATEWAY_PORT"):
        _ = Home(tmp_path, {**FREE, "GATEWAY_PORT": text}).ports


def test_children_are_told_every_address_and_the_callers_choices_win(tmp_path: Path) -> None:
    """All five services are at the mesh's port, the given database is passed on, and a caller's own value stays."""
    home = Home(tmp_path, {**FREE, "PUBLIC_URL": "https://example.org", "GEMINI_API_KEY": "k", "LOG_LEVEL": ""})
    home.prepare()
    environment = home.environment("postgresql://a/b", "redis://c")
    assert {environment[f"{name.upper()}_ADDRESS"] for name in SERVICES} == {f"127.0.0.1:{home.ports.mesh}"}
    assert environment["DATABASE_URL"] == "postgresql://a/b"
    assert environment["REDIS_URL"] == "redis://c"
    assert environment["PUBLIC_URL"] == "https://example.org"
    assert environment["GEMINI_API_KEY"] == "k"
    assert environment["LOG_LEVEL"] == "info"
    assert environment["OBJECT_STORE_DIR"] == str(tmp_path / "objects")


def test_a_place_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    """A home below a file cannot be made, and the message says which setting to change."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match="CADENZA_HOME"):
        Home(tmp_path / "file" / "home").claim()
