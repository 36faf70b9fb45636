"""Puts the same concerns around every handler, unary and streaming, over any transport.

A concern is one async context manager that takes the call. The adapter enters them in order,
runs the handler, and leaves them in reverse, whichever way the handler ends.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from services.kit.rpc.call import Call, Identity, current_call, enter_call, leave_call
from services.kit.rpc.deadlines import Deadlines
from services.kit.rpc.errors import Errors
from services.kit.rpc.idempotency import Idempotency
from services.kit.rpc.identity import identity
from services.kit.rpc.method import Handler, Route
from services.kit.rpc.observe import Observe
from services.kit.rpc.tokens import TokenVerifier
from services.kit.rpc.validation import Validation

__all__ = ["Call", "Concern", "Identity", "concerns", "current_call", "wrapped"]

Concern = Callable[[Call], AbstractAsyncContextManager[None]]
Behaviour = Callable[[Any, Any], Awaitable[Any]]
Step = Callable[[Call, Any], Awaitable[Any]]


def concerns(name: str, *, verifier: TokenVerifier) -> tuple[Concern, ...]:  # noqa: ARG001
    """Return the standard concerns, outermost first; `name` is the process for the record.

    The order matters. Observe sees the final status of everything. Deadlines hold also while
    errors are written. Identity comes before validation, so that a stranger learns nothing
    about the shape of a request.
    """
    return (Observe, Deadlines, Errors, identity(verifier), Validation, Idempotency)


def wrapped(route: Route, around: Sequence[Concern]) -> Handler:
    """Return the route's handler with the concerns around it, in the form grpc.aio registers.

    Streaming answers are written through the context instead of being yielded, so that the
    whole call, writing included, runs inside the concerns and in one task.
    """
    handler = route.handler
    run = _innermost(_behaviour(handler), client_streaming=route.method.client_streaming)
    for concern in reversed(around):
        run = _surrounded(run, concern)

    async def answer(incoming: Any, context: Any) -> Any:
        call = Call(route.method, context, None if route.method.client_streaming else incoming)
        token = enter_call(call)
        try:
            return await run(call, incoming)
        finally:
            leave_call(token)

    return _FORMS[handler.request_streaming, handler.response_streaming](
        answer, handler.request_deserializer, handler.response_serializer
    )


def _surrounded(inner: Step, concern: Concern) -> Step:
    async def step(call: Call, incoming: Any) -> Any:
        async with concern(call):
            return await inner(call, incoming)

    return step


def _innermost(behaviour: Behaviour, *, client_streaming: bool) -> Step:
    """Return the step that runs the handler, with checked messages where they come one by one."""
    if not client_streaming:
        return lambda call, incoming: behaviour(incoming, call.context)
    return lambda call, incoming: behaviour(_received(call, incoming), _CheckedContext(call, call.context))


_FORMS: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _behaviour(handler: Handler) -> Behaviour:
    """Return the handler's function; one that yields its answers is made to write them."""
    function: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    if not inspect.isasyncgenfunction(function):
        return function  # type: ignore[no-any-return]

    async def write_all(incoming: Any, context: Any) -> None:
        # Closed at once when the client goes, and not whenever the collector gets to it.
        async with aclosing(function(incoming, context)) as messages:
            async for message in messages:
                await context.write(message)

    return write_all


async def _received(call: Call, incoming: AsyncIterator[Message]) -> AsyncIterator[Message]:
    async for message in incoming:
        call.receive(message)
        yield message


class _CheckedContext:
    """The servicer context of a client stream, whose `read` goes through the checks too."""

    def __init__(self, call: Call, context: Any) -> None:
        self._call = call
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        """Return the next checked message, or grpc.aio.EOF."""
        message = await self._context.read()
        if message is not grpc.aio.EOF:
            self._call.receive(message)
        return message
