"""`cadenza sandbox` and a mesh that starts with its stand-ins, as a developer runs them in the first hour."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.mesh import sandbox
from services.mesh.errors import CannotStart
from services.mesh.home import Home
from services.mesh.postgres import Postgres
from services.mesh.process import free_port
from services.mesh.up import running_mesh
from tests.mesh.test_up_mesh import FREE

pytestmark = pytest.mark.timeout(120)


async def test_a_wechat_user_logs_in_without_any_account(tmp_path: Path) -> None:
    """A mesh with SANDBOX=1 takes a code of the stand-in, which is asked once whose it is, and has words of a model."""
    home = Home(tmp_path / "home", {**Home().environ, **FREE, "WORKERS": "0", "SANDBOX": "1", "SANDBOX_PORT": "0"})
    try:
        async with running_mesh(home) as mesh, aiohttp.ClientSession() as http:
            assert "sandbox" in mesh.pids
            async with http.post(f"{mesh.sandbox_url}/wechat/_sandbox/codes", json={"openid": "o-1"}) as made:
                code = (await made.json())["code"]
            async with http.post(f"{mesh.base_url}/api/v1/auth/wechat", json={"code": code}) as answer:
                found = await answer.json()
                assert answer.status == 200, found
            async with http.get(f"{mesh.sandbox_url}/_sandbox/wechat/log") as log:
                asked = [each for each in (await log.json())["seen"] if each["query"].get("js_code") == code]
            words = await _words(http, mesh.base_url, found["data"]["access_token"])
            assert {each["provider"] for each in words["versions"]} == {"gemini"}
        assert found["data"]["is_new"]
        assert len(asked) == 1
    finally:
        Postgres(home.root / "postgres").remove()


async def _words(http: aiohttp.ClientSession, base_url: str, token: str) -> dict[str, Any]:
    """Return words for a song, asked for as soon as the credits of registration are there."""
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(100):
        async with http.get(f"{base_url}/api/v1/wallet/balance", headers=headers) as answer:
            if (await answer.json())["data"]["balance"]["available_credits"]:
                break
        await asyncio.sleep(0.1)
    async with http.post(f"{base_url}/api/v1/ai/lyrics", json={"theme": "海边的夏天"}, headers=headers) as answer:
        found = await answer.json()
        assert answer.status == 200, found
        data: dict[str, Any] = found["data"]
        return data


def test_the_command_serves_until_it_is_told_to_stop() -> None:
    """`cadenza sandbox --port N` answers on that port alone and ends at SIGTERM."""
    port = free_port()
    command = [sys.executable, "-m", "services.mesh", "sandbox", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert f"http://127.0.0.1:{port}/" in process.stdout.readline()
            assert _settings(port)["wechat"]["WECHAT_BASE_URL"] == f"http://127.0.0.1:{port}/wechat"
        finally:
            process.terminate()
        assert process.wait(20) in {0, -15}


def _settings(port: int) -> dict[str, dict[str, str]]:
    """Return the settings once the port is open, which follows the line that names it."""
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_sandbox/settings", timeout=5) as answer:
                found: dict[str, dict[str, str]] = json.load(answer)
                return found
        except OSError:
            continue
    raise AssertionError("the sandbox did not answer")


async def test_what_a_person_has_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor with a setting of the caller's own gets none of the sandbox's, so that no mixture comes about."""
    groups = {"wechat": {"WECHAT_BASE_URL": "s", "WECHAT_APP_ID": "s"}, "other": {"OTHER_URL": "s"}}
    monkeypatch.setattr(sandbox, "_asked", lambda _: groups)
    assert await sandbox.settings("", {"WECHAT_APP_ID": "mine"}) == {"OTHER_URL": "s"}


def test_without_the_tests_folder_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tests/ was not installed the command is refused with two sentences, not with a stack."""
    monkeypatch.setattr(sandbox, "PROGRAM", "tests_that_are_not_here.fakes")
    with pytest.raises(CannotStart) as refused:
        sandbox.command(1)
    assert "checkout" in refused.value.advice


def test_without_the_test_tools_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the runtime is installed the command names what installs the rest."""
    monkeypatch.setattr(sandbox, "TOOLS", "a_tool_that_is_not_here")
    with pytest.raises(CannotStart) as refused:
        sandbox.command(1)
    assert "dev.stamp" in refused.value.advice


def test_production_has_no_sandbox() -> None:
    """A mesh in production does not start with stand-ins, whose keys and codes anybody can read."""
    with pytest.raises(CannotStart):
        sandbox.wanted(Home(environ={"SANDBOX": "1", "APP_ENV": "production"}))


@pytest.mark.parametrize(("text", "on"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_switch(text: str, *, on: bool) -> None:
    """SANDBOX says yes or no, and anything else is refused."""
    assert sandbox.wanted(Home(environ={"SANDBOX": text})) is on
    with pytest.raises(CannotStart):
        sandbox.wanted(Home(environ={"SANDBOX": "perhaps"}))
