"""What holds in both layouts and only inside the process: errors, messages of one's own, dropped calls."""

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from services.kit.errors import RemoteError
from services.kit.rpc.errors import calling
from tests.kit.echo_service import EchoRequest, EchoStub
from tests.kit.rpc_layouts import Layout, local_layout, socket_layout


@pytest.fixture(params=["local", "socket"])
async def layout(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Layout]:
    """Yield one of the two layouts."""
    async with local_layout() if request.param == "local" else socket_layout(tmp_path) as each:
        yield each


async def test_an_error_keeps_reason_metadata_and_text(layout: Layout) -> None:
    """The caller of another service gets the reason, the metadata and the text of its error."""
    stub: Any = EchoStub(layout.channel())
    with pytest.raises(RemoteError) as caught, calling():
        await stub.Public(EchoRequest(behaviour="missing"), timeout=5)
    assert (caught.value.reason, caught.value.message, caught.value.metadata) == (
        "NOT_FOUND",
        "no such echo",
        {"echo_id": "7"},
    )


async def test_an_unforeseen_error_leaks_nothing(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    """An exception nobody foresaw is INTERNAL without its text, which stands in the log with its stack."""
    stub: Any = EchoStub(layout.channel())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Public(EchoRequest(behaviour="crash"), timeout=5)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "internal error"
    assert "hunter2" not in str(caught.value.trailing_metadata())
    assert any(record.exc_info for record in caplog.records)


async def test_violations_name_field_and_rule(layout: Layout) -> None:
    """Each broken rule arrives with the path of its field, the list index included."""
    stub: Any = EchoStub(layout.channel())
    with pytest.raises(RemoteError) as caught, calling():
        await stub.Public(EchoRequest(text="x" * 21, tags=["ok", "n"]), timeout=5)
    assert {(each.field, each.rule) for each in caught.value.violations} == {
        ("text", "string.max_len"),
        ("tags[1]", "string.min_len"),
    }


async def test_neither_side_can_change_the_other_sides_message(layout: Layout) -> None:
    """A request changed after it was sent, and an answer changed after it came, stay where they were changed."""
    stub: Any = EchoStub(layout.channel())
    request = EchoRequest(text="before", behaviour="shared")
    call = stub.Public(request, timeout=5)
    request.text = "after"
    answer = await call
    answer.text = "mine"
    again = await stub.Public(EchoRequest(behaviour="shared"), timeout=5)
    assert again.text == "shared"
    assert layout.echo.shared.text == "shared"


async def test_a_call_that_nobody_holds_is_cancelled() -> None:
    """Inside the process, dropping a stream before its end cancels the handler once the collector has run."""
    async with local_layout() as layout:
        stub: Any = EchoStub(layout.channel())
        async for message in stub.Down(EchoRequest(text="a", behaviour="sleep")):
            assert message.text == "a"
            break
        while layout.echo.ended.qsize() < 2:
            gc.collect()
            await asyncio.sleep(0.01)
        assert {layout.echo.ended.get_nowait(), layout.echo.ended.get_nowait()} == {"cancelled", "down"}


async def test_an_absent_application_is_unavailable_and_may_come_later() -> None:
    """A channel inside the process finds its target at each call, as a socket would after a restart."""
    async with local_layout() as layout:
        channel = layout.peers("gateway").channel("media")
        stub: Any = EchoStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Public(EchoRequest(), timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
