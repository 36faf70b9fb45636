"""MiniMax's music models: one call, one song, and the true outcome inside of a body that came with HTTP 200.

A connection that breaks while the song is made has been paid and is lost: there is no task to ask for. Sources:
platform.minimax.io (music generation, error codes) as collected in the contract notes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.composer.domain.vendor import Capability, Remedy
from services.composer.providers import VendorRefused, VendorSong
from services.composer.providers.vendor_http import NO_SENSE, VendorHttp, number, plain_json, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.composer.providers import VendorOrder

CODES: Mapping[int, Remedy] = {
    1000: Remedy.LATER,  # unknown
    1001: Remedy.LATER,  # timeout
    1002: Remedy.LATER,  # rate limit
    1004: Remedy.OPERATOR,  # not authorized, or a key of the other region
    1008: Remedy.OPERATOR,  # balance
    1024: Remedy.LATER,  # internal
    1026: Remedy.USER,  # input sensitive
    1027: Remedy.USER,  # output sensitive
    1033: Remedy.LATER,  # system
    1039: Remedy.LATER,  # tokens a minute
    1041: Remedy.LATER,  # connections
    1042: Remedy.USER,  # too many invisible or illegal characters
    2013: Remedy.OTHER,  # invalid parameters
    2045: Remedy.LATER,  # requests grow too fast
    2049: Remedy.OPERATOR,  # invalid key
    2056: Remedy.OPERATOR,  # used up until the next window of five hours
    2061: Remedy.OPERATOR,  # the plan lacks the model
}
"""What helps against each status code."""

_LONGEST_PROMPT = 2000
# A song takes one to three minutes; what needs more is not waited for.
_CALL_S = 300.0
_LARGEST_ANSWER = 32 * 1024 * 1024
_DONE = 2
_VOICES = {"female": "female vocal", "male": "male vocal", "duet": "male and female duet"}


class MiniMax:
    """Has one song made by one call."""

    name = "minimax"

    def __init__(self, url: str, key: str, *, model: str, cost_usd: float = 0.0, call_s: float = _CALL_S) -> None:
        """Ask the host that the key belongs to for songs of this model."""
        headers = {"authorization": f"Bearer {key}"}
        self._http = VendorHttp(self.name, url, headers=headers, call_s=call_s, answer_bytes=_LARGEST_ANSWER)
        self.model = model
        self.capability = Capability(
            paid=True,
            songs=1,
            voices=frozenset(_VOICES),
            longest_lyrics=3500,
            longest_style=_LONGEST_PROMPT,
            longest_title=200,
            longest_s=300,
            cost_usd=cost_usd,
        )

    async def sing(self, order: VendorOrder) -> tuple[VendorSong, ...]:
        """Return the song; raises VendorRefused."""
        answer = await self._http.order("/v1/music_generation", json=self._body(order))
        said = plain_json(answer)
        base = said.get("base_resp")
        code = base.get("status_code") if isinstance(base, dict) else None
        if not isinstance(code, int):
            raise self._http.http_refusal(answer)
        if code != 0:
            raise VendorRefused(str(code), CODES.get(code, Remedy.LATER))
        song = _song(said)
        if song is None:
            raise VendorRefused(NO_SENSE, Remedy.LATER, maybe_taken=True)
        return (song,)

    async def fetch(self, song: VendorSong) -> bytes:
        """Return the bytes of a song; raises VendorRefused with the code `gone` once the link has expired."""
        return await self._http.fetch(song)

    async def picture(self, song: VendorSong) -> bytes:
        """Return the cover that came with the song, which this vendor never makes."""
        return await self._http.picture(song)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _body(self, order: VendorOrder) -> dict[str, Any]:
        # Our voices are words of the description here; the model has no field for them.
        parts = (order.style, order.mood, _VOICES.get(order.voice, "") if order.lyrics else "")
        prompt = ", ".join(each for each in parts if each) or "pop"
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": prompt[:_LONGEST_PROMPT],
            # As a link, because hex doubles the size of every answer.
            "output_format": "url",
            "audio_setting": {"sample_rate": 44100, "bitrate": 256000, "format": "mp3"},
            "is_instrumental": not order.lyrics,
        }
        if order.lyrics:
            body["lyrics"] = order.lyrics
        return body


def _song(said: Mapping[str, Any]) -> VendorSong | None:
    """Return the song of an answer, None when there is none in it.

    The link stands in `audio` or in `audio_url`, and an answer in hex may come although a link was asked for.
    """
    data, extra = said.get("data"), said.get("extra_info")
    if not isinstance(data, dict) or data.get("status", _DONE) != _DONE:
        return None
    extra = extra if isinstance(extra, dict) else {}
    # Milliseconds under either name.
    length_s = number(extra.get("music_duration", extra.get("audio_length"))) / 1000
    reference = words(said.get("trace_id"))
    audio = words(data.get("audio_url")) or words(data.get("audio"))
    if audio.startswith(("http://", "https://")):
        return VendorSong(reference=reference, url=audio, duration_s=length_s)
    try:
        sound = bytes.fromhex(audio)
    except ValueError:
        return None
    return VendorSong(reference=reference, data=sound, duration_s=length_s) if sound else None
