"""The forms of an event stream: which one `Accept` chooses, and that all of them tell the same."""

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from services.kit.errors import Unavailable
from tests.gateway.conftest import ALICE, Gateway, runners
from tests.gateway.services import Fakes
from tests.gateway.test_stream_http import PATH, next_event, until_reading

LINES = "application/x-ndjson"
ARRAY = "application/json"


async def rest(http: ClientSession, accept: str, **headers: str) -> Any:
    """Return the objects of a whole stream of JSON."""
    async with http.get(PATH, headers={**ALICE, "Accept": accept, **headers}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == f"{accept}; charset=utf-8"
        raw = await response.read()
    return orjson.loads(raw) if accept == ARRAY else [orjson.loads(line) for line in raw.splitlines()]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/event-stream"),
        ("*/*", "text/event-stream"),
        ("text/html, */*;q=0.8", "text/event-stream"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/jsonl", "application/jsonl"),
        ("application/json", "application/json"),
        ("application/*", "application/x-ndjson"),
        ("application/json, text/event-stream;q=0.9", "application/json"),
        ("text/event-stream, application/json", "text/event-stream"),
        ("*/*, text/event-stream;q=0, application/x-ndjson;q=0.1", "application/ndjson"),
    ],
)
async def test_the_client_chooses_by_its_accept(http: ClientSession, fakes: Fakes, accept: str, kind: str) -> None:
    """The best liked form comes, server-sent events where the client does not say."""
    fakes.jobs.add(final=True)
    async with http.get(PATH, headers={**ALICE, "Accept": accept}) as response:
        assert response.headers["Content-Type"].partition(";")[0] == kind


@pytest.mark.point(19)
@pytest.mark.parametrize("accept", [LINES, ARRAY])
async def test_json_tells_what_server_sent_events_tell(http: ClientSession, fakes: Fakes, accept: str) -> None:
    """Names, places and data are equal event by event, the end is one of them, and resuming works alike."""
    for last in (False, False, True):
        fakes.jobs.add(final=last)
    async with http.get(PATH, headers=ALICE) as response:
        told = []
        while event := await next_event(response):
            told.append({"event": event.name, "data": event.data} | ({"id": int(event.id)} if event.id else {}))
    assert await rest(http, accept) == told
    assert [each["event"] for each in told] == ["snapshot", "change", "change", "change", "end"]
    assert [each.get("id") for each in await rest(http, accept, **{"Last-Event-ID": "2"})] == [2, 3, None]


@pytest.mark.parametrize("accept", [LINES, ARRAY])
async def test_a_failure_after_the_first_byte_is_the_last_object(
    http: ClientSession, fakes: Fakes, accept: str
) -> None:
    """It carries the whole envelope, and the array is valid JSON all the same; before the first byte it is a status."""
    fakes.jobs.add()
    fakes.jobs.fail(Unavailable("the database is out of reach", dependency="database"))
    *_, change, error = await rest(http, accept)
    assert (change["event"], error["event"], error["data"]["code"]) == ("change", "error", 10003)
    assert error["data"]["details"]["metadata"]["dependency"] == "database"
    async with http.get(PATH, headers={"Authorization": "Bearer bob", "Accept": accept}) as response:
        assert (response.status, orjson.loads(await response.read())["code"]) == (404, 10002)


@pytest.mark.parametrize(("accept", "silence"), [(LINES, b'{"event":"heartbeat"}\n'), (ARRAY, b"\n")])
async def test_silence_is_broken_in_every_form(gateway: Gateway, fakes: Fakes, accept: str, silence: bytes) -> None:
    """A line of its own, or white space between two items, which no parser minds."""
    http = await gateway(stream_heartbeat_s=0.05)
    async with http.get(PATH, headers={**ALICE, "Accept": accept}) as response:
        raw = b""
        async with asyncio.timeout(3):
            while raw.count(silence) < 4:
                raw += await response.content.readany()
            fakes.jobs.add(final=True)
            raw += await response.content.read()
    told = orjson.loads(raw) if accept == ARRAY else [orjson.loads(line) for line in raw.splitlines()]
    assert [each["event"] for each in told if each["event"] != "heartbeat"] == ["snapshot", "change", "end"]


async def test_an_array_is_closed_when_its_gateway_ends(gateway: Gateway) -> None:
    """What has come so far can be parsed, and its last event says that the client is to connect again."""
    http = await gateway()
    async with http.get(PATH, headers={**ALICE, "Accept": ARRAY}) as response:
        await response.content.readany()
        stopping = asyncio.create_task(runners[http].cleanup())
        async with asyncio.timeout(5):
            raw = await response.content.read()
            await stopping
    assert orjson.loads(b"[{}" + raw)[-1] == {"event": "draining"}


async def test_all_forms_share_one_upstream_stream(http: ClientSession, fakes: Fakes) -> None:
    """Whatever the form, one call upstream serves every reader of a job."""
    fakes.jobs.add()
    async with http.get(PATH, headers=ALICE) as one, http.get(PATH, headers={**ALICE, "Accept": LINES}) as other:
        await until_reading(fakes, 1)
        fakes.jobs.add(final=True)
        assert b"event: end" in await one.read()
        assert b'{"event":"end"' in await other.read()
