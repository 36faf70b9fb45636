"""Models that write text, whoever runs them: what they are asked, what they answer, and how they fail."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from services.composer.domain.errors import VendorFailed
from services.composer.domain.usage import ModelUsage

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME: Final = re.compile(r"[A-Za-z0-9._:/@+-]{1,100}")
_LONGEST_ANSWER: Final = 40_000
"""Characters; two versions have a tenth of it."""


class ModelRefused(Exception):  # an outcome, not a fault
    """Raised when a model, or the filter around it, will not write what it was asked for; *why* is its own word."""

    def __init__(self, why: str, usage: ModelUsage | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.usage = usage or ModelUsage()


@dataclass(frozen=True)
class Question:
    """What a model is asked: its instruction, what was said so far with the person first, and the shape of the answer.

    `schema` is a JSON schema; a model that knows none is told by the instruction alone. `prompt` is the name and number
    of the instruction, for whoever looks at traces.
    """

    system: str
    turns: tuple[str, ...]
    schema: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    most_tokens: int = 8192
    prompt: str = ""


@dataclass(frozen=True)
class Reply:
    """What a model answered: `cut` at the limit of tokens, `model` and `ending` as the vendor names them."""

    text: str
    model: str
    cut: bool = False
    ending: str = ""
    usage: ModelUsage = field(default_factory=ModelUsage)


def name_in(value: object) -> str:
    """Return a vendor's word if it looks like a name, else an empty text: it could be our own words said again."""
    text = str(value)
    return text if _NAME.fullmatch(text) else ""


def grown(text: str, more: str, usage: ModelUsage) -> str:
    """Return both together; raises VendorFailed for an answer without end, which reading would hold everything up."""
    if len(text) + len(more) > _LONGEST_ANSWER:
        raise VendorFailed("broken", "the model answers without end", again=True, usage=usage)
    return text + more


class TextModel(Protocol):
    """Answers questions; `vendor` and `operation` are OpenTelemetry's words for who it is and what it does."""

    name: str
    vendor: str
    operation: str
    model: str

    async def ask(self, question: Question, hear: Callable[[str], None], stop: Callable[[], bool]) -> Reply:
        """Return the answer, one try; *hear* gets the text so far whenever it has grown, if it comes in pieces.

        Raises VendorFailed, ModelRefused, and Stopped soon after *stop* says so.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
