"""The ground that all vendors' stand-ins stand on."""

import aiohttp
import pytest
from aiohttp import web

from tests.fakes.stand_in import Fault, StandIn, plain, served


class _Baker(StandIn):
    name = "baker"
    FAULTS = {"sold_out": Fault(status=429, body={"error": "no bread"}), "burnt": Fault(name="burnt")}  # noqa: RUF012

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/bread/{kind}", self._bread)]

    async def _bread(self, request: web.Request) -> web.Response:
        return web.json_response({"kind": request.match_info["kind"], "burnt": self.told("burnt"), "more": "x" * 500})


async def _ask(baker: _Baker) -> tuple[int, dict[str, object]]:
    async with aiohttp.ClientSession() as http, http.post(f"{baker.url}/bread/rye?half=1", data=b"please") as answer:
        return answer.status, await answer.json()


async def test_what_was_asked_is_noted_with_its_answer() -> None:
    """A request is found in the log with query, headers, body and status, and is counted by its route."""
    async with served(_Baker()) as baker:
        await _ask(baker)
    noted = plain(baker.seen[0])
    assert (noted["method"], noted["path"], noted["query"]) == ("POST", "/bread/rye", {"half": "1"})
    assert (noted["body"], noted["status"]) == ("please", 200)
    assert "user-agent" in noted["headers"]
    assert baker.calls == {"POST /bread/{kind}": 1}


async def test_a_fault_happens_as_often_as_it_was_told() -> None:
    """A fault that is set twice answers two requests, and the third is answered as usual."""
    async with served(_Baker()) as baker:
        baker.fail("sold_out", times=2)
        assert [(await _ask(baker))[0] for _ in range(3)] == [429, 429, 200]


async def test_a_fault_of_one_path_leaves_the_others_alone() -> None:
    """A fault meant for another path does not happen here."""
    async with served(_Baker()) as baker:
        baker.fail("sold_out", on="/cake")
        assert (await _ask(baker))[0] == 200


async def test_a_vendors_own_fault_is_asked_for_where_it_happens() -> None:
    """A named fault changes what the vendor's own code answers, once."""
    async with served(_Baker()) as baker:
        baker.fail("burnt")
        assert [(await _ask(baker))[1]["burnt"] for _ in range(2)] == [True, False]


async def test_a_parrot_says_back_what_it_was_asked() -> None:
    """With the fault that every vendor has, an error holds body, query and headers of the request."""
    async with served(_Baker()) as baker:
        baker.fail("parrot")
        status, said = await _ask(baker)
    assert status == 400
    assert all(word in str(said) for word in ("please", "half=1", "User-Agent"))


async def test_a_cut_answer_breaks_in_the_middle() -> None:
    """With `cut` the client gets half of what was promised and a broken connection."""
    async with served(_Baker()) as baker:
        baker.fail(Fault(cut=True))
        with pytest.raises(aiohttp.ClientPayloadError):
            await _ask(baker)
