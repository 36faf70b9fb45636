"""One call to a vendor of models: sent as JSON, answered as JSON or as a stream of JSON, its failures in our words."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from services.composer.domain.errors import VendorFailed
from services.composer.providers import Stopped
from services.composer.providers.event_stream import payloads
from services.kit.errors import BodyTooLarge, Expired, Unavailable
from services.kit.http import HttpClient, Limits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

_MOST_BYTES: Final = 4 * 1024 * 1024
_FIRST_ERROR: Final = 400
# A call holds its connection for half a minute; whoever waits for one would be taken for a silent vendor.
_CONNECTIONS: Final = 256


class VendorCall:
    """Calls one vendor; `explain` turns its status, body and headers (their names in lower case) into what to raise."""

    def __init__(
        self,
        name: str,
        *,
        headers: Mapping[str, str],
        silence_s: float,
        explain: Callable[[int, Any, Mapping[str, str]], Exception],
    ) -> None:
        """Prepare the client; the address comes from the operator's settings and may lead inside."""
        self._name = name
        self._silence_s = silence_s
        self._explain = explain
        self._http = HttpClient(
            name, limits=Limits(body_bytes=_MOST_BYTES, connections=_CONNECTIONS), private_allowed=True, headers=headers
        )

    async def values(
        self, url: str, body: Mapping[str, Any], *, stream: bool, stop: Callable[[], bool]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the answer's JSON objects, one or as many as the stream has.

        Raises what `explain` makes of a refusal, VendorFailed for everything that goes wrong on the way, and Stopped.
        """
        try:
            async with self._http.stream("POST", url, json=body, most_bytes=_MOST_BYTES, silence_s=self._silence_s) as (
                head,
                chunks,
            ):
                # A vendor that cannot even begin a stream answers a whole object instead, with status 200.
                headers = {name.lower(): value for name, value in head.headers.items()}
                whole_object = "json" in headers.get("content-type", "")
                if stream and head.status < _FIRST_ERROR and not whole_object:
                    async with aclosing(cast("AsyncGenerator[str, None]", payloads(chunks))) as events:
                        async for event in events:
                            if stop():
                                raise Stopped
                            if event != "[DONE]":
                                yield self._object(event)
                    return
                whole = await _whole(chunks)
                if head.status >= _FIRST_ERROR:
                    raise self._explain(head.status, _json(whole), headers)
                yield self._object(whole)
        except Expired as error:
            # A second wait as long as this one would cost its user more than another vendor's first.
            raise VendorFailed("silent", f"{self._name} did not answer in time", again=False) from error
        except Unavailable as error:
            open_ = error.metadata.get("breaker") == "open"
            kind = "left_alone" if open_ else "unreachable"
            raise VendorFailed(kind, error.message, again=not open_) from error
        except BodyTooLarge as error:
            raise VendorFailed("broken", f"{self._name} answers without end", again=True) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _object(self, text: str | bytes) -> dict[str, Any]:
        """Return the object; an error may stand where an answer should be, with status 200 or within a stream."""
        found = _json(text)
        if not isinstance(found, dict):
            raise VendorFailed("broken", f"{self._name} answers no JSON object", again=True)
        if found.get("error"):
            raise self._explain(0, found, {})
        return found


async def _whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def _json(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def error_of(body: Any) -> dict[str, Any]:
    """Return the `error` object of a body, or an empty one; one vendor sends a list with the object in it."""
    if isinstance(body, list):
        body = body[0] if body else None
    found = body.get("error") if isinstance(body, dict) else None
    if isinstance(found, str):
        return {"message": found}
    return found if isinstance(found, dict) else {}
