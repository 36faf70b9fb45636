"""Suno-style vendors: they resell songs of Suno behind an API of their own and answer HTTP 200 whatever happens.

Two of them differ in what their numbers mean, so that each has a table of its own. Sources: docs.sunoapi.org (generate
music, get music generation details, callbacks) and docs.kie.ai, as collected in the contract notes. Suno itself gives
no API to everybody, so this vendor is off unless somebody configures it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from services.composer.domain.vendor import Capability, Remedy
from services.composer.providers import Standing, VendorRefused, VendorSong
from services.composer.providers.vendor_http import NO_SENSE, VendorHttp, number, plain_json, words
from services.kit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.composer.providers import VendorOrder

_OK = 200
# As the cause of a failed task: copyright, or words that it will not sing.
_NOT_SUNG = 400
SUNOAPI: Mapping[int, Remedy] = {
    400: Remedy.OTHER,  # invalid parameters
    401: Remedy.OPERATOR,
    404: Remedy.OPERATOR,  # wrong method or path
    405: Remedy.LATER,  # rate limit
    413: Remedy.OTHER,  # theme or prompt too long
    429: Remedy.OPERATOR,  # out of credits, whatever the number says elsewhere
    430: Remedy.LATER,  # called too often
    455: Remedy.LATER,  # maintenance
    500: Remedy.LATER,
}
KIE: Mapping[int, Remedy] = {
    400: Remedy.OTHER,
    401: Remedy.OPERATOR,
    402: Remedy.OPERATOR,  # out of credits
    404: Remedy.OPERATOR,
    408: Remedy.LATER,
    409: Remedy.OTHER,  # the record exists
    413: Remedy.OTHER,
    422: Remedy.OTHER,  # validation
    429: Remedy.LATER,  # called too often
    455: Remedy.LATER,
    500: Remedy.LATER,
    501: Remedy.LATER,  # generation failed
    531: Remedy.LATER,  # generation failed and was refunded
}
TABLES: Mapping[str, Mapping[int, Remedy]] = {"sunoapi": SUNOAPI, "kie": KIE}
"""What helps against each body code, by the dialect that is spoken."""

_FAILURES: Mapping[str, Remedy] = {
    "CREATE_TASK_FAILED": Remedy.LATER,
    "GENERATE_AUDIO_FAILED": Remedy.LATER,
    "SENSITIVE_WORD_ERROR": Remedy.USER,
}
_PERCENTS: Mapping[str, int] = {"PENDING": 5, "TEXT_SUCCESS": 40, "FIRST_SUCCESS": 70}
_SPARE_MODELS: Mapping[str, tuple[int, int, int]] = {"V4": (3000, 200, 80), "V4_5ALL": (5000, 1000, 80)}
_LENGTHS = (5000, 1000, 100)
_KIE_TITLE = 80
_GENDERS = {"female": "f", "male": "m"}
_MOST_ORDERS, _WINDOW_S = 20, 10.0
_CALL_S = 30.0
# The field is required; a name that nobody can ever register takes the calls of whoever gave no address of his own.
_NO_CALLBACK = "https://callback.invalid/"


class SunoStyle:
    """Has two songs made by one order, of words or without."""

    name = "suno"

    def __init__(
        self, url: str, key: str, *, dialect: str, model: str, cost_usd: float = 0.0, window_s: float = _WINDOW_S
    ) -> None:
        """Speak the dialect `sunoapi` or `kie`; at most twenty orders go out in *window_s* seconds."""
        self._http = VendorHttp(self.name, url, headers={"authorization": f"Bearer {key}"}, call_s=_CALL_S)
        self._table = TABLES[dialect]
        self.model = model
        lyrics, style, title = _SPARE_MODELS.get(model, _LENGTHS)
        self.capability = Capability(
            paid=True,
            songs=2,
            voices=frozenset(_GENDERS),
            longest_lyrics=lyrics,
            longest_style=style,
            longest_title=min(title, _KIE_TITLE) if dialect == "kie" else title,
            longest_s=240 if model == "V4" else 480,
            cost_usd=cost_usd,
        )
        self._pace = _Pace(_MOST_ORDERS, window_s)

    async def submit(self, order: VendorOrder) -> str:
        """Return the task id of the order; raises VendorRefused."""
        await self._pace.turn()
        answer = await self._http.order("/api/v1/generate", json=self._body(order))
        said = plain_json(answer)
        code = said.get("code")
        if not isinstance(code, int):
            raise self._http.http_refusal(answer)
        data = said.get("data")
        task_id = words(data.get("taskId")) if isinstance(data, dict) else ""
        if code == _OK and task_id:
            return task_id
        if code == _OK:
            raise VendorRefused(NO_SENSE, Remedy.LATER, maybe_taken=True)
        raise self._refused(code, words(said.get("msg")))

    async def poll(self, task_id: str) -> Standing:
        """Return how far the order is; raises VendorRefused when nothing comes of it, Unavailable when nobody knows."""
        answer = await self._http.ask("GET", "/api/v1/generate/record-info", params={"taskId": task_id})
        said = plain_json(answer)
        data = said.get("data")
        if said.get("code") != _OK:
            raise Unavailable("the vendor cannot say how far it is", dependency=self.name, code=str(said.get("code")))
        if not isinstance(data, dict):
            return Standing(0)
        status, songs = words(data.get("status")), _songs(data)
        if status == "SUCCESS" and songs:
            return Standing(100, songs)
        # That we could not be called says nothing about the song.
        if status == "CALLBACK_EXCEPTION":
            return Standing(100, songs) if songs else Standing(_PERCENTS["FIRST_SUCCESS"])
        if status in _FAILURES:
            if songs and status == "GENERATE_AUDIO_FAILED":
                return Standing(100, songs)
            raise self._failed(status, data.get("errorCode"))
        return Standing(_PERCENTS.get(status, 0))

    async def cancel(self, task_id: str) -> None:
        """Do nothing: this vendor has no way to be told."""

    async def fetch(self, song: VendorSong) -> bytes:
        """Return the bytes of a song; raises VendorRefused with the code `gone` once the link has expired."""
        return await self._http.fetch(song)

    async def picture(self, song: VendorSong) -> bytes:
        """Return the cover that came with the song."""
        return await self._http.picture(song)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _body(self, order: VendorOrder) -> dict[str, Any]:
        most = self.capability
        style = ", ".join(each for each in (order.style, order.mood) if each) or "pop"
        body: dict[str, Any] = {
            "customMode": True,
            "instrumental": not order.lyrics,
            "model": self.model,
            "callBackUrl": order.callback or _NO_CALLBACK,
            "title": order.title[: most.longest_title],
            "style": style[: most.longest_style],
        }
        if order.lyrics:
            body["prompt"] = order.lyrics
            if order.voice in _GENDERS:
                body["vocalGender"] = _GENDERS[order.voice]
        return body

    def _refused(self, code: int, message: str) -> VendorRefused:
        """Return the error of a body code; a captcha is told by words alone and waits for a person."""
        if "captcha" in message.lower():
            return VendorRefused("captcha", Remedy.OPERATOR)
        return VendorRefused(str(code), self._table.get(code, Remedy.LATER))

    def _failed(self, status: str, code: object) -> VendorRefused:
        """Return the error of a task that came to nothing."""
        if code == _NOT_SUNG:
            return VendorRefused("400", Remedy.USER)
        return VendorRefused(status, _FAILURES[status])


def _songs(data: Mapping[str, Any]) -> tuple[VendorSong, ...]:
    """Return the songs that can be downloaded."""
    response = data.get("response")
    found = response.get("sunoData") if isinstance(response, dict) else None
    return tuple(
        VendorSong(
            reference=words(each.get("id")),
            url=words(each.get("audioUrl")),
            duration_s=number(each.get("duration")),
            style=words(each.get("tags")),
            cover_url=words(each.get("imageUrl")),
        )
        for each in (found if isinstance(found, list) else [])
        if isinstance(each, dict) and words(each.get("audioUrl"))
    )[:2]


class _Pace:
    """Lets so many calls go in a window of time; the next one waits for its turn."""

    def __init__(self, most: int, window_s: float) -> None:
        self._most, self._window_s = most, window_s
        self._sent: deque[float] = deque(maxlen=most)
        self._turns = asyncio.Lock()

    async def turn(self) -> None:
        async with self._turns:
            if len(self._sent) == self._most:
                await asyncio.sleep(max(0.0, self._sent[0] + self._window_s - time.monotonic()))
            self._sent.append(time.monotonic())
