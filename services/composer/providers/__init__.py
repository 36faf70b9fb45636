"""Who is outside: makers of music, receivers of webhooks; each a module of its own, chosen in the composition root."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from services.composer.domain.usage import ModelUsage
from services.composer.domain.webhook import Outcome

Label = Literal["A", "B"]


class Stopped(Exception):  # an outcome, not a fault
    """Raised when the caller asked to stop."""


class TakeRefused(Exception):  # an outcome, not a fault
    """Raised when a take cannot be composed upon; *code* is one of the engine's words, *measure* what was found."""

    def __init__(self, code: str, measure: str) -> None:
        super().__init__(f"{code}: {measure}")
        self.code = code
        self.measure = measure


@dataclass(frozen=True)
class Order:
    """What a provider is asked for: the analysis of the take and the wishes, as plain data.

    The analysis is empty when there are only words; `voice` is one of female, male, duet, none, or anything.
    """

    label: Label
    analysis: dict[str, Any]
    title: str
    style: str
    mood: str
    duration_s: float
    seed: int
    lyrics: str = ""
    voice: str = ""


@dataclass(frozen=True)
class Made:
    """A finished variant: the mp3 and what was measured on its decoded sound.

    `midi` is the same song as a standard MIDI file and `chord_sheet` as text; both are empty when nobody wrote them.
    `lines` are the words as they are sung, as a variant keeps them; empty when nobody sings.
    `engine` is the version of whoever made it; empty when it gives no promise to make the same again.
    """

    label: Label
    mp3: bytes
    duration_ms: int
    style: str
    key: str
    tempo_bpm: float
    melody_score: float
    loudness_lufs: float
    true_peak_dbtp: float
    peaks: tuple[int, ...]
    chords: tuple[str, ...]
    instruments: tuple[str, ...]
    scores: dict[str, float | str]
    midi: bytes = b""
    chord_sheet: str = ""
    engine: str = ""
    lines: tuple[Any, ...] = ()


class Listener(Protocol):
    """Hears what was sung."""

    async def check(self, take: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return the measures of a take (mp3); raises TakeRefused."""
        ...

    async def listen(self, take: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return the analysis of a take (mp3) as plain data; raises TakeRefused."""
        ...

    async def pick(self, analysis: dict[str, Any], stop: Callable[[], bool]) -> dict[str, Any]:
        """Return the analysis with the best stretch of the take chosen."""
        ...

    async def change(
        self, analysis: dict[str, Any], change: dict[str, Any], stop: Callable[[], bool]
    ) -> dict[str, Any]:
        """Return the analysis with the person's changes (`domain.tune.TuneChange.plain`); raises TakeRefused."""
        ...

    async def judge(
        self, variants: dict[str, Any], seed: int, stop: Callable[[], bool]
    ) -> tuple[dict[str, Any], bytes]:
        """Return scores, remarks and the recommended label of what was made, and a cover picture as JPEG."""
        ...


class Ear(Protocol):
    """Hears a take whole before a song is asked for."""

    async def hear(self, take: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return at once what `check`, `listen` and `pick` find in a take (mp3), also in one that is refused.

        `refused` is the engine's word or empty, `check` the measures, `analysis` what was heard or None.
        """
        ...


class MusicProvider(Protocol):
    """Makes one variant of a song."""

    name: str

    async def make(self, order: Order, progress: Callable[[int, str], None], stop: Callable[[], bool]) -> Made:
        """Return the variant; *progress* hears percent and what happens. Raises Stopped soon after *stop* says so."""
        ...


@dataclass(frozen=True)
class TakenApart:
    """A variant made again for people who go on with it elsewhere: the master as WAV, and a zip of a FLAC per part."""

    wav: memoryview
    stems_zip: memoryview
    stems: tuple[str, ...]


class StemMaker(Protocol):
    """Takes variants apart that it has made before."""

    async def take_apart(
        self, order: Order, engine: str, progress: Callable[[int, str], None], stop: Callable[[], bool]
    ) -> TakenApart:
        """Return wav and stems of what version *engine* made; raises EngineChanged, and Stopped soon after *stop*."""
        ...


@dataclass(frozen=True)
class LyricsOrder:
    """What a writer of words is asked for; `language` is zh, en or auto."""

    theme: str
    title: str
    style: str
    mood: str
    language: str
    keywords: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class WrittenWords:
    """One version of the words; a section is its kind and its lines.

    `prompt` is the name and number of the instruction that a model was given; empty without a model.
    """

    label: Label
    title: str
    language: str
    form: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]
    provider: str
    model: str
    prompt: str = ""


@dataclass(frozen=True)
class WrittenLyrics:
    """Versions A and B, and what it took to write them, failed tries included."""

    versions: tuple[WrittenWords, WrittenWords]
    usage: ModelUsage = field(default_factory=ModelUsage)


class LyricsProvider(Protocol):
    """Writes the words of a song."""

    name: str

    async def write(
        self, order: LyricsOrder, tell: Callable[[Mapping[str, str]], None], stop: Callable[[], bool]
    ) -> WrittenLyrics:
        """Return versions A and B; *tell* may hear the text of each so far, by label, while it grows.

        Raises VendorFailed, ModelRefused, and Stopped soon after *stop* says so.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Receivers(Protocol):
    """Reaches the servers that webhooks are sent to."""

    async def check(self, url: str) -> None:
        """Return when events may be sent to the address now; raises WebhookUrlRefused."""
        ...

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Return how it went; an address that may not be called is an outcome too."""
        ...
