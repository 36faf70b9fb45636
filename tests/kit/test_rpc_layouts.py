"""The same servicer over mutual TLS and inside the process: whatever a client can see is alike."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.kit.echo_service import EchoRequest, EchoStub
from tests.kit.rpc_layouts import Layout, bearer, local_layout, socket_layout

Scenario = Callable[[Layout, Any], Awaitable[Any]]


async def _seen(work: Awaitable[Any]) -> Any:
    """Return what a client sees of an awaited call: the value, or everything about its failure."""
    try:
        return await work
    except grpc.aio.AioRpcError as error:
        return _status(error)
    except asyncio.CancelledError:
        return "cancelled"


def _status(error: grpc.aio.AioRpcError) -> Any:
    rich = rpc_status.from_call(error)  # type: ignore[arg-type]  # its stubs forget the errors of aio
    details = [_unpacked(each) for each in rich.details] if rich else []
    keys = sorted(key for key, _ in error.trailing_metadata())
    return error.code(), error.details(), keys, details


def _unpacked(detail: Any) -> str:
    for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest):
        message = kind()
        if detail.Unpack(message):
            return str(message)
    return str(detail)


async def _letters(call: Any) -> list[Any]:
    """Return the texts of a stream, and its status where it failed."""
    seen: list[Any] = []
    try:
        async for message in call:
            seen.append(message.text)  # noqa: PERF401  # what came before the failure counts
    except grpc.aio.AioRpcError as error:
        seen.append(_status(error))
    except asyncio.CancelledError:
        seen.append("cancelled")
    return seen


async def _requests(*requests: Any) -> AsyncIterator[Any]:
    for request in requests:
        yield request


async def value(_: Layout, stub: Any) -> Any:
    """One request, one answer."""
    answer = await stub.Public(EchoRequest(text="hello"), timeout=5)
    return str(answer)


async def user(layout: Layout, stub: Any) -> Any:
    """A person's token makes its identity known."""
    return str(await stub.User(EchoRequest(text="me"), metadata=bearer(layout.issuer.token()), timeout=5))


async def no_token(_: Layout, stub: Any) -> Any:
    """A call without a token."""
    return await _seen(stub.User(EchoRequest(), timeout=5))


async def internal(_: Layout, stub: Any) -> Any:
    """An internal method, called by a service it names."""
    return str(await stub.Internal(EchoRequest(text="hold"), timeout=5))


async def stranger(layout: Layout, _: Any) -> Any:
    """An internal method, called by a service it does not name."""
    return await _seen(EchoStub(layout.channel("share")).Internal(EchoRequest(), timeout=5))


async def domain_error(_: Layout, stub: Any) -> Any:
    """An error of the domain with its reason and metadata."""
    return await _seen(stub.Public(EchoRequest(behaviour="missing"), timeout=5))


async def error_without_text(_: Layout, stub: Any) -> Any:
    """An error of the domain raised without a message."""
    return await _seen(stub.Public(EchoRequest(behaviour="rule"), timeout=5))


async def crash(_: Layout, stub: Any) -> Any:
    """An exception nobody foresaw."""
    return await _seen(stub.Public(EchoRequest(behaviour="crash"), timeout=5))


async def inner_cancel(_: Layout, stub: Any) -> Any:
    """A cancellation inside the handler that nobody asked for."""
    return await _seen(stub.Public(EchoRequest(behaviour="inner-cancel"), timeout=5))


async def invalid(_: Layout, stub: Any) -> Any:
    """A request that breaks two rules."""
    return await _seen(stub.Public(EchoRequest(text="x" * 21, tags=["ok", "n"]), timeout=5))


async def metadata(_: Layout, stub: Any) -> Any:
    """Metadata of the handler, ahead of the answer and after it."""
    call = stub.Public(EchoRequest(behaviour="metadata"), timeout=5)
    await call
    first, last = await call.initial_metadata(), await call.trailing_metadata()
    return first["first"], first["first-bin"], last["last"], "x-trace-id" in last


async def trace(_: Layout, stub: Any) -> Any:
    """The client's own trace id comes back."""
    call = stub.Public(EchoRequest(), metadata=(("x-trace-id", "ab" * 16),), timeout=5)
    await call
    return tuple(await call.trailing_metadata())


async def call_facts(_: Layout, stub: Any) -> Any:
    """What the call object says after it has ended."""
    call = stub.Public(EchoRequest(), timeout=5)
    await call
    return await call.code(), await call.details(), call.done(), call.cancelled(), call.cancel()


async def stream(_: Layout, stub: Any) -> Any:
    """A stream of answers to its end."""
    return await _letters(stub.Down(EchoRequest(text="abc"), timeout=5))


async def stream_reads(_: Layout, stub: Any) -> Any:
    """A stream of answers read by hand, past its end."""
    call = stub.Down(EchoRequest(text="ab"), timeout=5)
    first = [(await call.read()).text, (await call.read()).text]
    ends = [await call.read() is grpc.aio.EOF, await call.read() is grpc.aio.EOF]
    return first, ends, await call.code()


async def long_stream(_: Layout, stub: Any) -> Any:
    """A stream many times longer than the window."""
    total = 0
    async for message in stub.Both(_requests(*(EchoRequest(text=str(n)) for n in range(300))), timeout=20):
        total += int(message.text)
    return total


async def error_in_stream(_: Layout, stub: Any) -> Any:
    """Answers that came before an error are not lost."""
    return await _letters(stub.Down(EchoRequest(text="abc", behaviour="missing"), timeout=5))


async def cancelled_stream(layout: Layout, stub: Any) -> Any:
    """A stream the client cancels ends on both sides."""
    call = stub.Down(EchoRequest(text="ab", behaviour="sleep"))
    first = (await call.read()).text
    call.cancel()
    rest = await _letters_by_hand(call)
    ends = sorted([await _end(layout), await _end(layout)])
    return first, rest, ends, await call.code(), call.cancelled()


async def _letters_by_hand(call: Any) -> Any:
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            assert message is not None
    except asyncio.CancelledError:
        return "cancelled"
    return "ended"


async def _end(layout: Layout) -> str:
    return await asyncio.wait_for(layout.echo.ended.get(), 5)


async def cancelled_wait(layout: Layout, stub: Any) -> Any:
    """Cancelling the task that waits for an answer cancels the handler."""
    call = stub.Public(EchoRequest(behaviour="sleep"))

    async def wait() -> None:
        await call

    task = asyncio.create_task(wait())
    while not layout.echo.seen:  # noqa: ASYNC110  # the handler has no event to give
        await asyncio.sleep(0.01)
    task.cancel()
    done = await asyncio.gather(task, return_exceptions=True)
    return type(done[0]).__name__, await _end(layout), await call.code()


async def deadline(layout: Layout, stub: Any) -> Any:
    """The server answers with its reason before the client's deadline."""
    return await _seen(stub.Public(EchoRequest(behaviour="sleep"), timeout=0.4)), await _end(layout)


async def own_deadline(layout: Layout, stub: Any) -> Any:
    """A method's own limit holds without any deadline of the client."""
    return await _seen(stub.Quick(EchoRequest(behaviour="sleep"))), await _end(layout)


async def no_time(layout: Layout, stub: Any) -> Any:
    """A call with too little time is refused before the handler runs."""
    return await _seen(stub.Public(EchoRequest(), timeout=0.09)), len(layout.echo.seen)


async def stream_deadline(_: Layout, stub: Any) -> Any:
    """A stream with a deadline ends with its reason."""
    return await _letters(stub.Down(EchoRequest(text="a", behaviour="sleep"), timeout=0.4))


async def upload(_: Layout, stub: Any) -> Any:
    """Many requests from an iterator, one answer."""
    return str(await stub.Up(_requests(EchoRequest(text="a"), EchoRequest(text="b")), timeout=5))


async def upload_from_list(_: Layout, stub: Any) -> Any:
    """Many requests from a plain iterable."""
    return str(await stub.Up([EchoRequest(text="a"), EchoRequest(text="b")], timeout=5))


async def upload_by_hand(_: Layout, stub: Any) -> Any:
    """Many requests written one by one."""
    call = stub.Up(timeout=5)
    await call.write(EchoRequest(text="x"))
    await call.done_writing()
    await call.done_writing()
    try:
        await call.write(EchoRequest(text="late"))
    except asyncio.InvalidStateError as error:
        late = str(error)
    return str(await call), late


async def empty_upload(_: Layout, stub: Any) -> Any:
    """A client stream without any request."""
    return str(await stub.Up(_requests(), timeout=5))


async def invalid_upload(_: Layout, stub: Any) -> Any:
    """A later message of a client stream that breaks a rule."""
    return await _seen(stub.Up(_requests(EchoRequest(text="a"), EchoRequest(text="x" * 21)), timeout=5))


async def error_in_upload(_: Layout, stub: Any) -> Any:
    """An error while the client still writes."""
    return await _seen(stub.Up(_requests(*[EchoRequest(behaviour="missing")] * 50), timeout=5))


async def enough(_: Layout, stub: Any) -> Any:
    """A server that answers before the client has finished writing."""
    return str(await stub.Up(_requests(*[EchoRequest(text="a", behaviour="enough")] * 50), timeout=5))


async def broken_iterator(layout: Layout, stub: Any) -> Any:
    """A client's iterator that fails cancels the call on both sides."""

    async def requests() -> AsyncIterator[Any]:
        yield EchoRequest(text="a")
        raise ZeroDivisionError

    return await _seen(stub.Up(requests(), timeout=5)), await _end(layout)


async def conversation(_: Layout, stub: Any) -> Any:
    """Requests and answers in turn."""
    call = stub.Both(timeout=5)
    texts = []
    for text in "xyz":
        await call.write(EchoRequest(text=text))
        texts.append((await call.read()).text)
    await call.done_writing()
    return texts, await call.read() is grpc.aio.EOF, await call.code()


async def mixed_styles(_: Layout, stub: Any) -> Any:
    """Reading by hand and iterating do not mix."""
    call = stub.Down(EchoRequest(text="ab"), timeout=5)
    await call.read()
    try:
        call.__aiter__()
    except grpc.aio.UsageError:
        return "refused"
    finally:
        call.cancel()
    return "allowed"


async def callback(_: Layout, stub: Any) -> Any:
    """A done callback is called with the call."""
    call = stub.Public(EchoRequest(), timeout=5)
    called: asyncio.Queue[Any] = asyncio.Queue()
    call.add_done_callback(called.put_nowait)
    await call
    return await asyncio.wait_for(called.get(), 5) is call


async def unknown_method(layout: Layout, _: Any) -> Any:
    """A method that is not there."""
    call = layout.channel().unary_unary("/cadenza.echotest.v1.EchoService/Nothing")
    try:
        await call(b"", timeout=5)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()
    return "answered"


async def raw_bytes(layout: Layout, _: Any) -> Any:
    """A client without classes sends and gets bytes."""
    call = layout.channel().unary_unary("/cadenza.echotest.v1.EchoService/Public")
    return await call(EchoRequest(text="raw").SerializeToString(), timeout=5)


SCENARIOS: tuple[Scenario, ...] = (
    value,
    user,
    no_token,
    internal,
    stranger,
    domain_error,
    error_without_text,
    crash,
    inner_cancel,
    invalid,
    metadata,
    trace,
    call_facts,
    stream,
    stream_reads,
    long_stream,
    error_in_stream,
    cancelled_stream,
    cancelled_wait,
    deadline,
    own_deadline,
    no_time,
    stream_deadline,
    upload,
    upload_from_list,
    upload_by_hand,
    empty_upload,
    invalid_upload,
    error_in_upload,
    enough,
    broken_iterator,
    conversation,
    mixed_styles,
    callback,
    unknown_method,
    raw_bytes,
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_both_layouts_look_alike_to_a_client(scenario: Scenario, tmp_path: Path) -> None:
    """A client cannot tell a servicer inside the process from one behind mutual TLS."""
    async with local_layout() as inside:
        local = await asyncio.wait_for(scenario(inside, EchoStub(inside.channel())), 30)
    async with socket_layout(tmp_path) as behind:
        socket = await asyncio.wait_for(scenario(behind, EchoStub(behind.channel())), 30)
    assert local == socket
