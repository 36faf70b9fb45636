"""A stand-in for MiniMax: songs in one long call, and words for them.

It keeps that errors come as HTTP 200 with a number in `base_resp`, that a song comes as hex or as a link that lives
24 hours, that the link stands in `audio` for some and in `audio_url` for others, that a caller who goes away has paid
all the same, and the limits on prompt and words.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, ClassVar

from aiohttp import web

from services.kit.clock import Clock, now
from tests.fakes.song import song_mp3
from tests.fakes.stand_in import Ask, Fault, Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import Mapping

MODELS = frozenset({"music-3.0", "music-2.6", "music-2.6-free", "music-2.5", "music-2.5+"})
ERRORS: Mapping[str, tuple[int, str]] = {
    "unknown": (1000, "unknown error"),
    "timeout": (1001, "request timeout"),
    "often": (1002, "rate limit"),
    "key": (1004, "login fail: token not match group"),
    "credits": (1008, "insufficient balance"),
    "internal": (1024, "internal error"),
    "sensitive": (1026, "input new_sensitive"),
    "sensitive_output": (1027, "output new_sensitive"),
    "invalid": (2013, "invalid params"),
    "window": (2056, "usage limit exceeded"),
    "plan": (2061, "your current token plan not support model"),
}
"""The vendor's numbers by the words that faults are set with."""

_LONGEST_PROMPT, _LONGEST_LYRICS = 2000, 3500


class MiniMax(StandIn):
    """One account; a song takes `seconds` and lasts `song_s`."""

    name: ClassVar[str] = "minimax"
    FAULTS: ClassVar[Mapping[str, Fault]] = {
        **{word: Fault(name=word, on="/music_generation") for word in (*ERRORS, "half_file", "silent", "in_audio_url")},
        "slow": Fault(delay_s=120.0),
        "http_500": Fault(status=500, body="oops"),
        "http_502": Fault(status=502, body="bad gateway"),
        "http_503": Fault(status=503, body="busy"),
        "cut": Fault(cut=True, on="/music_generation"),
        "gone_links": Fault(status=403, body="expired", on="/files/"),
    }

    def __init__(
        self,
        *,
        key: str = "minimax-key",
        seconds: float = 0.3,
        song_s: float = 20.0,
        links_s: float = 24 * 3600.0,
        sensitive: tuple[str, ...] = ("forbiddenword",),
        clock: Clock = now,
    ) -> None:
        super().__init__(clock=clock)
        self.key, self.seconds, self.song_s, self.links_s, self.sensitive = key, seconds, song_s, links_s, sensitive
        self.paid = 0
        self._files: dict[str, tuple[bytes, float]] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the API and where its files lie."""
        return [
            web.post("/v1/music_generation", self._music),
            web.post("/v1/lyrics_generation", self._lyrics),
            web.get("/files/{name}", self._file),
        ]

    def settings(self) -> dict[str, str]:
        """Return what points the songs of MiniMax here."""
        return {"MINIMAX_URL": self.url, "MINIMAX_KEY": self.key, "MINIMAX_MUSIC_USD": "0.15"}

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Order a song, fetch it, and have words written."""
        headers = {"Authorization": f"Bearer {self.key if good_key else 'another'}"}
        body = {"model": "music-2.6", "prompt": "folk", "lyrics": "A street in the light", "output_format": "url"}
        replies = [await ask("POST", "/v1/music_generation", json=body, headers=headers)]
        replies.append(await ask("GET", f"/files/{next(reversed(self._files), 'none')}"))
        body = {"mode": "write_full_song", "prompt": "a morning"}
        return [*replies, await ask("POST", "/v1/lyrics_generation", json=body, headers=headers)]

    def refused(self, reply: Reply) -> bool:
        """Return whether the body says that the key belongs to nobody here."""
        return bool(reply.json().get("base_resp", {}).get("status_code") == ERRORS["key"][0])

    async def _music(self, request: web.Request) -> web.Response:
        body, refusal = await self._read(request)
        if refusal is not None:
            return refusal
        refusal = self._wrong_music(body)
        if refusal is not None:
            return refusal
        # From here on it costs, whether somebody still listens or not.
        self.paid += 1
        await asyncio.sleep(self.seconds)
        sound = song_mp3(self.paid % 8, self.song_s, silent=self.told("silent", request.path))
        if self.told("half_file", request.path):
            sound = sound[: len(sound) // 2]
        data: dict[str, Any] = {"status": 2, "audio": sound.hex()}
        if body.get("output_format", "hex") == "url":
            name = f"{secrets.token_hex(8)}.mp3"
            self._files[name] = (sound, self.clock().timestamp() + self.links_s)
            link = f"{self.url}/files/{name}"
            data = {"status": 2, "audio_url" if self.told("in_audio_url", request.path) else "audio": link}
        extra = {
            "music_duration": round(1000 * self.song_s),
            "music_sample_rate": 44100,
            "music_channel": 2,
            "bitrate": 256000,
            "music_size": len(sound),
        }
        return web.json_response(
            {"data": data, "extra_info": extra, "trace_id": secrets.token_hex(16), "base_resp": _base(0, "success")}
        )

    async def _lyrics(self, request: web.Request) -> web.Response:
        body, refusal = await self._read(request)
        if refusal is not None:
            return refusal
        prompt = str(body.get("prompt", ""))
        wrong = body.get("mode") not in {"write_full_song", "edit"} or len(prompt) > _LONGEST_PROMPT
        if wrong or (body["mode"] == "edit" and not body.get("lyrics")):
            return _refused("invalid")
        if any(word in prompt.lower() for word in self.sensitive):
            return _refused("sensitive")
        return web.json_response(
            {
                "song_title": body.get("title") or prompt[:20] or "Morning",
                "style_tags": "pop, warm",
                "lyrics": "[Verse]\nA street in the morning light\n[Chorus]\nAnd we sing until the night\n",
                "base_resp": _base(0, "success"),
            }
        )

    async def _file(self, request: web.Request) -> web.Response:
        sound, until = self._files.get(request.match_info["name"], (b"", 0.0))
        if self.clock().timestamp() > until:
            raise web.HTTPForbidden
        return web.Response(body=sound, content_type="audio/mpeg")

    async def _read(self, request: web.Request) -> tuple[dict[str, Any], web.Response | None]:
        """Return the body, and the refusal of a caller or of a fault that comes before anything is looked at."""
        for word in ERRORS:
            if self.told(word, request.path):
                return {}, _refused(word)
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return {}, _refused("key")
        try:
            body = await request.json()
        except ValueError:
            return {}, _refused("invalid")
        return (body, None) if isinstance(body, dict) else ({}, _refused("invalid"))

    def _wrong_music(self, body: Mapping[str, Any]) -> web.Response | None:
        prompt, lyrics = str(body.get("prompt", "")), str(body.get("lyrics", ""))
        silent = body.get("is_instrumental") is True
        if body.get("model") not in MODELS:
            return _refused("plan")
        if len(prompt) > _LONGEST_PROMPT or len(lyrics) > _LONGEST_LYRICS or (silent and not prompt):
            return _refused("invalid")
        if not silent and not lyrics and body.get("lyrics_optimizer") is not True:
            return _refused("invalid")
        if any(word in f"{prompt} {lyrics}".lower() for word in self.sensitive):
            return _refused("sensitive")
        return None


def _base(code: int, message: str) -> dict[str, Any]:
    return {"status_code": code, "status_msg": message}


def _refused(word: str) -> web.Response:
    return web.json_response({"base_resp": _base(*ERRORS[word])})
