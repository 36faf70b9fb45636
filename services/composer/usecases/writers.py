"""Who writes the words: models in the order of the settings, and behind them one who always can.

Nobody waits for a broken vendor while another one works: after a failure the next one is asked at once, and only when
all have failed is there a pause before the next round. So every vendor gets its three tries with a second and two
between them, and falling back costs no more than the failed call itself.

A refusal ends it. Whoever asks the next vendor after a verdict about the content has built a way around every verdict,
and has shown it to more parties than need to see it; the offline writer, who understands nothing, would sing about it
too. An operator who judges otherwise can say so by setting.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from services.composer.domain.errors import LyricsRefused, LyricsUnavailable, VendorFailed
from services.composer.domain.usage import ModelUsage
from services.composer.providers import WrittenLyrics
from services.composer.providers.model import ModelRefused
from services.kit.breaker import Breaker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from services.composer.config import Config
    from services.composer.providers import LyricsOrder, LyricsProvider

_log = logging.getLogger(__name__)

TRIES: Final = 3
# A vendor that wants to be left alone for longer is not asked again for these words.
_LONGEST_WAIT_S: Final = 5.0
# Less is not enough for a model to write anything.
_LEAST_S: Final = 1.0


class Writers:
    """Asks one writer after the other until one has written."""

    name = "writers"

    def __init__(
        self,
        models: Sequence[LyricsProvider],
        last: LyricsProvider | None,
        *,
        pause_s: float = 1.0,
        budget_s: float = 45.0,
        ask_after_refusal: bool = False,
        breaker: Callable[[], Breaker] = Breaker,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Keep them in order; `last` is asked when all models are out, `budget_s` is what models together may take."""
        self._models = tuple(models)
        self._last = last
        self._pause_s = pause_s
        self._budget_s = budget_s
        self._ask_after_refusal = ask_after_refusal
        self._sleep = sleep
        self._breakers = {model.name: breaker() for model in models}

    @classmethod
    def configured(cls, config: Config, models: Sequence[LyricsProvider], last: LyricsProvider | None) -> Writers:
        """Return them as the settings want them to behave."""
        return cls(
            models,
            last,
            pause_s=config.lyrics_pause_s,
            budget_s=config.lyrics_budget_s,
            ask_after_refusal=config.lyrics_after_refusal,
        )

    async def write(
        self, order: LyricsOrder, tell: Callable[[Mapping[str, str]], None], stop: Callable[[], bool]
    ) -> WrittenLyrics:
        """Return versions A and B with the usage of all tries.

        Raises LyricsUnavailable when nobody could write, LyricsRefused when somebody would not, and Stopped.
        """
        errand = _Errand(order, tell, stop, asyncio.get_running_loop().time() + self._budget_s)
        for number in range(1, TRIES + 1):
            if number > 1 and not await self._pause(errand, number):
                break
            for model in self._models:
                if model.name not in errand.out and (made := await self._try(model, errand, number)):
                    return made
        if self._last is None:
            failed = LyricsUnavailable("no writer could write", tries=errand.tries, cause=self._cause())
            failed.usage = errand.usage
            raise failed
        made = await self._last.write(order, tell, stop)
        return WrittenLyrics(made.versions, errand.usage + made.usage)

    async def close(self) -> None:
        """Close the connections of all of them."""
        for writer in (*self._models, *((self._last,) if self._last else ())):
            await writer.close()

    async def _pause(self, errand: _Errand, number: int) -> bool:
        """Wait before a round after the first; return whether there is anybody to ask and time for it."""
        if all(model.name in errand.out for model in self._models):
            return False
        pause_s = max(self._pause_s * 2.0 ** (number - 2), errand.wait_s)
        if errand.left_s() < pause_s + _LEAST_S:
            return False
        errand.wait_s = 0.0
        await self._sleep(pause_s)
        return True

    async def _try(self, model: LyricsProvider, errand: _Errand, number: int) -> WrittenLyrics | None:
        """Return what the model wrote, or None after a failure; raises LyricsRefused."""
        breaker = self._breakers[model.name]
        if errand.left_s() < _LEAST_S or not breaker.admit():
            errand.out.add(model.name)
            return None
        errand.tries += 1
        told = False
        try:
            async with asyncio.timeout(errand.left_s()):
                made = await model.write(errand.order, errand.tell, errand.stop)
            breaker.succeed()
            told = True
        except ModelRefused as refusal:
            breaker.succeed()
            told = True
            errand.usage += refusal.usage
            errand.out.add(model.name)
            _log.info("a writer refuses", extra={"provider": model.name, "why": refusal.why})
            if not self._ask_after_refusal:
                refused = LyricsRefused("the model will not write about this")
                refused.usage = errand.usage
                raise refused from refusal
            return None
        except (VendorFailed, TimeoutError) as error:
            breaker.fail()
            told = True
            self._note(model, errand, error, number)
            return None
        finally:
            if not told:
                breaker.give_back()
        return WrittenLyrics(made.versions, errand.usage + made.usage)

    def _note(self, model: LyricsProvider, errand: _Errand, error: Exception, number: int) -> None:
        """Take note of a failure: who is not asked again, how long the others want, what it took."""
        if not isinstance(error, VendorFailed):
            error = VendorFailed("silent", f"{model.name} took all the time there was", again=False)
        if error.again and error.wait_s <= _LONGEST_WAIT_S:
            errand.wait_s = max(errand.wait_s, error.wait_s)
        else:
            errand.out.add(model.name)
        errand.usage += error.usage
        _log.warning(
            "a writer failed: %s",
            error.message,
            extra={"provider": model.name, "attempt": number, "kind": error.kind, "again": error.again},
        )

    def _cause(self) -> str:
        """Return the older clients' name for it, after the first vendor: GEMINI_API_UNAVAILABLE."""
        return f"{self._models[0].name.upper()}_API_UNAVAILABLE" if self._models else ""


class _Errand:
    """One wish on its way through the writers."""

    def __init__(
        self,
        order: LyricsOrder,
        tell: Callable[[Mapping[str, str]], None],
        stop: Callable[[], bool],
        deadline: float,
    ) -> None:
        self.order = order
        self.tell = tell
        self.stop = stop
        self.out: set[str] = set()
        self.tries = 0
        self.wait_s = 0.0
        self.usage = ModelUsage()
        self._deadline = deadline

    def left_s(self) -> float:
        return max(self._deadline - asyncio.get_running_loop().time(), 0.0)
