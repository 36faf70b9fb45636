"""The client's half of a call inside the process: the call objects that stubs return.

They do what `grpc.aio`'s own calls do, down to which error a caller sees when; the
differential test holds the two against each other.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import grpc
import grpc.aio

from services.kit.rpc.local_exchange import Copier, Exchange

_log = logging.getLogger(__name__)

Requests = Any  # an iterable or async iterable of messages


class _LocalCall(grpc.aio.Call):
    """What all four kinds of call have."""

    def __init__(self, exchange: Exchange, copy_request: Copier) -> None:
        self._exchange = exchange
        self._copy_request = copy_request

    def __del__(self) -> None:
        # A call that nobody holds any more is cancelled, as grpc.aio does.
        if self._exchange.code is None:
            self._exchange.cancel("Cancelled upon garbage collection!")

    def cancelled(self) -> bool:
        """Return whether the call was cancelled."""
        return self._exchange.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        """Return whether the call has ended."""
        return self._exchange.code is not None

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline."""
        return self._exchange.time_remaining()

    def cancel(self) -> bool:
        """Cancel the call; return False when it had ended."""
        return self._exchange.cancel()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call back with the call when it has ended."""
        self._exchange.on_finish(lambda: callback(self))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """Return the metadata sent ahead of the answer."""
        await self._exchange.start()
        return grpc.aio.Metadata(*self._exchange.initial_metadata)

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """Return the metadata sent with the status."""
        await self._exchange.finished.wait()
        return grpc.aio.Metadata(*self._exchange.trailing_metadata)

    async def code(self) -> grpc.StatusCode:
        """Return the status code once the call has ended."""
        await self._exchange.finished.wait()
        assert self._exchange.code is not None
        return self._exchange.code

    async def details(self) -> str:
        """Return the text of the status once the call has ended."""
        await self._exchange.finished.wait()
        return self._exchange.details

    async def debug_error_string(self) -> str:
        """Return where the status came from."""
        return f"local call of {self._exchange.path}"

    async def wait_for_connection(self) -> None:
        """Return at once: there is no connection to wait for."""

    def _raise_for_status(self) -> None:
        exchange = self._exchange
        if exchange.locally_cancelled:
            raise asyncio.CancelledError
        if exchange.code is not grpc.StatusCode.OK:
            assert exchange.code is not None
            raise grpc.aio.AioRpcError(
                exchange.code,
                grpc.aio.Metadata(*exchange.initial_metadata),
                grpc.aio.Metadata(*exchange.trailing_metadata),
                details=exchange.details,
                debug_error_string=f"local call of {exchange.path}",
            )


class _UnaryAnswer(_LocalCall):
    """A call that is awaited for its one answer."""

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the answer; cancelling the wait cancels the call."""
        try:
            yield from self._exchange.finished.wait().__await__()
        except asyncio.CancelledError:
            self.cancel()
            raise
        self._raise_for_status()
        return self._exchange.response


class _StreamAnswer(_LocalCall):
    """A call whose answers are read one after another."""

    _iterator: AsyncIterator[Any] | None = None
    _reads = False

    def __aiter__(self) -> AsyncIterator[Any]:
        """Return the one iterator over the answers."""
        if self._reads:
            raise grpc.aio.UsageError("The iterator and read/write APIs may not be mixed on a single RPC.")
        if self._iterator is None:
            self._iterator = self._answers()
        return self._iterator

    async def read(self) -> Any:
        """Return the next answer, or EOF after the last one of a call that ended well."""
        if self._iterator is not None:
            raise grpc.aio.UsageError("The iterator and read/write APIs may not be mixed on a single RPC.")
        self._reads = True
        return await self._next()

    async def _answers(self) -> AsyncIterator[Any]:
        while (message := await self._next()) is not grpc.aio.EOF:
            yield message

    async def _next(self) -> Any:
        try:
            message = await self._exchange.responses.get()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if message is grpc.aio.EOF:
            await self._exchange.finished.wait()
            self._raise_for_status()
        return message


class _StreamRequest(_LocalCall):
    """A call whose requests are written one after another, by hand or from an iterator."""

    _feeder: asyncio.Task[None] | None = None
    _half_closed = False

    def feed(self, requests: Requests | None) -> None:
        """Start writing the requests of an iterator; None leaves it to `write`."""
        if requests is not None:
            feeder = asyncio.get_running_loop().create_task(self._feed(requests))
            self._exchange.on_finish(feeder.cancel)
            self._feeder = feeder

    async def write(self, request: Any) -> None:
        """Send a copy of the request; waits while the server is far behind."""
        if self._feeder is not None:
            raise grpc.aio.UsageError("The iterator and read/write APIs may not be mixed on a single RPC.")
        await self._write(request)

    async def done_writing(self) -> None:
        """Say that no more requests come; may be said twice."""
        if self._feeder is not None:
            raise grpc.aio.UsageError("The iterator and read/write APIs may not be mixed on a single RPC.")
        self._half_close()

    def _half_close(self) -> None:
        self._half_closed = True
        self._exchange.requests.close()

    async def _write(self, request: Any) -> None:
        if self.done():
            raise asyncio.InvalidStateError("RPC already finished.")
        if self._half_closed:
            raise asyncio.InvalidStateError('RPC is half closed after calling "done_writing".')
        try:
            taken = await self._exchange.requests.put(self._copy_request(request))
        except asyncio.CancelledError:
            self.cancel()
            raise
        if not taken:
            self._raise_for_status()

    async def _feed(self, requests: Requests) -> None:
        """Write everything the iterator gives; an iterator that fails cancels the call."""
        try:
            if inspect.isasyncgen(requests) or hasattr(requests, "__aiter__"):
                async for request in requests:
                    if not await self._exchange.requests.put(self._copy_request(request)):
                        return
            else:
                for request in requests:
                    if not await self._exchange.requests.put(self._copy_request(request)):
                        return
            self._half_close()
        except asyncio.CancelledError:
            self.cancel()
            raise
        except Exception:  # noqa: BLE001  # it is the client's own code, and the call must end
            _log.debug("the client's iterator of requests failed", exc_info=True)
            self.cancel()


class LocalUnaryUnary(_UnaryAnswer, grpc.aio.UnaryUnaryCall[Any, Any]):
    """One request, one answer."""


class LocalUnaryStream(_StreamAnswer, grpc.aio.UnaryStreamCall[Any, Any]):
    """One request, many answers."""


class LocalStreamUnary(_StreamRequest, _UnaryAnswer, grpc.aio.StreamUnaryCall[Any, Any]):
    """Many requests, one answer."""


class LocalStreamStream(_StreamRequest, _StreamAnswer, grpc.aio.StreamStreamCall[Any, Any]):
    """Many requests, many answers."""
