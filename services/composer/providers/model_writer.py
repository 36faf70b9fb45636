"""A writer of words made of any model: it asks, reads the answer, and asks once more when it is of no use."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from services.composer.domain.errors import VendorFailed
from services.composer.domain.usage import ModelUsage
from services.composer.providers import WrittenLyrics
from services.composer.providers.lyrics_answer import Declined, Unusable, growing, written_words
from services.composer.providers.lyrics_prompt import SCHEMA, material, prompt_for
from services.composer.providers.model import ModelRefused, Question
from services.composer.providers.model_call import observed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.composer.providers import LyricsOrder
    from services.composer.providers.model import Reply, TextModel

_log = logging.getLogger(__name__)

_BETWEEN_S: Final = 0.2
_TOKENS: Final = 8192
# An answer that was cut off needs more room, thoughts may have eaten it.
_MORE_TOKENS: Final = 16384


class ModelWriter:
    """Writes words with a model."""

    def __init__(self, model: TextModel) -> None:
        self.name = model.name
        self._model = model

    async def write(
        self, order: LyricsOrder, tell: Callable[[Mapping[str, str]], None], stop: Callable[[], bool]
    ) -> WrittenLyrics:
        """Return versions A and B; one answer that cannot be used is asked for again, a second one is a failure.

        The same order need not give the same words: vendors promise nothing for a seed.
        """
        prompt = prompt_for(order)
        turns: tuple[str, ...] = (material(order),)
        question = Question(prompt.system, turns, SCHEMA, order.seed, _TOKENS, prompt.label)
        usage = ModelUsage()
        why = ""
        for repair in (False, True):
            try:
                reply = await observed(self._model, question, _Telling(tell), stop)
                usage += reply.usage
                made = written_words(reply.text, order, prompt, provider=self.name, model=reply.model)
            except Unusable as error:
                why = "cut off" if reply.cut else str(error)
                _log.warning(
                    "a model's answer cannot be used",
                    extra={"provider": self.name, "why": why, "repair": repair, "answer_chars": len(reply.text)},
                )
                question = _again(question, reply, prompt.again)
            except Declined:
                raise ModelRefused("declined", usage) from None
            except (VendorFailed, ModelRefused) as error:
                error.usage += usage
                raise
            else:
                tell({each.label: _text(each.sections) for each in made})
                return WrittenLyrics(made, usage)
        raise VendorFailed("unusable", f"two answers of {self.name} could not be used: {why}", again=False, usage=usage)

    async def close(self) -> None:
        """Close the model's connections."""
        await self._model.close()


def _again(question: Question, reply: Reply, words: str) -> Question:
    """Return the question with the answer and what is wrong with it; what was cut off is not shown again."""
    said = () if reply.cut or not reply.text else (reply.text, words)
    tokens = _MORE_TOKENS if reply.cut else question.most_tokens
    return replace(question, turns=(*question.turns, *said), seed=question.seed + 1, most_tokens=tokens)


def _text(sections: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    return "\n\n".join("\n".join((f"[{kind}]", *lines)) for kind, lines in sections)


class _Telling:
    """Tells what can be read of a growing answer, a few times a second: reading it anew costs its whole length."""

    def __init__(self, tell: Callable[[Mapping[str, str]], None]) -> None:
        self._tell = tell
        self._next = 0.0

    def __call__(self, text: str) -> None:
        at = asyncio.get_running_loop().time()
        if at >= self._next:
            self._next = at + _BETWEEN_S
            if found := growing(text):
                self._tell(found)
