"""Where spans begin by themselves: at calls between services in both layouts, at jobs, at calls to the outside."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.kit import tracing
from services.kit.errors import Unavailable
from services.kit.http import HttpClient, Limits
from services.kit.ids import new_id
from services.kit.jobs.runner import JobRun
from services.kit.rpc.errors import calling
from tests.conftest import SettableClock
from tests.kit.echo_service import SERVICE, EchoRequest, EchoStub
from tests.kit.rpc_layouts import Layout, bearer, local_layout, socket_layout
from tests.kit.span_memory import Memory, remembering
from tests.kit.tiny_service import TinyService

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def memory() -> Iterator[Memory]:
    """Record into memory for the length of a test."""
    with remembering() as kept:
        yield kept


@pytest.fixture(params=["local", "socket"])
async def layout(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Layout]:
    """Yield one of the two layouts."""
    async with local_layout() if request.param == "local" else socket_layout(tmp_path) as each:
        yield each


async def test_a_call_lies_in_its_callers_span(layout: Layout, memory: Memory) -> None:
    """In both layouts the server's span has the caller's as its parent, with platform, person and status."""
    stub: Any = EchoStub(layout.channel())
    with tracing.joined(TRACE, platform="wxmp"), tracing.span("caller"):
        await stub.User(EchoRequest(text="canary"), timeout=5, metadata=bearer(layout.issuer.token()))
    (caller,), (served,) = memory.named("caller"), memory.named(f"{SERVICE}/User")
    assert (served.trace_id, served.parent, served.kind, served.error) == (TRACE, caller.span_id, "server", "")
    assert served.attributes["cadenza.platform"] == "wxmp"
    assert served.attributes["user.id"] == "user-1"
    assert served.attributes["rpc.grpc.status_code"] == 0
    assert "canary" not in repr(memory.spans)


async def test_a_refused_call_is_marked_by_its_status(layout: Layout, memory: Memory) -> None:
    """A call that ends badly bears the name of its status, and nothing of its text."""
    stub: Any = EchoStub(layout.channel())
    with pytest.raises(Exception, match="no such echo"), calling():
        await stub.Public(EchoRequest(behaviour="missing"), timeout=5)
    (served,) = memory.named(f"{SERVICE}/Public")
    assert served.attributes["error.type"] == "NOT_FOUND"
    assert "no such echo" not in repr(memory.spans)


async def test_a_trace_id_goes_along_without_a_recorder(layout: Layout) -> None:
    """A call made for a job bears the job's trace id and platform also where nothing is recorded."""
    stub: Any = EchoStub(layout.channel())
    with tracing.joined(TRACE, job_id="j", platform="wxmp"):
        call = stub.Public(EchoRequest(text="x"), timeout=5)
        await call
    assert dict(await call.trailing_metadata())["x-trace-id"] == TRACE


async def test_attempts_lie_behind_the_making_of_their_job(
    tiny: TinyService, memory: Memory, clock: SettableClock
) -> None:
    """Each attempt is a span behind the one that made the job, and the one that failed says so without its words."""

    async def flaky(run: JobRun) -> None:
        if run.job.attempt == 1:
            raise ConnectionError("canary")
        await run.step("only", (0, 99), _nothing)
        async with run.finish({}):
            pass

    with tracing.joined(TRACE, platform="web"), tracing.span("request"):
        async with tiny.db.transaction() as tx:
            job = await tiny.queue.create(
                tx, kind="count", user_id=new_id(), subject_id=new_id(), params={}, trace_id=TRACE, platform="web"
            )
            await tiny.queue.enqueue(tx, job.job_id)
    runner = tiny.runner(flaky)
    await runner.run(job.job_id)
    clock.advance(10)
    await runner.run(job.job_id)

    (request,), (made,) = memory.named("request"), memory.named(f"create job {job.kind}")
    attempts = memory.named(f"job {job.kind}")
    assert (made.parent, made.span_id) == (request.span_id, tracing.span_of_job(job.job_id))
    assert [each.parent for each in attempts] == [made.span_id] * 2
    assert [each.attributes["cadenza.job_attempt"] for each in attempts] == [1, 2]
    assert [each.attributes.get("error.type") for each in attempts] == ["failed", None]
    (step,) = memory.named("step only")
    assert step.parent == attempts[1].span_id
    assert {each.trace_id for each in memory.spans} == {TRACE}
    assert "canary" not in repr(memory.spans)


async def _nothing() -> dict[str, Any]:
    return {}


async def test_a_call_to_the_outside_tells_host_and_status_only(memory: Memory) -> None:
    """Each try is a span with method, host and status; path, query, headers and body are in none."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=503, text="canary-answer")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with (
        TestServer(application, host="127.0.0.1") as server,
        HttpClient("partner", private_allowed=True, limits=Limits(pause_s=0.01)) as http,
    ):
        url = str(server.make_url("/canary-path"))
        await http.request("GET", url, params={"key": "canary-query"}, headers={"x-key": "canary-header"})
        await http.request("POST", url, json={"prompt": "canary-body"})
        port = server.port
    spans = memory.named("GET partner") + memory.named("POST partner")
    assert len(spans) == 3 + 1
    for each in spans:
        assert each.attributes == {
            "http.request.method": each.name.split()[0],
            "server.address": "127.0.0.1",
            "server.port": port,
            "http.response.status_code": 503,
            "error.type": "503",
        }
    assert "canary" not in repr(memory.spans)


async def test_a_partner_that_is_away_is_an_error_of_its_span(memory: Memory) -> None:
    """A refused connection ends its span as an error."""
    async with HttpClient("partner", private_allowed=True) as http:
        with pytest.raises(Unavailable):
            await http.request("POST", "http://127.0.0.1:1/")
    (span,) = memory.named("POST partner")
    assert span.attributes["error.type"] == "error"
