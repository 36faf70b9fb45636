"""Spans: where they stand, what they say, and what they never say."""

import asyncio
from collections.abc import Iterator

import pytest

from services.kit import tracing
from services.kit.errors import Unavailable
from services.kit.tracing import Place
from tests.kit.span_memory import Memory, remembering

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def memory() -> Iterator[Memory]:
    """Record into memory for the length of a test."""
    with remembering() as kept:
        yield kept


def test_without_a_recorder_nothing_happens() -> None:
    """A span without a recorder takes attributes and errors and leaves no place behind."""
    with tracing.span("work") as work:
        work.set("a", 1)
        assert tracing.here() is None
    with pytest.raises(ValueError, match="x"), tracing.span("work"):
        raise ValueError("x")
    with tracing.generation("chat", provider="openai", model="m") as made:
        made.answered(input_tokens=1, cost_usd=0.1)
    assert not tracing.recording()


def test_spans_lie_inside_each_other(memory: Memory) -> None:
    """The inner span's parent is the outer one, in one trace, and afterwards the place is the outer one again."""
    with tracing.joined(TRACE, platform="wxmp", user_id="u-1"), tracing.span("outer"):
        before = tracing.here()
        with tracing.span("inner", kind="client"):
            pass
        assert tracing.here() == before
    outer, inner = memory.spans
    assert (outer.trace_id, inner.trace_id, outer.parent, inner.parent) == (TRACE, TRACE, "", outer.span_id)
    assert inner.attributes["cadenza.platform"] == inner.attributes["langfuse.trace.metadata.platform"] == "wxmp"
    assert inner.attributes["user.id"] == "u-1"
    assert tracing.here() is None


def test_a_job_goes_on_behind_the_span_that_made_it(memory: Memory) -> None:
    """The span of an attempt has the span that made the job as its parent, known from the job's id alone."""
    with tracing.span("enqueue", kind="producer", span_id=tracing.span_of_job("job-1")):
        pass
    with tracing.joined(TRACE, job_id="job-1"), tracing.span("attempt"):
        pass
    made, attempt = memory.spans
    assert attempt.parent == made.span_id
    assert tracing.span_of_job("job-2") != made.span_id


async def test_a_task_inherits_its_place(memory: Memory) -> None:
    """A span in a task that was started inside another span lies in it."""

    async def inner() -> None:
        with tracing.span("inner"):
            await asyncio.sleep(0)

    with tracing.joined(TRACE), tracing.span("outer"):
        await asyncio.gather(inner(), inner())
    assert [each.parent for each in memory.spans[1:]] == [memory.spans[0].span_id] * 2


def test_an_error_is_told_by_name_only(memory: Memory) -> None:
    """Of an error only its reason or class is kept; its words may hold a prompt or a key."""
    with pytest.raises(Unavailable), tracing.span("a"):
        raise Unavailable("secret words", dependency="x")
    with pytest.raises(KeyError), tracing.span("b"):
        raise KeyError("secret words")
    assert [each.error for each in memory.spans] == ["SERVICE_UNAVAILABLE", "KeyError"]
    assert "secret words" not in repr(memory.spans)


def test_a_generation_bears_the_names_of_the_conventions(memory: Memory) -> None:
    """A model call tells operation, vendor, models, tokens, cost and prompt template by their agreed names."""
    with tracing.generation("chat", provider="gcp.gemini", model="asked", output="json", prompt="lyrics") as made:
        made.answered(model="real", input_tokens=3, output_tokens=5, cost_usd=0.25, finish_reason="STOP")
    (kept,) = memory.spans
    assert (kept.name, kept.kind) == ("chat asked", "client")
    assert kept.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.system": "gcp.gemini",
        "gen_ai.request.model": "asked",
        "gen_ai.output.type": "json",
        "gen_ai.response.model": "real",
        "gen_ai.response.finish_reasons": "STOP",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cost": 0.25,
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "asked",
        "langfuse.observation.cost_details": '{"total": 0.25}',
        "langfuse.observation.metadata.prompt": "lyrics",
    }


def test_a_vendor_cannot_put_our_words_where_names_belong(memory: Memory) -> None:
    """A model name or a reason that is a sentence is left out."""
    with tracing.generation("chat", provider="openai", model="m") as made:
        made.answered(model="a blue song about the sea", finish_reason="你好")
    assert not {"gen_ai.response.model", "gen_ai.response.finish_reasons"} & memory.spans[0].attributes.keys()


def test_long_text_is_cut(memory: Memory) -> None:
    """No attribute is longer than 200 characters, whoever sets it."""
    with tracing.span("a", attributes={"x": "y" * 500}) as kept:
        kept.set("z", "y" * 500)
    assert [len(str(memory.spans[0].attributes[name])) for name in "xz"] == [200, 200]


@pytest.mark.parametrize(
    ("header", "span_id"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", "b7ad6b7169203331"),
        (f"00-{'1' * 32}-b7ad6b7169203331-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        ("", ""),
    ],
)
def test_a_parent_counts_only_in_its_own_trace(header: str, span_id: str) -> None:
    """The span of a `traceparent` is taken when it is well-formed and of the trace that is at hand."""
    assert tracing.parent_span(header, TRACE) == span_id


def test_a_place_is_written_as_a_traceparent() -> None:
    """The header of a place reads back as its span; a place inside no span has none."""
    place = Place(TRACE, "b7ad6b7169203331")
    assert tracing.parent_span(tracing.traceparent(place), TRACE) == place.span_id
    assert tracing.traceparent(Place(TRACE)) == ""
