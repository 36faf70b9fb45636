"""The page of the API: every route, the same call for four tools, and a form that really calls."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from services.mesh.up import RunningMesh
from tests.e2e.browsing import Open
from tests.e2e.people import Person

RUN_S = 60
SONG_MS = 240_000
PYTHON = """
import asyncio, os
token = os.environ["TOKEN"]
async def main():
{call}
asyncio.run(main())
"""


async def _opened(page: Page, words: str) -> Locator:
    """Find a route by its words, open it, and return it."""
    await expect(page.locator(".route:visible").first).to_be_visible()
    await page.fill("#find", words)
    route = page.locator(".route:visible").first
    await route.locator("summary").click()
    return route


async def test_docs_lists_every_route(open_page: Open) -> None:
    """The page of the API lists each route of the document and opens to its fields."""
    page: Page = await open_page("/api/docs")
    await expect(page.locator(".route").first).to_be_visible()
    document = await (await page.request.get("/api/docs/openapi.json")).json()
    assert await page.locator(".route").count() == sum(len(verbs) for verbs in document["paths"].values())
    route = await _opened(page, "post /api/v1/tracks starts")
    await expect(route.locator("tbody").first).to_contain_text("Idempotency-Key")


async def test_a_route_can_be_tried(open_page: Open) -> None:
    """A form sends what is written in it: the answer is shown with its status, a wrong body is refused by the form."""
    page: Page = await open_page("/api/docs")
    route = await _opened(page, "get /api/v1/jobs lists")
    await route.get_by_label("page_size").fill("5")
    await expect(route.locator(".calls")).to_contain_text("/api/v1/jobs?page_size=5")
    await route.get_by_role("button", name="Send").click()
    await expect(route.get_by_role("status")).to_contain_text("Status 200")
    await expect(route.get_by_label("The answer that came")).to_contain_text('"jobs": []')

    route = await _opened(page, "post /api/v1/ai/lyrics")
    body = route.get_by_label("Body")
    await body.fill("{broken")
    await route.get_by_role("button", name="Send").click()
    assert await body.evaluate("box => !box.checkValidity()")
    await body.fill('{"theme": "<b>rain</b>"}')
    await route.get_by_role("button", name="Send").click()
    await expect(route.get_by_role("status")).to_contain_text("Status 2")
    assert await route.locator("pre b").count() == 0


async def test_a_stream_is_shown_as_it_comes(open_page: Open) -> None:
    """The events of a stream appear one by one as they are sent, until the reader stops them."""
    page: Page = await open_page("/api/docs")
    route = await _opened(page, "get /api/v1/wallet/events")
    await route.get_by_role("button", name="Send").click()
    shown = route.get_by_label("The answer that came")
    await expect(shown).to_contain_text("event:")
    await expect(shown).to_contain_text('"available_credits":100')
    await route.get_by_role("button", name="Stop").click()
    await expect(route.get_by_role("button", name="Send")).to_be_enabled()


async def test_what_is_shown_can_be_pasted(open_page: Open, mesh: RunningMesh, singer: Person, tmp_path: Path) -> None:
    """The call that the page shows for curl, JavaScript, Python and buf curl runs as it stands and answers alike."""
    page: Page = await open_page("/api/docs")
    route = await _opened(page, "get /api/v1/wallet/entries")
    await route.get_by_label("page_size").fill("1")
    texts = {
        str(await each.locator("h4").inner_text()): str(await each.locator("code").inner_text())
        for each in await route.locator(".curl").all()
    }
    assert set(texts) == {"curl", "JavaScript", "Python", "buf curl"}
    token = {"TOKEN": singer.token, "EDGE": mesh.edge_address}
    (tmp_path / "call.py").write_text(
        PYTHON.format(call="\n".join(f"    {line}" for line in texts["Python"].splitlines()))
    )
    (tmp_path / "call.mjs").write_text(f"const token = process.env.TOKEN;\n{texts['JavaScript']}\n")
    buf = Path(sys.executable).with_name("buf")
    commands = {
        "curl": ["bash", "-c", texts["curl"]],
        "buf curl": ["bash", "-c", texts["buf curl"].replace("buf curl", f"{buf} curl", 1)],
        "Python": [sys.executable, str(tmp_path / "call.py")],
    }
    if shutil.which("node"):
        commands["JavaScript"] = ["node", str(tmp_path / "call.mjs")]
    said = {}
    for tool, command in commands.items():
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            env={**os.environ, **token},  # noqa: TID251  # what a person's shell has
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_S,
        )
        assert done.returncode == 0, (tool, done.stderr)
        said[tool] = done.stdout
    entry = json.loads(said["curl"])["data"]["entries"][0]["entry_id"]
    assert all(entry in text for text in said.values()), said


async def test_one_log_has_two_readers(open_page: Open, mesh: RunningMesh) -> None:
    """A job's log shown live as SSE and as gRPC answers it is alike to the last line, and so is the pasted stream."""
    page: Page = await open_page("/api/docs")
    await page.click("#console-box > summary")
    await page.click("#console-begin")
    live = page.locator("#console-events li")
    await expect(live.nth(2)).to_be_visible()
    assert "completed" not in await page.inner_text("#console-events")
    session = json.loads(str(await page.evaluate("localStorage.getItem('cadenza.session')")))
    headers = {"Authorization": f"Bearer {session['token']}"}
    await page.request.post(f"/api/v1/jobs/{await page.input_value('#console-job')}/cancel", data={}, headers=headers)
    await expect(page.locator("#console-said")).to_contain_text("The log has ended", timeout=SONG_MS)
    lines, asked = [await page.locator(f"#console-{name} li").all_inner_texts() for name in ("events", "asked")]
    assert len(lines) > 3
    assert "cancelled" in lines[-1]
    assert lines == asked
    assert f"{len(lines)} lines on both sides, all alike" in await page.inner_text("#console-said")

    command = str(await page.inner_text("#console-command")).replace(
        "buf curl", f"{Path(sys.executable).with_name('buf')} curl", 1
    )
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-c", command],
        env={**os.environ, "TOKEN": session["token"], "EDGE": mesh.edge_address},  # noqa: TID251  # a person's shell
        capture_output=True,
        text=True,
        check=True,
        timeout=RUN_S,
    )
    messages = json.loads("[" + done.stdout.replace("}\n{", "},{") + "]")
    events = [message["event"] for message in messages if "event" in message]
    told = [f"{each['sequence']} · {each['state'].removeprefix('JOB_STATE_').lower()}" for each in events]
    assert told == [" · ".join(line.split(" · ")[:2]) for line in lines]


@pytest.mark.parametrize("path", ["/api/v1/tracks", "/api/v1/assets/audio/upload"])
async def test_every_tool_says_what_it_sends(open_page: Open, path: str) -> None:
    """For a route with a body and for one with a file all four tools name the address or the method of the call."""
    page: Page = await open_page("/api/docs")
    route = await _opened(page, f"post {path} ")
    for words in ("curl -sS -X POST", "await fetch(", "session.request(", "buf curl --protocol grpc"):
        await expect(route.locator(".calls")).to_contain_text(words)
