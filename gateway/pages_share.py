"""What the page of a share shows, made ready for the template: words, addresses, and the outline as a drawing.

Everything that people wrote stays text here and is escaped by the template; addresses that are not
http are dropped, so that no text of anybody becomes a link that runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cadenza.share.v1.share_service_pb2 import SharedLine, SharedTrack
from gateway.pages_text import Say, key_name, style_name

WAVE_BARS: Final = 96
WAVE_STEP: Final = 4
WAVE_HEIGHT: Final = 64

_LEAST: Final = 2
_MOST_PEAK: Final = 100
_MOST_CHORDS: Final = 64
_MOST_TITLE: Final = 128
_MOST_LINES: Final = 200


@dataclass(frozen=True, slots=True)
class SharePage:
    """The values of the template `share.html`."""

    code: str
    title: str
    address: str  # of the page, absolute
    audio: str
    cover: str
    length: str  # "1:15"
    seconds: int
    style: str
    key: str
    tempo: str
    chords: Sequence[str]
    lyrics: str
    lines: Sequence[SharedLine]
    wave: str  # the `d` of an SVG path
    description: str
    day: str
    maker: str  # who made the music, in the reader's words


def share_page(track: SharedTrack, say: Say, catalogue: Mapping[str, str], *, origin: str) -> SharePage:
    """Return the page of a track; `origin` makes relative addresses absolute, as link previews need them."""
    seconds = round(track.duration_ms / 1000)
    style = style_name(say, catalogue, track.style)
    key = key_name(say, track.key)
    tempo = f"{track.tempo_bpm:.0f}" if track.tempo_bpm > 0 else ""
    facts = [style, key, say("share.tempo", tempo=tempo) if tempo else ""]
    return SharePage(
        code=track.share_code,
        title=track.title[:_MOST_TITLE] or say("share.untitled"),
        address=absolute(track.link_url, origin) or f"{origin}/s/{track.share_code}",
        audio=absolute(track.audio_url, origin),
        cover=absolute(track.cover_url, origin),
        length=f"{seconds // 60}:{seconds % 60:02}",
        seconds=seconds,
        style=style,
        key=key,
        tempo=tempo,
        chords=tuple(track.chords[:_MOST_CHORDS]),
        lyrics=track.lyrics.strip(),
        lines=tuple(track.lines[:_MOST_LINES]),
        wave=wave_path(track.peaks),
        description=say("share.description", facts=" · ".join(fact for fact in facts if fact)),
        maker=say("engine.offline", version="").strip() if track.provider == "offline" else track.provider,
        day=track.create_time.ToDatetime().strftime("%Y-%m-%d") if track.HasField("create_time") else "",
    )


def absolute(address: str, origin: str) -> str:
    """Return a web address in full, or nothing for what is none."""
    if address.startswith("/") and not address.startswith("//"):
        return origin + address
    parts = urlsplit(address)
    return address if parts.scheme in {"http", "https"} and parts.netloc else ""


def wave_path(peaks: Sequence[int]) -> str:
    """Return the outline (0 to 100 each) as strokes around the middle of a drawing WAVE_HEIGHT units high."""
    if not peaks:
        return ""
    strokes = []
    for bar in range(WAVE_BARS):
        first = bar * len(peaks) // WAVE_BARS
        last = max((bar + 1) * len(peaks) // WAVE_BARS, first + 1)
        loud = min(max(*peaks[first:last], 0), _MOST_PEAK)
        height = max(round(loud * (WAVE_HEIGHT - 4) / _MOST_PEAK), _LEAST)
        strokes.append(f"M{bar * WAVE_STEP + WAVE_STEP // 2} {(WAVE_HEIGHT - height) // 2}v{height}")
    return "".join(strokes)
