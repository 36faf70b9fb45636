"""Answers of models as they come: what is read of them, what is taken off, and what is of no use."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.composer.domain.draft import LONGEST_PIECE, Drafts, Piece
from services.composer.domain.errors import VendorFailed
from services.composer.domain.usage import ModelUsage
from services.composer.providers.event_stream import payloads
from services.composer.providers.loose_json import read_loosely
from services.composer.providers.lyrics_answer import Declined, Unusable, growing, written_words
from services.composer.providers.lyrics_prompt import PROMPTS, material, prompt_for
from services.composer.providers.model import ModelRefused, Question, Reply
from services.composer.providers.model_writer import ModelWriter
from services.kit.errors import BodyTooLarge
from tests.composer.test_lyrics_conformance import gemini_model, never, nobody, openai_model, order, text
from tests.fakes.gemini import Gemini
from tests.fakes.ghostwriter import SPOILS, Asked, answer
from tests.fakes.openai_chat import OpenAiChat
from tests.fakes.stand_in import served

READABLE = ("fenced", "trailing_commas", "thinking", "headings", "markup", "tail_cut")
ZH = PROMPTS["zh"][-1]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def said(spoilt: str = "", theme: str = "海边的夏天") -> str:
    """Return what a model says to a wish, spoilt in the named way."""
    return answer(Asked(ZH.system, [material(order(theme))], {}, 7), spoilt)


@settings(deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4) | st.lists(JSON, max_size=4))
def test_all_json_is_read(value: Any) -> None:
    """Whatever JSON can say is read as it is, with escapes and without, and is whole."""
    for ascii_only in (True, False):
        loose = read_loosely(json.dumps(value, ensure_ascii=ascii_only))
        assert loose is not None
        assert loose.whole
        assert loose.value == value


@settings(deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4), st.integers(0, 400))
def test_a_cut_is_read_to_the_cut(value: Any, at: int) -> None:
    """JSON that stops anywhere gives what came before, says that something is missing, and never raises."""
    written = json.dumps(value)
    cut = written[: 1 + at % len(written)]
    loose = read_loosely(cut)
    assert loose is not None
    assert loose.whole == (cut == written)
    assert set(loose.value) <= set(value)


@pytest.mark.parametrize("broken", ["", "no", "{lines: 1}", '{"a" 1}', '{"a": nope}', "[1 2]", '{"a": "\\uzzzz"}'])
def test_what_is_no_json_is_not_guessed(broken: str) -> None:
    """Names without quotes, missing colons and unknown words end the reading."""
    assert read_loosely(broken) is None


def test_deep_nesting_ends_the_reading() -> None:
    """A bottomless answer is refused before it fills the stack."""
    assert read_loosely("[" * 100_000) is None


@pytest.mark.parametrize("spoilt", READABLE)
def test_wrapping_is_taken_off(spoilt: str) -> None:
    """Fences, thoughts, commas too many, headings and markup do not keep the words from being read."""
    clean = written_words(said(), order(), ZH, provider="p", model="m")
    found = written_words(said(spoilt), order(), ZH, provider="p", model="m")
    assert [each.title for each in found] == [each.title for each in clean]
    assert text(found[0]) == text(clean[0])
    assert text(clean[1]).startswith(text(found[1])[:-8])


@pytest.mark.parametrize("spoilt", sorted(SPOILS.keys() - {*READABLE, "endless"}))
def test_what_is_of_no_use(spoilt: str) -> None:
    """Prose, halves, the same twice, no chorus, leaked rules, endless lines and other scripts are refused."""
    with pytest.raises(Unusable):
        written_words(said(spoilt), order(), ZH, provider="p", model="m")


@pytest.mark.parametrize(
    ("lines", "sections"), [(25, 2), (3, 17), (0, 4)], ids=["too many lines", "too many sections", "no lines"]
)
def test_limits(lines: int, sections: int) -> None:
    """Sections without end, sections beyond number and sections without a line are refused."""

    def said(lines: int, sections: int) -> str:
        versions = [
            {
                "title": label,
                "sections": [
                    {"kind": "chorus" if at else "verse", "lines": [f"第{at}句{label}"] * lines}
                    for at in range(sections)
                ],
            }
            for label in "AB"
        ]
        return json.dumps({"versions": versions})

    written_words(said(24, 16), order(), ZH, provider="p", model="m")
    with pytest.raises(Unusable):
        written_words(said(lines, sections), order(), ZH, provider="p", model="m")


def test_a_model_declines() -> None:
    """A model that says so in the agreed shape is understood."""
    with pytest.raises(Declined):
        written_words('{"refused": true, "versions": []}', order(), ZH, provider="p", model="m")


def test_the_wrong_language() -> None:
    """Chinese words for an English wish are refused."""
    with pytest.raises(Unusable, match="language"):
        written_words(said(), order(language="en"), ZH, provider="p", model="m")


def test_words_only_grow() -> None:
    """At every cut of the answer, what can be shown is a beginning of what can be shown later."""
    whole = said()
    shown: dict[str, str] = {}
    for at in range(0, len(whole) + 1, 3):
        found = growing(whole[:at])
        assert all(found.get(label, "").startswith(words) for label, words in shown.items())
        shown = found
    assert set(growing(whole)) == {"A", "B"}


def test_pieces_make_the_text_again() -> None:
    """Pieces are short enough for a line of a log, and a reader who joins those of the newest draft has the text."""
    drafts, log = Drafts(3), []
    long = "字" * (LONGEST_PIECE * 2 + 5)
    for texts in ({"A": "一"}, {"A": "一二"}, {"A": "又"}, {"A": "又" + long}, {"A": "又" + long, "B": "b"}):
        log += [piece.message for piece in drafts.pieces(texts)]
    assert all(len(line) <= 500 for line in log)
    pieces = [piece for piece in map(Piece.read, log) if piece is not None]
    assert len(pieces) == len(log)
    newest = max(piece.draft for piece in pieces)
    assert newest == 4
    joined = {
        label: "".join(piece.text for piece in pieces if (piece.draft, piece.label) == (newest, label))
        for label in "AB"
    }
    assert joined == {"A": "又" + long, "B": "b"}
    drafts.forget()
    assert [(piece.draft, piece.text) for piece in drafts.pieces({"A": "x"})] == [(5, "x")]


def test_pieces_are_bounded() -> None:
    """A text without end fills the log only so far."""
    drafts = Drafts(1, most=5)
    assert sum(len(drafts.pieces({"A": "x" * size})) for size in range(0, 9000, 100)) == 5


@pytest.mark.parametrize("line", ["started", "draft", "draft 1 C\nx", "draft 1 A x", "a draft 1 A\nx"])
def test_other_lines_are_no_pieces(line: str) -> None:
    """Only lines with the mark are pieces."""
    assert Piece.read(line) is None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_events_in_chunks(size: int) -> None:
    """Events are read whole wherever the network cuts them: comments passed over, lines joined, the last one given."""
    raw = "retry: 1\r\n: alive\r\n\r\ndata: 一\r\ndata:two\r\n\r\nevent: x\ndata: [DONE]\n\ndata: late".encode()

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(raw), size):
            yield raw[at : at + size]

    assert [event async for event in payloads(chunks())] == ["一\ntwo", "[DONE]", "late"]


async def test_an_event_without_end() -> None:
    """A line that never ends is given up before it fills the memory."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    with pytest.raises(BodyTooLarge):
        async for _ in payloads(endless()):
            pass


def test_the_instruction_fits_the_language() -> None:
    """The language asked for has its instruction, and a theme its own when that was left open; numbers only rise."""
    assert [prompt_for(each).name for each in (order("sea"), order("海"), order("海", language="en"))] == [
        "lyrics-en",
        "lyrics-zh",
        "lyrics-en",
    ]
    for prompts in PROMPTS.values():
        assert [each.number for each in prompts] == list(range(1, len(prompts) + 1))


@pytest.mark.parametrize("spoilt", ["bad_json", "one_version", "leak", "max_tokens"])
async def test_one_repair(spoilt: str) -> None:
    """An answer of no use is asked for once more, with what was wrong; the words then come, both calls are paid."""
    for vendor in (Gemini(pace_s=0.0), OpenAiChat(pace_s=0.0)):
        async with served(vendor):
            make = gemini_model if isinstance(vendor, Gemini) else openai_model
            writer = ModelWriter(make(vendor.url))
            once = await writer.write(order(), nobody, never)
            vendor.fail(spoilt)
            made = await writer.write(order(), nobody, never)
            await writer.close()
        assert made.versions[0].title
        assert vendor.calls.total() == 3
        assert made.usage.output_tokens > once.usage.output_tokens
        again = vendor.seen[-1].body
        assert (ZH.again in again) == (spoilt != "max_tokens")
        assert ("16384" in again) == (spoilt == "max_tokens")
        # Another seed, or a model that keeps to its seed says the same again.
        assert '"seed":8' in again


class Script:
    """A model that says what a test has written down for it."""

    name = vendor = operation = model = "script"

    def __init__(self, *says: Reply | Exception) -> None:
        """Say these, the first one first."""
        self.says = list(says)

    async def ask(self, question: Question, hear: Callable[[str], None], stop: Callable[[], bool]) -> Reply:
        """Return or raise the next of them."""
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    async def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    "end", [ModelRefused("no", ModelUsage(1, 1, 1)), VendorFailed("broken", "", again=True, usage=ModelUsage(1, 1, 1))]
)
async def test_a_repair_that_fails(end: VendorFailed | ModelRefused) -> None:
    """When the second call fails or is refused, what the first one took is told with it."""
    writer = ModelWriter(Script(Reply("prose", "script", usage=ModelUsage(5, 7, 9)), end))
    with pytest.raises((VendorFailed, ModelRefused)) as failed:
        await writer.write(order(), nobody, never)
    error: Any = failed.value
    assert error.usage == ModelUsage(6, 8, 10)


async def test_no_second_repair() -> None:
    """Two answers of no use are a failure that the next vendor may mend, and all they took is told."""
    async with served(Gemini(pace_s=0.0)) as vendor:
        writer = ModelWriter(gemini_model(vendor.url))
        vendor.fail("prose", times=2)
        with pytest.raises(VendorFailed) as failed:
            await writer.write(order(), nobody, never)
        await writer.close()
    assert (failed.value.kind, failed.value.again) == ("unusable", False)
    assert vendor.calls.total() == 2
    assert failed.value.usage != ModelUsage()
