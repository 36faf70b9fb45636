"""One call of a model, counted and traced: how it ended, what it took, and nothing of what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter

from services.composer.domain.errors import VendorFailed
from services.composer.domain.usage import ModelUsage
from services.composer.providers.model import ModelRefused
from services.kit import tracing
from services.kit.telemetry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.composer.providers.model import Question, Reply, TextModel

CALLS: Final = Counter("cadenza_model_calls", "Calls of models", ("provider", "outcome"), registry=REGISTRY)
TOKENS: Final = Counter("cadenza_model_tokens", "Tokens of models", ("provider", "direction"), registry=REGISTRY)
COST: Final = Counter(
    "cadenza_model_cost_micros", "Cost of models in millionths of a dollar", ("provider",), registry=REGISTRY
)

_MILLION: Final = 1_000_000


async def observed(
    model: TextModel, question: Question, hear: Callable[[str], None], stop: Callable[[], bool]
) -> Reply:
    """Return what the model answers; raises what its `ask` raises."""
    outcome, usage = "stopped", ModelUsage()
    name, _, number = question.prompt.partition("/")
    span = tracing.generation(
        model.operation, provider=model.vendor, model=model.model, output="json", prompt=name, prompt_version=number
    )
    try:
        with span:
            try:
                reply = await model.ask(question, hear, stop)
                outcome, usage = "ok", reply.usage
            except VendorFailed as error:
                outcome, usage = error.kind, error.usage
                raise
            except ModelRefused as error:
                outcome, usage = "refused", error.usage
                raise
            finally:
                span.set("cadenza.outcome", outcome)
            span.answered(
                model=reply.model,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cost_usd=usage.cost_micros / _MILLION,
                finish_reason=reply.ending,
            )
            return reply
    finally:
        CALLS.labels(model.name, outcome).inc()
        TOKENS.labels(model.name, "input").inc(usage.input_tokens)
        TOKENS.labels(model.name, "output").inc(usage.output_tokens)
        COST.labels(model.name).inc(usage.cost_micros)
