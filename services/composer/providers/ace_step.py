"""ACE-Step 1.5 on a machine of our own: an open model behind a queue in memory, which costs nothing but time.

Its server forgets every order when it is started anew and then answers that an unknown order waits, for ever. Source:
docs/en/API.md of ace-step/ACE-Step-1.5, as collected in the contract notes.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from services.composer.domain.tune import KEY_NAMES
from services.composer.domain.vendor import Capability, Remedy
from services.composer.providers import Standing, VendorRefused, VendorSong
from services.composer.providers.vendor_http import LARGEST_SONG, NO_SENSE, VendorHttp, number, plain_json, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.composer.providers import VendorOrder

CODES: Mapping[int, Remedy] = {
    400: Remedy.OTHER,  # bad JSON or a missing field
    401: Remedy.OPERATOR,
    403: Remedy.OPERATOR,
    404: Remedy.OPERATOR,  # another program answers at this address
    415: Remedy.OTHER,
    422: Remedy.OTHER,
    429: Remedy.LATER,  # the queue is full
    500: Remedy.LATER,
    503: Remedy.LATER,  # its language model is not loaded yet
}
"""What helps against each HTTP status: this server uses them as they are meant."""

_WAITING, _DONE, _FAILED = 0, 1, 2
_SONGS = 2
_LONGEST_S = 240
_CALL_S = 60.0


class AceStep:
    """Has two songs made by one order; follows a hummed tune."""

    name = "ace_step"
    model = "acestep-v15"

    def __init__(self, url: str, key: str) -> None:
        """Speak to the server at *url*; the key may be empty."""
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = VendorHttp(self.name, url, headers=self._headers, call_s=_CALL_S, inside=True)
        self.capability = Capability(
            paid=False, songs=_SONGS, follows_tune=True, longest_lyrics=4096, longest_style=512, longest_s=_LONGEST_S
        )

    async def submit(self, order: VendorOrder) -> str:
        """Return the task id of the order; raises VendorRefused."""
        fields = self._fields(order)
        if order.take:
            form = aiohttp.FormData({name: _as_text(value) for name, value in fields.items()})
            form.add_field("src_audio", order.take, filename="take.mp3", content_type="audio/mpeg")
            answer = await self._http.order("/release_task", data=form)
        else:
            answer = await self._http.order("/release_task", json=fields)
        if answer.status != HTTPStatus.OK:
            remedy = CODES.get(answer.status, Remedy.LATER)
            refused = self._http.http_refusal(answer, remedy)
            # Nothing is paid here, so that an order that may be in its queue does no harm.
            raise VendorRefused(refused.code, remedy)
        data = plain_json(answer).get("data")
        task_id = words(data.get("task_id")) if isinstance(data, dict) else ""
        if not task_id:
            raise VendorRefused(NO_SENSE, Remedy.LATER)
        return task_id

    async def poll(self, task_id: str) -> Standing:
        """Return how far the order is; raises VendorRefused when it failed or the server does not know it any more."""
        answer = await self._http.ask("POST", "/query_result", json={"task_id_list": [task_id]})
        data = plain_json(answer).get("data")
        row = next((each for each in data if isinstance(each, dict)), None) if isinstance(data, list) else None
        if row is None:
            return Standing(0)
        found = _results(row.get("result"))
        status = row.get("status")
        if status == _FAILED:
            raise VendorRefused("failed", Remedy.LATER)
        if status == _DONE:
            songs = tuple(song for each in found if (song := self._song(each)) is not None)[:_SONGS]
            if not songs:
                raise VendorRefused(NO_SENSE, Remedy.LATER)
            return Standing(100, songs)
        if not found and await self._idle():
            raise VendorRefused("lost", Remedy.LATER)
        return Standing(round(100 * number(found[0].get("progress")))) if found else Standing(0)

    async def cancel(self, task_id: str) -> None:
        """Do nothing: the server has no way to be told."""

    async def fetch(self, song: VendorSong) -> bytes:
        """Return the bytes of a song; raises VendorRefused with the code `gone` when the server has cleaned up."""
        return song.data or await self._http.download(song.url, LARGEST_SONG, self._headers)

    async def picture(self, song: VendorSong) -> bytes:
        """Return the cover that came with the song, which this server never makes."""
        return await self._http.picture(song)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _fields(self, order: VendorOrder) -> dict[str, Any]:
        style = ", ".join(each for each in (order.style, order.mood) if each) or "pop"
        fields: dict[str, Any] = {
            "prompt": style[: self.capability.longest_style],
            # The server takes this mark for a song without words.
            "lyrics": order.lyrics or "[inst]",
            "audio_duration": min(order.duration_s, float(_LONGEST_S)),
            "batch_size": _SONGS,
            "audio_format": "mp3",
            "use_random_seed": False,
            "seed": order.seed,
        }
        return fields | {"task_type": "cover"} if order.take else fields

    def _song(self, found: Mapping[str, Any]) -> VendorSong | None:
        path = words(found.get("file"))
        if not path.startswith("/"):
            return None
        metas = found.get("metas")
        metas = metas if isinstance(metas, dict) else {}
        # What is missing is the text N/A, which is no number.
        return VendorSong(
            reference=path,
            url=self._http.own(path),
            duration_s=number(metas.get("duration")),
            key=_key(words(metas.get("keyscale"))),
            tempo_bpm=number(metas.get("bpm")),
        )

    async def _idle(self) -> bool:
        """Return whether the server has nothing to do at all, so that what it calls waiting is not there."""
        jobs = plain_json(await self._http.ask("GET", "/v1/stats")).get("data", {}).get("jobs", {})
        return bool(jobs) and not jobs.get("queued") and not jobs.get("running")


def _results(text: object) -> list[dict[str, Any]]:
    """Return the objects inside of the text that the field `result` is."""
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _key(text: str) -> str:
    """Return the key as we write it, empty when the server names none: `C Major` is `C major`."""
    tonic, _, mode = text.partition(" ")
    return f"{tonic} {mode.lower()}" if tonic in KEY_NAMES and mode.lower() in {"major", "minor"} else ""


def _as_text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)
