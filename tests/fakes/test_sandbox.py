"""All stand-ins behind one port: their page, their log, and the ways to make them fail."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.contract.settings import declared
from tests.fakes.__main__ import VENDORS
from tests.fakes.sandbox import Sandbox
from tests.fakes.stand_in import Fault, StandIn


class _Postman(StandIn):
    """Brings whatever it is given."""

    name = "postman"
    FAULTS = {"strike": Fault(status=503, body={"error": "strike"})}  # noqa: RUF012

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/letters", self._letters)]

    async def _letters(self, request: web.Request) -> web.Response:
        self.bring("letter", "a@example.org", "<b>Hello</b>", await request.text())
        return web.json_response({"ok": True})


@pytest.fixture
async def base() -> AsyncIterator[str]:
    """Yield the address of a sandbox with one vendor."""
    async with TestServer(Sandbox([_Postman()], url="http://127.0.0.1").application(), host="127.0.0.1") as server:
        yield str(server.make_url("")).rstrip("/")


async def test_what_a_person_would_have_got_stands_on_the_page_escaped(base: str) -> None:
    """A letter with markup in it is shown as text, with whom it was for, and what was asked beside it."""
    async with aiohttp.ClientSession(base) as http:
        await http.post("/postman/letters?secret=hidden", data="<script>alert(1)</script>")
        async with http.get("/") as answer:
            page = await answer.text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;Hello&lt;/b&gt;" in page
    assert "a@example.org" in page
    assert "POST /postman/letters" in page
    assert "<script" not in page
    assert "hidden" not in page


async def test_the_log_is_read_and_forgotten(base: str) -> None:
    """The log holds request and letter until it is deleted; of a vendor that is none it says 404."""
    async with aiohttp.ClientSession(base) as http:
        await http.post("/postman/letters", data="x")
        async with http.get("/_sandbox/postman/log") as answer:
            log = await answer.json()
        assert (log["seen"][0]["path"], log["seen"][0]["status"]) == ("/postman/letters", 200)
        assert log["letters"][0]["text"] == "x"
        async with http.delete("/_sandbox/postman/log") as answer:
            assert answer.status == 204
        async with http.get("/_sandbox/postman/log") as answer:
            assert await answer.json() == {"seen": [], "letters": []}
        async with http.get("/_sandbox/nobody/log") as answer:
            assert answer.status == 404


async def test_a_fault_is_set_as_often_as_it_was_told_and_taken_back(base: str) -> None:
    """A fault set twice over HTTP happens twice; one that was taken back does not happen."""
    async with aiohttp.ClientSession(base) as http:

        async def status() -> int:
            async with http.post("/postman/letters", data="x") as answer:
                return answer.status

        async with http.post(
            "/_sandbox/postman/faults", json={"fault": "strike", "times": 2, "on": "/letters"}
        ) as set_:
            assert set_.status == 200
        assert [await status() for _ in range(3)] == [503, 503, 200]
        await http.post("/_sandbox/postman/faults", data={"fault": "strike"})
        async with http.delete("/_sandbox/postman/faults") as taken_back:
            assert taken_back.status == 204
        assert await status() == 200


@pytest.mark.parametrize(
    "body", ['{"fault": "flood"}', '{"fault": "strike", "times": 0}', '{"fault": "strike", "on": 5}', "[", "[]"]
)
async def test_a_fault_that_is_none_is_refused(base: str, body: str) -> None:
    """Unknown faults, senseless counts and broken JSON are answered 400 and set nothing."""
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(base) as http:
        async with http.post("/_sandbox/postman/faults", data=body, headers=headers) as answer:
            assert answer.status == 400
        async with http.post("/postman/letters", data="x") as answer:
            assert answer.status == 200


async def test_another_sites_page_cannot_steer_it(base: str) -> None:
    """A form that another site sends through the developer's browser is refused."""
    headers = {"Origin": "https://elsewhere.example"}
    async with aiohttp.ClientSession(base) as http:
        async with http.post("/_sandbox/postman/faults", data={"fault": "strike"}, headers=headers) as answer:
            assert answer.status == 403
        async with http.post("/_sandbox/postman/faults", data={"fault": "strike"}, headers={"Origin": base}) as answer:
            assert answer.status == 200


def test_every_setting_of_the_sandbox_is_one_of_the_mesh() -> None:
    """What the stand-ins give the mesh as settings are names that the code declares, each by one vendor only."""
    known = {each.env for _, room in declared() for each in room}
    given = [
        name for group in Sandbox([each() for each in VENDORS], url="http://x").settings().values() for name in group
    ]
    assert set(given) <= known
    assert len(given) == len(set(given))
