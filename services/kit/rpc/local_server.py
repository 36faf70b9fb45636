"""The server's half of a call inside the process: the servicer context, and running a handler."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import cache
from typing import Any, NoReturn

import grpc
import grpc.aio

from services.kit.rpc.call import TRUST_DOMAIN
from services.kit.rpc.local_exchange import Copier, Exchange, Metadata
from services.kit.rpc.method import Handler

_log = logging.getLogger(__name__)


async def answer(handler: Handler, exchange: Exchange, request: Any, copy_response: Copier) -> None:
    """Run the handler and end the exchange the way grpc.aio would end the call."""
    context = LocalContext(exchange, copy_response)
    behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    try:
        response = await behaviour(_requests(exchange) if handler.request_streaming else request, context)
        if context.code() is grpc.StatusCode.OK and not handler.response_streaming:
            exchange.response = copy_response(response)
    except grpc.aio.AbortError:
        return
    except asyncio.CancelledError:
        exchange.finish(grpc.StatusCode.CANCELLED, "Cancelled")
        raise
    except Exception as error:  # noqa: BLE001  # only reached without the errors concern
        _log.exception("unexpected error in %s", exchange.path)
        exchange.finish(grpc.StatusCode.UNKNOWN, f"Unexpected {type(error)}: {error}", context.trailing_metadata())
        return
    exchange.finish(context.code(), context.details(), context.trailing_metadata())


async def _requests(exchange: Exchange) -> AsyncIterator[Any]:
    while (message := await exchange.requests.get()) is not grpc.aio.EOF:
        yield message


class LocalContext(grpc.aio.ServicerContext[Any, Any]):
    """What a handler is given as its context."""

    def __init__(self, exchange: Exchange, copy_response: Copier) -> None:
        self._exchange = exchange
        self._copy_response = copy_response
        self._code = grpc.StatusCode.OK
        self._details = ""
        self._trailing: Metadata = ()

    async def read(self) -> Any:
        """Return the next request of a stream, or EOF."""
        return await self._exchange.requests.get()

    async def write(self, message: Any) -> None:
        """Send a copy of the message; waits while the client is far behind."""
        self._exchange.send_initial_metadata()
        if not await self._exchange.responses.put(self._copy_response(message)):
            # The same as a stream that was reset under the writer.
            raise asyncio.CancelledError

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Send the metadata ahead of the first message."""
        self._exchange.send_initial_metadata(tuple(initial_metadata))

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """End the call with a status; always raises AbortError."""
        self._code, self._details = code, details
        self._trailing = tuple(trailing_metadata) or self._trailing
        self._exchange.finish(code, details, self._trailing)
        raise grpc.aio.AbortError("Locally aborted.")

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """End the call with a rich status; always raises AbortError."""
        await self.abort(status.code, status.details or "", status.trailing_metadata or ())

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Set the metadata that goes with the status."""
        self._trailing = tuple(trailing_metadata)

    def trailing_metadata(self) -> Any:
        """Return the metadata set so far."""
        return self._trailing

    def invocation_metadata(self) -> Any:
        """Return the client's metadata."""
        return self._exchange.metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the status with which the call ends."""
        self._code = code

    def code(self) -> grpc.StatusCode:
        """Return the status set so far."""
        return self._code

    def set_details(self, details: str) -> None:
        """Set the text of the status."""
        self._details = details

    def details(self) -> str:
        """Return the text set so far."""
        return self._details

    def set_compression(self, compression: grpc.Compression) -> None:
        """Do nothing: there are no bytes to compress."""

    def disable_next_message_compression(self) -> None:
        """Do nothing: there are no bytes to compress."""

    def peer(self) -> str:
        """Return who calls; there is no address."""
        return f"local:{self._exchange.caller}"

    def peer_identities(self) -> Iterable[bytes] | None:
        """Return the caller's name as a certificate would give it."""
        return _properties(self._exchange.caller)["peer_spiffe_id"]

    def peer_identity_key(self) -> str | None:
        """Return the property under which the name stands."""
        return "peer_spiffe_id"

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return the properties a mutual TLS connection would have."""
        return _properties(self._exchange.caller)

    def time_remaining(self) -> Any:
        """Return the seconds until the client's deadline, None without one."""
        return self._exchange.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call back with the context when the call has ended."""
        self._exchange.on_finish(lambda: callback(self))

    def cancelled(self) -> bool:
        """Return whether the call was cancelled."""
        return self._exchange.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        """Return whether the call has ended."""
        return self._exchange.code is not None


@cache
def _properties(caller: str) -> Mapping[str, tuple[bytes, ...]]:
    """Return what a certificate of the caller would say; the callers of a process are the services in it."""
    return {"transport_security_type": (b"local",), "peer_spiffe_id": (f"{TRUST_DOMAIN}{caller}".encode(),)}
