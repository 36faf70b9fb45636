"""Event streams over HTTP: order, resuming, sharing, silence, slowness, failure and the end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse, ClientSession

from services.kit.errors import DomainError, Unavailable
from tests.gateway.conftest import ALICE, Gateway, runners
from tests.gateway.services import JOB, TRACK, Fakes

PATH = f"/api/v1/jobs/{JOB}/events"


@dataclass
class Event:
    """One event as a browser would see it."""

    name: str
    id: str
    data: Any


async def next_event(response: ClientResponse) -> Event | None:
    """Return the next event, reading over comments and retry lines; None at the end."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(5):
        while line := await response.content.readline():
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "data" in fields:
                return Event(fields.get("event", "message"), fields.get("id", ""), orjson.loads(fields["data"]))
            else:
                fields = {}
    return None


@asynccontextmanager
async def watching(http: ClientSession, path: str = PATH, **headers: str) -> AsyncIterator[ClientResponse]:
    """Open a stream and read its snapshot."""
    async with http.get(path, headers={**ALICE, **headers}) as response:
        assert response.status == 200
        first = await next_event(response)
        assert first is not None
        assert first.name == "snapshot"
        yield response


async def names(response: ClientResponse) -> list[tuple[str, str]]:
    """Return name and id of every event up to the end of the stream."""
    found = []
    while event := await next_event(response):
        found.append((event.name, event.id))
    return found


async def until_reading(fakes: Fakes, count: int) -> None:
    """Wait until this many upstream streams are open; fails after two seconds."""
    async with asyncio.timeout(2):
        while fakes.jobs.reading != count:  # noqa: ASYNC110  # the fake counts, it does not signal
            await asyncio.sleep(0.01)


@pytest.mark.point(19)
async def test_a_stream_gives_snapshot_changes_and_end_with_their_sequence(http: ClientSession, fakes: Fakes) -> None:
    """The first event is the whole state, each later one a line of the log, and the end is said aloud."""
    fakes.jobs.add()
    async with http.get(PATH, headers=ALICE) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache, no-transform"
        assert "Content-Encoding" not in response.headers
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        snapshot = await next_event(response)
        assert snapshot is not None
        assert (snapshot.name, snapshot.id) == ("snapshot", "0")
        assert snapshot.data["job"]["state"] == "running"
        change = await next_event(response)
        assert change is not None
        assert (change.name, change.id, change.data["event"]["step"]) == ("change", "1", "listen")
        fakes.jobs.add(final=True)
        assert await names(response) == [("change", "2"), ("end", "")]


@pytest.mark.point(19)
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PATH, {"Last-Event-ID": "2"}),
        (f"{PATH}?after_sequence=2", {}),
        (f"{PATH}?after=2", {}),
        (f"{PATH}?afterSequence=2", {}),
        (f"{PATH}?after_sequence=0", {"Last-Event-ID": "2"}),
    ],
)
async def test_a_client_goes_on_where_it_stopped(
    http: ClientSession, fakes: Fakes, path: str, headers: dict[str, str]
) -> None:
    """Only later events follow the snapshot; the header that a browser sends by itself wins over its address."""
    for last in (False, False, False, True):
        fakes.jobs.add(final=last)
    async with watching(http, path, **headers) as response:
        assert await names(response) == [("change", "3"), ("change", "4"), ("end", "")]


@pytest.mark.parametrize("last", ["x", "-1", "1e3", "99999999999999999999"])
async def test_a_place_that_is_none_is_refused(http: ClientSession, last: str) -> None:
    """Last-Event-ID must be a sequence; -1 is refused by the contract's own rule."""
    async with http.get(PATH, headers={**ALICE, "Last-Event-ID": last}) as response:
        body = orjson.loads(await response.read())
    assert (response.status, body["code"]) == (400, 10001)
    assert body["details"]["fields"][0]["field"] in {"Last-Event-ID", "after_sequence"}


async def test_another_users_token_sees_nothing_at_the_start_and_on_resuming(http: ClientSession, fakes: Fakes) -> None:
    """While Alice watches, Bob is told 404 with a true status, whatever sequence he claims to have."""
    async with watching(http):
        for last in ("0", "1"):
            bob = {"Authorization": "Bearer bob", "Last-Event-ID": last}
            async with http.get(PATH, headers=bob) as response:
                assert response.status == 404
                assert orjson.loads(await response.read())["code"] == 10002
        assert fakes.jobs.reading == 1


async def test_a_stream_without_a_token_is_401(http: ClientSession) -> None:
    """Before the first byte errors have their status and the envelope."""
    async with http.get(PATH) as response:
        assert (response.status, orjson.loads(await response.read())["code"]) == (401, 20001)


async def test_a_token_in_the_address_opens_streams_only(http: ClientSession, fakes: Fakes) -> None:
    """An EventSource can send no header; every other route refuses the parameter by name."""
    fakes.jobs.add(final=True)
    async with http.get(f"{PATH}?access_token=alice") as response:
        assert [name for name, _ in await names(response)] == ["snapshot", "change", "end"]
    async with http.get(f"/api/v1/tracks/{TRACK}?access_token=alice", headers=ALICE) as response:
        assert response.status == 400
        assert orjson.loads(await response.read())["details"]["fields"][0]["field"] == "access_token"


async def test_the_token_of_an_address_reaches_no_log_line(
    http: ClientSession, fakes: Fakes, caplog: pytest.LogCaptureFixture
) -> None:
    """Queries are never written down."""
    fakes.jobs.add(final=True)
    with caplog.at_level("DEBUG"):
        async with http.get(f"{PATH}?access_token=alice") as response:
            await names(response)
    assert caplog.records
    assert all("access_token" not in str(vars(record)) for record in caplog.records)


async def test_many_browsers_share_one_upstream_stream_and_see_the_same(http: ClientSession, fakes: Fakes) -> None:
    """Each client asks upstream once with its own token; then one stream serves them all, every event in order."""
    fakes.jobs.add()
    async with watching(http) as first, watching(http) as second, watching(http, **{"Last-Event-ID": "1"}) as third:
        await until_reading(fakes, 1)
        assert fakes.jobs.calls == [0, 0, 1]
        for _ in range(5):
            fakes.jobs.add()
        fakes.jobs.add(final=True)
        changes = [("change", str(number)) for number in range(1, 8)]
        assert await names(first) == [*changes, ("end", "")]
        assert await names(second) == [*changes, ("end", "")]
        assert await names(third) == [*changes[1:], ("end", "")]
    await until_reading(fakes, 0)


async def test_a_client_behind_the_shared_stream_catches_up_and_joins_it(http: ClientSession, fakes: Fakes) -> None:
    """A feed that began at event 3 cannot serve a client at 0; it reads alone up to there, without a gap."""
    for _ in range(3):
        fakes.jobs.add()
    async with watching(http, **{"Last-Event-ID": "3"}) as ahead, watching(http) as behind:
        caught_up = [await next_event(behind) for _ in range(3)]
        assert [event.id for event in caught_up if event] == ["1", "2", "3"]
        await until_reading(fakes, 1)
        fakes.jobs.add()
        fakes.jobs.add(final=True)
        assert await names(behind) == await names(ahead) == [("change", "4"), ("change", "5"), ("end", "")]


async def test_the_stream_outlives_the_client_that_opened_it(http: ClientSession, fakes: Fakes) -> None:
    """The shared upstream call belongs to its readers and not to the first of them."""
    async with watching(http) as second:
        async with watching(http):
            await until_reading(fakes, 1)
        fakes.jobs.add(final=True)
        assert await names(second) == [("change", "1"), ("end", "")]


async def test_closing_the_stream_ends_the_upstream_call_within_a_second(http: ClientSession, fakes: Fakes) -> None:
    """When the last client hangs up nobody goes on reading for it."""
    async with watching(http) as response:
        await until_reading(fakes, 1)
        response.close()
        async with asyncio.timeout(1):
            await until_reading(fakes, 0)


@pytest.mark.point(19)
async def test_silence_is_broken_by_heartbeats(gateway: Gateway) -> None:
    """A comment arrives when nothing else does, so that no proxy gives the connection up."""
    http = await gateway(stream_heartbeat_s=0.05)
    async with watching(http) as response:
        async with asyncio.timeout(2):
            assert await response.content.readline() == b": heartbeat\n"


@pytest.mark.point(19)
async def test_a_failure_after_the_first_byte_is_an_event(http: ClientSession, fakes: Fakes) -> None:
    """The status is spent, so the error envelope comes as the data of an event, after everything before it."""
    async with watching(http) as response:
        fakes.jobs.add()
        fakes.jobs.fail(Unavailable("the database is out of reach", dependency="database"))
        change, error = await next_event(response), await next_event(response)
        assert change is not None
        assert error is not None
        assert (change.name, error.name) == ("change", "error")
        assert (error.data["code"], error.data["details"]["metadata"]["dependency"]) == (10003, "database")
        assert await next_event(response) is None


async def test_a_stream_opened_after_a_failure_starts_anew(http: ClientSession, fakes: Fakes) -> None:
    """A feed that failed is not handed to the next client, also while somebody still holds it."""
    async with watching(http) as broken:
        fakes.jobs.fail(DomainError("once"))
        event = await next_event(broken)
        assert event is not None
        assert event.name == "error"
        fakes.jobs.failure = None
        fakes.jobs.add(final=True)
        async with watching(http) as response:
            assert await names(response) == [("change", "1"), ("end", "")]


@pytest.mark.point(35)
async def test_a_slow_client_misses_nothing_and_costs_no_queue(gateway: Gateway, fakes: Fakes) -> None:
    """A client that falls out of the shared window reads on from its own place, every event in order."""
    http = await gateway()
    count = 1200
    async with http.get(PATH, headers=ALICE) as slow, watching(http) as quick:
        await until_reading(fakes, 1)
        for _ in range(count):
            fakes.jobs.add(message="x" * 12_000)
            await asyncio.sleep(0)
        fakes.jobs.add(final=True)
        expected = [("change", str(number)) for number in range(1, count + 2)]
        assert (await names(quick))[:-1] == expected
        assert (await names(slow))[1:] == [*expected, ("end", "")]
    assert len(fakes.jobs.calls) > 2


@pytest.mark.point(35)
async def test_a_client_that_never_reads_is_cut(gateway: Gateway, fakes: Fakes) -> None:
    """A socket that takes nothing for the time allowed is closed, and its upstream call with it."""
    http = await gateway(stream_stall_s=0.3)
    port = runners[http].addresses[0][1]
    with socket.create_connection(("127.0.0.1", port)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\r\n".encode())
        await until_reading(fakes, 1)
        for _ in range(200):
            fakes.jobs.add(message="x" * 60_000)
            await asyncio.sleep(0)
        await until_reading(fakes, 0)


@pytest.mark.point(32)
async def test_streams_end_with_their_gateway_and_can_be_gone_on_with(gateway: Gateway, fakes: Fakes) -> None:
    """Draining ends every stream without an end event, within the time for it, and a new one is refused."""
    http = await gateway()
    async with watching(http) as response:
        stopping = asyncio.create_task(runners[http].cleanup())
        async with asyncio.timeout(5):
            rest = await response.content.read()
            await stopping
        assert rest == b": draining, connect again\n\n"
    assert fakes.jobs.reading == 0


async def test_no_more_streams_than_the_process_can_hold(gateway: Gateway, fakes: Fakes) -> None:
    """Beyond the bound a stream is 503 with Retry-After, and possible again once another has ended."""
    http = await gateway(streams_most=1)
    async with watching(http), http.get(PATH, headers=ALICE) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "2")
    await until_reading(fakes, 0)
    async with watching(http):
        pass


async def test_a_stream_is_no_picture(http: ClientSession) -> None:
    """Whoever takes none of the forms of a stream is told which there are."""
    async with http.get(PATH, headers={**ALICE, "Accept": "image/png"}) as response:
        body = orjson.loads(await response.read())
    assert (response.status, body["code"]) == (406, 10011)
    assert body["details"]["metadata"]["offers"].startswith("text/event-stream, application/x-ndjson")


async def test_what_is_a_callers_own_is_shared_with_no_other_caller(http: ClientSession, fakes: Fakes) -> None:
    """Two people on the same path each read their own, from where the stream says it begins; one's tabs share it."""
    path = "/api/v1/wallet/events"
    bob = {"Authorization": "Bearer bob"}
    async with watching(http, path) as mine, watching(http, path) as also_mine, watching(http, path, **bob) as his:
        read = [[await next_event(each) for _ in range(3)] for each in (mine, also_mine, his)]
    owners = [{event.data["change"]["description"] for event in events if event} for events in read]
    ids = [int(event.id) for event in read[0] if event]

    assert owners == [{"alice"}, {"alice"}, {"bob"}]
    assert ids == list(range(ids[0], ids[0] + 3))
    assert ids[0] > 5
    assert sorted(fakes.credits.watched) == ["alice", "alice", "bob"]
