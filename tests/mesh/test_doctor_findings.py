"""``cadenza doctor``: what it finds, what it advises, and its exit status."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from services.mesh.doctor import Finding, examine
from services.mesh.home import Home


def _environment(folder: Path, **more: str) -> dict[str, str]:
    return {"CADENZA_HOME": str(folder / "home"), "GATEWAY_PORT": "0", "EDGE_PORT": "0", **more}


def _about(subject: str, findings: list[Finding]) -> Finding:
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def test_a_machine_that_can_run_cadenza_has_no_failures(tmp_path: Path) -> None:
    """Where these tests run nothing fails, the real programs were asked for their versions, and nothing was made."""
    findings = examine(_environment(tmp_path))
    assert [finding for finding in findings if finding.level == "fail"] == []
    assert "PostgreSQL" in _about("database", findings).fact
    assert "ffmpeg version" in _about("ffmpeg", findings).fact
    assert not (tmp_path / "home").exists()


def test_a_taken_port_is_reported_with_its_owner(tmp_path: Path) -> None:
    """A port in use by another program fails and names the program and another port to use."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        found = _about("GATEWAY_PORT", examine(_environment(tmp_path, GATEWAY_PORT=str(taken))))
    assert found.level == "fail"
    assert f"{taken} is in use by" in found.fact
    assert str(os.getpid()) in found.fact
    assert f"GATEWAY_PORT={taken + 1}" in found.advice


def test_a_port_used_by_the_running_mesh_of_this_home_is_fine(tmp_path: Path) -> None:
    """Beside a running mesh its own ports are no problem."""
    home = Home(tmp_path / "home", {})
    home.claim()
    try:
        with socket.create_server(("127.0.0.1", 0)) as ours:
            port = ours.getsockname()[1]
            found = _about("EDGE_PORT", examine(_environment(tmp_path, EDGE_PORT=str(port))))
    finally:
        home.release()
    assert found.level == "ok"
    assert "running" in found.fact


def test_servers_of_ones_own_that_do_not_answer_fail_without_their_password(tmp_path: Path) -> None:
    """An unreachable DATABASE_URL, REDIS_URL or S3_ENDPOINT_URL is named, and the password is not repeated."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        findings = examine(
            _environment(
                tmp_path,
                DATABASE_URL=f"postgresql://me:hush@127.0.0.1:{port}/x",
                REDIS_URL=f"redis://:hush@127.0.0.1:{port}/0",
                S3_ENDPOINT_URL=f"http://127.0.0.1:{port}",
            )
        )
    for subject in ("database", "valkey", "objects"):
        found = _about(subject, findings)
        assert found.level == "fail"
        assert str(port) in found.fact
        assert "hush" not in found.fact + found.advice


def test_wrong_paths_fail_with_the_setting_to_correct(tmp_path: Path) -> None:
    """A SOUNDFONT or FFMPEG_BINARY that is not there is a failure that names the setting."""
    missing = str(tmp_path / "missing")
    findings = examine(_environment(tmp_path, SOUNDFONT=missing, FFMPEG_BINARY=missing))
    for subject in ("soundfont", "ffmpeg"):
        assert _about(subject, findings).level == "fail"
        assert missing in _about(subject, findings).fact


def test_the_command_prints_json_and_its_status_tells_of_failures(tmp_path: Path) -> None:
    """``cadenza doctor --json`` is one JSON list; the exit status is 1 with a failure and 0 without."""
    base = {**Home().environ, **_environment(tmp_path)}
    for more, status in (({}, 0), ({"EDGE_PORT": "no"}, 1)):
        done = subprocess.run(
            [sys.executable, "-m", "services.mesh", "doctor", "--json"],
            env={**base, **more}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        levels = {each["subject"]: each["level"] for each in json.loads(done.stdout)}
        assert levels["EDGE_PORT"] == ("fail" if status else "ok")
