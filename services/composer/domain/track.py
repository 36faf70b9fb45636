"""Tracks and their variants: what they are, and what may be done to them when."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from services.composer.domain.errors import TrackNotReady, VariantNotFound
from services.composer.domain.moderation import Standing
from services.composer.domain.tune import TuneChange
from services.kit.errors import ParamInvalid
from services.kit.jobs.states import State

DEFAULT_DURATION_S = 75
SHORTEST_DURATION_S = 30
LONGEST_DURATION_S = 180
TRASH_KEPT = timedelta(days=30)
"""How long a track that was put away can be taken back."""

# What a browser would take for markup; `<3` and `a < b` are words.
_TAG = re.compile(r"<[a-zA-Z/!?][^<>]*>")
# Controls of both sets but tab and line feed, and the marks that turn the direction of writing.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# What can be sung at all: Chinese characters, Latin letters, digits.
_SUNG = re.compile(r"[0-9A-Za-z\u00c0-\u024f\u3400-\u4dbf\u4e00-\u9fff]")
# A line that names a section of the words.
_SECTION = re.compile(r"\s*[\[【]")
_LONGEST_TITLE = 64


class TrackState(StrEnum):
    """Where a track stands."""

    GENERATING = "generating"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the two versions of a track with what was measured on its finished sound."""

    variant_id: str
    track_id: str
    label: str
    asset_id: str
    duration_ms: int
    style: str
    key: str
    tempo_bpm: float
    melody_score: float
    loudness_lufs: float
    score: float
    recommended: bool
    chords: list[str] = field(default_factory=list)
    instruments: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    # The song as a MIDI file and as text; empty when its maker wrote none.
    midi_asset_id: str = ""
    chord_sheet: str = ""
    mp3_sha256: str = ""
    # Version of the engine that made it, from the recipe; empty when there is none.
    engine: str = ""
    # What is sung: for each line its text, start, end, and text, start, end of its syllables; times in milliseconds.
    lines: list[Any] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an engine was asked for when it made a track: whoever asks the same version again gets the same bytes."""

    track_id: str
    engine: str
    order: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Track:
    """A song in the making or made; `analysis` is what was heard, None until then."""

    track_id: str
    user_id: str
    title: str
    style: str
    mood: str
    lyrics: str
    voice_gender: str
    duration_s: int
    seed: int
    asset_id: str
    job_id: str
    state: TrackState
    analysis: dict[str, Any] | None
    chosen_variant_id: str
    cover_asset_id: str
    provider: str
    cost_credits: int
    request_id: str
    request_hash: str
    platform: str
    create_time: datetime
    update_time: datetime
    variants: tuple[Variant, ...] = ()
    # Where it stands with the rules for content.
    standing: Standing = Standing.UNCHECKED

    def variant(self, variant_id: str) -> Variant:
        """Return the variant of this id; raises TrackNotReady before there are any, VariantNotFound otherwise."""
        if self.state is not TrackState.READY:
            raise TrackNotReady("the track has no variants yet", track_id=self.track_id, state=self.state.value)
        for each in self.variants:
            if each.variant_id == variant_id:
                return each
        raise VariantNotFound("the track has no such variant", kind="variant", id=variant_id)


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a person asked for, cleaned and within limits."""

    asset_id: str
    title: str
    style: str
    mood: str
    lyrics: str
    voice_gender: str
    duration_s: int
    seed: int
    # Whose words are taken when the song is asked for; empty for the words above.
    lyrics_version_id: str = ""
    # The version of the price that the person was shown; 0 for the current one.
    price_version: int = 0
    # Whose tune is taken without listening anew, empty for a recording; and what is otherwise in the tune.
    source_track_id: str = ""
    tune_change: TuneChange | None = None

    @classmethod
    def cleaned(
        cls,
        *,
        asset_id: str,
        title: str,
        style: str,
        mood: str,
        lyrics: str,
        voice_gender: str,
        duration_s: int,
        seed: int,
        today: datetime,
        lyrics_version_id: str = "",
        source_track_id: str = "",
        tune_change: TuneChange | None = None,
    ) -> "Wishes":
        """Return the wishes without markup, with the defaults filled in; only the lyrics keep their line breaks.

        The title of a song of another one's tune or words stays empty when none is given: it is the other one's. Raises
        ParamInvalid for a length that no song has, for words or a tune given twice, and for neither tune nor words.
        """
        if asset_id and source_track_id:
            raise ParamInvalid.of("asset_id", "excludes source_track_id")
        if not (asset_id or source_track_id or lyrics_version_id or _SUNG.search(clean_text(lyrics))):
            raise ParamInvalid.of("lyrics" if lyrics else "asset_id", "nothing can be sung" if lyrics else "is needed")
        if tune_change is not None and not (asset_id or source_track_id):
            raise ParamInvalid.of("tune_change", "needs asset_id or source_track_id")
        if lyrics and lyrics_version_id:
            raise ParamInvalid.of("lyrics_version_id", "excludes lyrics")
        wanted_s = duration_s or DEFAULT_DURATION_S
        if not SHORTEST_DURATION_S <= wanted_s <= LONGEST_DURATION_S:
            raise ParamInvalid.of("duration_s", f"must be 0 or from {SHORTEST_DURATION_S} to {LONGEST_DURATION_S}")
        return cls(
            asset_id=asset_id,
            title=clean_line(title) or _title(asset_id, source_track_id or lyrics_version_id, lyrics, today),
            style=clean_line(style),
            mood=clean_line(mood),
            lyrics=clean_text(lyrics),
            voice_gender=voice_gender,
            duration_s=wanted_s,
            seed=seed,
            lyrics_version_id=lyrics_version_id,
            source_track_id=source_track_id,
            tune_change=tune_change,
        )


def _title(asset_id: str, other: str, lyrics: str, today: datetime) -> str:
    """Return the title of a song that was given none: the first line of words alone, or the date of a hum."""
    if asset_id:
        return f"Hum {today:%Y-%m-%d %H:%M}"
    if other:
        return ""
    lines = (clean_line(line) for line in lyrics.splitlines() if not _SECTION.match(line))
    return next((line for line in lines if line), "")[:_LONGEST_TITLE] or f"Song {today:%Y-%m-%d %H:%M}"


def clean_text(text: str) -> str:
    """Return the text without tags and control characters; what is left is data, never markup."""
    text = _TAG.sub("", _CONTROL.sub("", text))
    if _TAG.search(text):  # tags inside of tags are no accident, and peeling them one by one takes quadratic time
        text = text.replace("<", "").replace(">", "")
    return text.strip()


def clean_line(text: str) -> str:
    """Return the text like `clean_text`, on one line."""
    return " ".join(clean_text(text).split())


def state_after(job_state: State) -> TrackState:
    """Return where a track stands when its job stands at *job_state*."""
    return {
        State.COMPLETED: TrackState.READY,
        State.FAILED: TrackState.FAILED,
        State.CANCELLED: TrackState.CANCELLED,
    }.get(job_state, TrackState.GENERATING)
