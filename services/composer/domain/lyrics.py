"""Lyrics and their versions: what they are, and what may be asked of whoever writes them."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.composer.domain.track import clean_line
from services.kit.errors import ParamInvalid
from services.kit.jobs.states import State

LYRICS = "lyrics"
"""Kind of the jobs that write lyrics, and their line in the price table."""

# A theme needs something that can be sung: a Chinese character, a Latin letter or a digit.
_SINGABLE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fffA-Za-z\u00c0-\u024f0-9\uff10-\uff5a]")


class LyricsState(StrEnum):
    """Where lyrics stand."""

    WRITING = "writing"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class LyricsVersion:
    """One of the two versions; a section is its kind and its lines."""

    version_id: str
    lyrics_id: str
    label: str
    title: str
    language: str
    form: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]
    provider: str
    model: str
    # Name and number of the instruction that the model got; empty without a model.
    prompt: str = ""

    @property
    def content(self) -> str:
        """Return the words with each section under its tag, as a track takes them."""
        return "\n\n".join("\n".join((f"[{kind}]", *lines)) for kind, lines in self.sections)


@dataclass(frozen=True, kw_only=True)
class Lyrics:
    """Words in the writing or written."""

    lyrics_id: str
    user_id: str
    theme: str
    title: str
    style: str
    mood: str
    language: str
    keywords: tuple[str, ...]
    seed: int
    job_id: str
    state: LyricsState
    cost_credits: int
    remaining_credits: int
    request_id: str
    request_hash: str
    platform: str
    create_time: datetime
    update_time: datetime
    # What the models took for it, all tries together.
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int = 0
    versions: tuple[LyricsVersion, ...] = ()

    @property
    def request_name(self) -> str:
        """Return what the request is called in answers and in the log: the client's own id, else that of the lyrics."""
        return self.request_id or self.lyrics_id


@dataclass(frozen=True, kw_only=True)
class LyricsWishes:
    """What a person asked for, cleaned and within limits."""

    theme: str
    title: str
    style: str
    mood: str
    language: str
    keywords: tuple[str, ...]
    seed: int

    @classmethod
    def cleaned(
        cls,
        *,
        theme: str,
        title: str,
        style: str,
        mood: str,
        language: str,
        keywords: tuple[str, ...],
        seed: int,
    ) -> "LyricsWishes":
        """Return the wishes without markup and on one line each.

        Raises ParamInvalid for a theme in which nothing can be sung: a writer of words needs at least one.
        """
        theme = clean_line(theme)
        if not _SINGABLE.search(theme):
            raise ParamInvalid.of("theme", "must hold a Chinese character, a Latin letter or a digit")
        kept = tuple(dict.fromkeys(word for word in map(clean_line, keywords) if word))
        return cls(
            theme=theme,
            title=clean_line(title),
            style=clean_line(style),
            mood=clean_line(mood),
            language=language,
            keywords=kept,
            seed=seed,
        )


def state_after(job_state: State) -> LyricsState:
    """Return where lyrics stand when their job stands at *job_state*."""
    return {
        State.COMPLETED: LyricsState.READY,
        State.FAILED: LyricsState.FAILED,
        State.CANCELLED: LyricsState.CANCELLED,
    }.get(job_state, LyricsState.WRITING)
