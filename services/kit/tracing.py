"""Spans: what was done for a request, where, how long it took, joined by the trace id that the client also gets.

Nothing is recorded unless a receiver is configured; then a span costs a comparison. A span carries names, numbers and
ids, never what a person said or what opens a door: no prompt, no words of a song, no header, no query, no error text.
`kit.otlp` sends what is recorded, and is loaded only where that is wanted.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, Self

from services.kit import log
from services.kit.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextvars import Token
    from types import TracebackType

    from services.kit.config import ProcessConfig

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | float | bool

_LONGEST_VALUE = 200
_PARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})-[0-9a-f]{2}")
_NAME = re.compile(r"[A-Za-z0-9._:/@+-]{1,100}")
_TRACE = re.compile(r"(?!0{32})[0-9a-f]{32}")


class Place(NamedTuple):
    """Where the work at hand stands: in which trace, inside which span (or none yet), for whom."""

    trace_id: str
    span_id: str = ""
    platform: str = ""
    user_id: str = ""


class Open(Protocol):
    """A span that a recorder has begun."""

    trace_id: str
    span_id: str

    def set(self, name: str, value: Value) -> None:
        """Add an attribute."""
        ...

    def end(self, error: str) -> None:
        """Finish the span; `error` names what went wrong and is empty when nothing did."""
        ...


class Recorder(Protocol):
    """Keeps spans and sends them somewhere."""

    def begin(
        self, name: str, *, kind: Kind, place: Place | None, span_id: str, attributes: Mapping[str, Value]
    ) -> Open:
        """Begin a span inside `place`, with the given id unless that is empty."""
        ...


_place: ContextVar[Place | None] = ContextVar("cadenza_place", default=None)
_recorder: Recorder | None = None


def record_with(recorder: Recorder | None) -> None:
    """Let this process record its spans with the recorder; None stops that."""
    global _recorder  # noqa: PLW0603  # one per process, like the root logger
    _recorder = recorder


def start(service: str, config: ProcessConfig) -> Callable[[], None]:
    """Send this process's spans to the configured receiver, if there is one; return what ends that.

    The end sends what is left and takes two seconds at most. Call it once, before the process does anything.
    """
    if not config.otlp_endpoint:
        return _nothing
    # The SDK takes a tenth of a second and ten megabytes, which only those pay who want it.
    from services.kit.otlp import Sender

    sender = Sender(service, endpoint=config.otlp_endpoint, headers=config.otlp_headers, environment=config.app_env)
    record_with(sender)

    def stop() -> None:
        record_with(None)
        sender.close()

    return stop


def _nothing() -> None:
    """End nothing."""


def recording() -> bool:
    """Return whether spans are recorded here."""
    return _recorder is not None


def here() -> Place | None:
    """Return where the work at hand stands, None outside of any request and job."""
    return _place.get()


def known_user(user_id: str) -> None:
    """Let the spans that follow at this place say for whom they are; does nothing where nothing is recorded."""
    place = _place.get()
    if _recorder is not None and place is not None and user_id:
        _place.set(Place(place.trace_id, place.span_id, place.platform, user_id))


def traceparent(place: Place) -> str:
    """Return the W3C header that names the place, or an empty text when it is inside no span."""
    return f"00-{place.trace_id}-{place.span_id}-01" if place.span_id else ""


def parent_span(header: str, trace_id: str) -> str:
    """Return the span that a `traceparent` names, if it is one of this trace; W3C Trace Context, section 3.2."""
    found = _PARENT.fullmatch(header)
    return found["span"] if found and found["trace"] == trace_id else ""


def span_of_job(job_id: str) -> str:
    """Return the id of the span in which a job was made: it follows from the job's, so no row has to keep it."""
    return hashlib.sha256(f"span:{job_id}".encode()).hexdigest()[:16]


@contextmanager
def joined(trace_id: str, *, job_id: str = "", platform: str = "", user_id: str = "") -> Iterator[None]:
    """Do what happens inside as part of an earlier request's trace, behind the making of the job if one is named.

    Log lines, spans and calls to other services bear its trace id. Does nothing without a trace id.
    """
    if not _TRACE.fullmatch(trace_id):
        yield
        return
    place = Place(trace_id, span_of_job(job_id) if job_id else "", platform, user_id)
    token = _place.set(place)
    try:
        with log.context(trace_id=trace_id, platform=platform):
            yield
    finally:
        _place.reset(token)


class Span:
    """A span as its maker sees it: a context manager; a raised error marks it, by class or reason only."""

    __slots__ = ("_attributes", "_kind", "_name", "_open", "_place", "_span_id", "_token")

    def __init__(
        self,
        name: str,
        *,
        kind: Kind,
        attributes: Mapping[str, Value | None],
        place: Place | None = None,
        span_id: str = "",
    ) -> None:
        self._name = name
        self._kind = kind
        self._place = place
        self._span_id = span_id
        self._attributes = attributes
        self._open: Open | None = None
        self._token: Token[Place | None] | None = None

    def __enter__(self) -> Self:
        if _recorder is None:
            return self
        place = self._place or _place.get()
        about = _about(place)
        for name, value in self._attributes.items():
            if value is not None:
                about[name] = value if type(value) is not str else value[:_LONGEST_VALUE]
        opened = _recorder.begin(self._name, kind=self._kind, place=place, span_id=self._span_id, attributes=about)
        platform, user_id = (place.platform, place.user_id) if place else ("", "")
        self._token = _place.set(Place(opened.trace_id, opened.span_id, platform, user_id))
        self._open = opened
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is None:
            return
        if self._token is not None:
            # A stream that is closed by whoever collects it ends elsewhere than it began.
            with suppress(ValueError):
                _place.reset(self._token)
        self._open.end("" if error is None else error_name(error))

    def set(self, name: str, value: Value | None) -> None:
        """Add an attribute; None adds nothing, text is cut to 200 characters."""
        if self._open is not None and value is not None:
            self._open.set(name, _fit(value))

    def fail(self, error: str) -> None:
        """Mark the span as failed though nothing was raised; `error` is a short word such as a status."""
        if self._open is not None:
            self._open.set("error.type", _fit(error))


def span(
    name: str,
    *,
    kind: Kind = "internal",
    place: Place | None = None,
    span_id: str = "",
    attributes: Mapping[str, Value | None] | None = None,
) -> Span:
    """Return a span around the block that follows, inside the present place or the given one."""
    return Span(name, kind=kind, place=place, span_id=span_id, attributes=attributes or {})


class Generation(Span):
    """The span of one call to a model."""

    __slots__ = ()

    def answered(
        self,
        *,
        model: str = "",
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost_usd: float | None = None,
        finish_reason: str = "",
    ) -> None:
        """Note what the vendor told of its answer: the model that really answered, tokens, cost in US dollars.

        What should be a name and looks like none is left out: a vendor that lies could put our words there.
        """
        self.set("gen_ai.response.model", model if _NAME.fullmatch(model) else None)
        self.set("gen_ai.usage.input_tokens", input_tokens)
        self.set("gen_ai.usage.output_tokens", output_tokens)
        self.set("gen_ai.response.finish_reasons", finish_reason if _NAME.fullmatch(finish_reason) else None)
        if cost_usd is not None:
            self.set("gen_ai.usage.cost", cost_usd)
            self.set("langfuse.observation.cost_details", json.dumps({"total": cost_usd}))


def generation(
    operation: str,
    *,
    provider: str,
    model: str,
    output: str = "",
    prompt: str = "",
    prompt_version: str = "",
) -> Generation:
    """Return the span of one call to a model, to be put around each try of it.

        with tracing.generation("chat", provider="gcp.gemini", model=asked, output="json", prompt="lyrics") as made:
            answer = await self._http.request(...)
            made.answered(model=answer_model, input_tokens=12, output_tokens=340, cost_usd=0.0004, finish_reason="STOP")

    `operation` is one of OpenTelemetry's words (chat, generate_content, text_completion) or, as there is none for
    songs, `generate_music`; `provider` is its word for the vendor (gcp.gemini, openai, deepseek) or the vendor's own
    name (minimax, suno, ace_step, offline); `output` is text, json, image or speech and stays empty for music. `prompt`
    names the template that was filled in. Never hand it the prompt, the lyrics, a key or an error's text: nothing of
    that may leave the house. Platform, user and trace come by themselves, from the request or job that is at work. An
    error that is raised inside marks the span with its reason or class. Sources: OpenTelemetry's GenAI conventions and
    Langfuse's attribute mapping.
    """
    return Generation(
        f"{operation} {model}",
        kind="client",
        attributes={
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider,
            # The older name of the same, which receivers of last year's conventions look for.
            "gen_ai.system": provider,
            "gen_ai.request.model": model,
            "gen_ai.output.type": output or None,
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": model,
            "langfuse.observation.metadata.prompt": prompt or None,
            "langfuse.observation.metadata.prompt_version": prompt_version or None,
        },
    )


def error_name(error: BaseException) -> str:
    """Return what may be told of an error: its reason or its class, never its words."""
    return error.reason if isinstance(error, DomainError) else type(error).__name__


def _about(place: Place | None) -> dict[str, Value]:
    """Return what every span says of whom it is for; Langfuse wants that on each span, not only on the first."""
    if place is None:
        return {}
    about: dict[str, Value] = {}
    if place.platform:
        about["cadenza.platform"] = about["langfuse.trace.metadata.platform"] = place.platform
    if place.user_id:
        about["user.id"] = place.user_id
    return about


def _fit(value: Value) -> Value:
    return value[:_LONGEST_VALUE] if isinstance(value, str) else value
