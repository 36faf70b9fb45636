"""Who is outside: makers of music, receivers of webhooks; each a module of its own, chosen in the composition root."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from services.composer.domain import moderation
from services.composer.domain.errors import ProviderFailed
from services.composer.domain.usage import ModelUsage
from services.composer.domain.vendor import Capability, Remedy
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


class VendorRefused(ProviderFailed):
    """Raised when a vendor says no, or nothing that makes sense.

    `code` is what it said, in its own numbers; `remedy` is what helps. `maybe_taken` is true when nobody can say
    whether the order was accepted all the same.
    """

    def __init__(self, code: str, remedy: Remedy, *, maybe_taken: bool = False) -> None:
        """Keep what is known; the vendor's own words stay out of it, because they may repeat the person's."""
        super().__init__("the vendor gave no song", code=code, remedy=remedy.value)
        self.code = code
        self.remedy = remedy
        self.maybe_taken = maybe_taken


@dataclass(frozen=True)
class VendorOrder:
    """What a vendor is asked for; without `lyrics` nobody sings. `take` is the recording as mp3 or empty.

    `callback` is the address that the vendor calls when it is done.
    """

    title: str
    style: str
    mood: str
    lyrics: str
    voice: str
    duration_s: float
    seed: int
    take: bytes = b""
    callback: str = ""


@dataclass(frozen=True)
class VendorSong:
    """A song as its vendor hands it over: where it lies or its bytes, and what the vendor says of it.

    What the vendor does not say is empty or 0.
    """

    reference: str = ""
    url: str = ""
    data: bytes = b""
    duration_s: float = 0.0
    style: str = ""
    key: str = ""
    tempo_bpm: float = 0.0
    cover_url: str = ""


@dataclass(frozen=True)
class Standing:
    """How far a vendor is with an order; `songs` are there once it is done."""

    percent: int
    songs: tuple[VendorSong, ...] = ()


class Vendor(Protocol):
    """Makes songs somewhere else."""

    name: str
    model: str
    capability: Capability

    async def fetch(self, song: VendorSong) -> bytes:
        """Return the song's bytes, at most as many as a song may have.

        Raises VendorRefused with the code `gone` when the link leads nowhere any more, and otherwise as a download.
        """
        ...

    async def picture(self, song: VendorSong) -> bytes:
        """Return the cover that the vendor made, empty when there is none to be had."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@runtime_checkable
class TaskVendor(Vendor, Protocol):
    """Takes orders and works on them by itself."""

    async def submit(self, order: VendorOrder) -> str:
        """Return the vendor's id of the order; raises VendorRefused."""
        ...

    async def poll(self, task_id: str) -> Standing:
        """Return how far the order is. Raises VendorRefused when the vendor says that nothing comes of it any more.

        A vendor that cannot be asked just now raises Unavailable or Expired, which says nothing about the order.
        """
        ...

    async def cancel(self, task_id: str) -> None:
        """Tell the vendor, if it listens, that nobody waits any more."""
        ...


@runtime_checkable
class DirectVendor(Vendor, Protocol):
    """Answers an order with the song."""

    async def sing(self, order: VendorOrder) -> tuple[VendorSong, ...]:
        """Return the songs once they are made; raises VendorRefused."""
        ...


class Appraiser(Protocol):
    """Looks at sound that somebody else made."""

    async def appraise(self, mp3: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return length, loudness, peak, outline and scores of the decoded sound.

        `fault` is empty or says `unreadable` or `cut`; there may be no measures then.
        """
        ...

    async def compare(
        self, variants: dict[str, Any], picture: bytes, seed: int, stop: Callable[[], bool]
    ) -> tuple[dict[str, Any], bytes]:
        """Return what `Listener.judge` returns, for one variant or two that were only heard; the cover is *picture*.

        A picture that cannot be read, or none, has one drawn from the song.
        """
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


@dataclass(frozen=True)
class Judgement:
    """What a checker found: how grave, and what, in its own word."""

    standing: moderation.Standing
    label: str = ""


class WordCheck(Protocol):
    """Judges words by the rules for content."""

    name: str

    async def judge(self, user_id: str, title: str, text: str) -> Judgement | None:
        """Return what was found, None for somebody whose words it cannot judge; raises Unavailable."""
        ...


class SoundCheck(Protocol):
    """Judges sounds by the rules for content; the verdict comes later."""

    name: str

    async def ask(self, user_id: str, url: str) -> str | None:
        """Return what the verdict will be known by, None for somebody whose sounds it cannot judge.

        The address has to be open to the checker. Raises Unavailable.
        """
        ...


class VerdictPush(Protocol):
    """Reads what a checker of sounds pushes."""

    def read(self, query: Mapping[str, str], body: bytes) -> tuple[str, moderation.SoundVerdict | None]:
        """Return what the checker wants to hear, and the verdict or None; raises PermissionDenied for a stranger's."""
        ...
