"""An engine on another machine, spoken to over HTTP: the same pieces of work as offline, as orders with an id.

An order's id is made of what is asked for, so that a worker that died after sending it finds it there and the engine
does it once. `PUT /orders/ID` brings one line of JSON and the take behind it, as for a process of the offline engine;
`GET /orders/ID` answers 202 with the progress, then 200 with one line of JSON and the bytes that belong to it;
`DELETE /orders/ID` says that nobody waits any more.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from services.composer.domain.errors import ProviderFailed
from services.composer.providers import Stopped, TakeRefused
from services.composer.providers.offline import OfflineProvider
from services.kit import crash
from services.kit.crash import Act
from services.kit.errors import DomainError, Expired, Unavailable
from services.kit.http import HttpClient, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.kit.http import Answer

_POLL_S = 0.1
_LARGEST_BLOB = 64 * 1024 * 1024
_AWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


class RemoteEngine(OfflineProvider):
    """Listens to takes and makes variants with an engine behind a URL."""

    name = "remote"

    def __init__(self, url: str, key: str) -> None:
        super().__init__(soundfont="", ffmpeg="")
        self._url = url.rstrip("/")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        limits = Limits(body_bytes=_LARGEST_BLOB)
        self._http = HttpClient("engine", limits=limits, private_allowed=True, headers=headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _run(
        self,
        request: dict[str, Any],
        blob: bytes,
        *,
        stop: Callable[[], bool],
        timeout_s: float,
        progress: Callable[[int, str], None] | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """Return the answer to one order and the bytes that came with it; raises ProviderFailed."""
        task = request["task"]
        body = json.dumps(request | {"blob": len(blob)}, sort_keys=True).encode() + b"\n" + blob
        order = f"{self._url}/orders/{hashlib.sha256(body).hexdigest()[:32]}"
        crash.before(Act.ENGINE_CALL)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._answer(order, body, stop, progress)
        except Stopped:
            with suppress(DomainError):
                await self._http.request("DELETE", order, timeout_s=1.0)
            raise
        except TimeoutError as error:
            raise ProviderFailed("the engine took too long", task=task) from error
        crash.after(Act.ENGINE_CALL)
        return _read(answer, task)

    async def _answer(
        self, order: str, body: bytes, stop: Callable[[], bool], progress: Callable[[int, str], None] | None
    ) -> Answer:
        """Return the engine's answer, however often it has to be asked; raises Stopped and ProviderFailed."""
        known = False
        while True:
            if stop():
                raise Stopped
            try:
                method, data = ("GET", None) if known else ("PUT", body)
                answer = await self._http.request(method, order, data=data)
            except (Unavailable, Expired):
                answer = None  # it may be back before our time is up
            if answer is not None and answer.status not in _AWAY:
                if answer.status == HTTPStatus.OK and known:
                    return answer
                # An engine that was started anew may have lost the order, which is then sent again.
                lost = known and answer.status == HTTPStatus.NOT_FOUND
                if answer.status >= HTTPStatus.BAD_REQUEST and not lost:
                    raise ProviderFailed("the engine refuses the order", status=answer.status)
                if known and progress and answer.status == HTTPStatus.ACCEPTED:
                    said = answer.json()
                    progress(int(said["percent"]), str(said["text"]))
                known = not lost
            await asyncio.sleep(_POLL_S)


def _read(answer: Answer, task: str) -> tuple[dict[str, Any], bytes]:
    """Return what the engine says; raises TakeRefused when that is a refusal, ProviderFailed when it makes no sense."""
    line, _, blob = answer.body.partition(b"\n")
    try:
        said = json.loads(line)
        refused, result, size = said.get("refused"), dict(said.get("answer", {})), said.get("blob", 0)
    except (ValueError, TypeError, AttributeError) as error:
        raise ProviderFailed("the engine's answer makes no sense", task=task) from error
    if refused is not None:
        raise TakeRefused(str(refused), str(said.get("measure", "")))
    if len(blob) != size:
        raise ProviderFailed("the engine's answer is not whole", task=task)
    return result, blob
