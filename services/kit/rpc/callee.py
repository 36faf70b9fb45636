"""What stands between a process and one service that it calls: a circuit breaker, a retry budget, a bulkhead.

A service that is dead or hangs must cost its callers nothing but its own answers. After five calls in a row that it did
not answer, calls are refused here at once, with the moment to come back; each second one call may try. And a call that
lost its connection is made once more when the contract says that it may be repeated, within the budget: so an
instance that ends takes no call down with it while another one stands.
"""

import asyncio
import random
from collections.abc import Callable, Generator
from functools import cache
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

from services.kit.breaker import Breaker, BreakerState
from services.kit.errors import Unavailable
from services.kit.rpc.budget import RetryBudget
from services.kit.rpc.deadlines import LEAST_S
from services.kit.rpc.errors import DETAILS_KEY, to_status
from services.kit.telemetry import CALLEE_OPEN, CALLEE_REFUSED, CALLEE_RETRIES

FAILURES: Final = 5
WINDOW_S: Final = 30.0
OPEN_S: Final = 1.0
# Calls of one service on their way from this process: what hangs must not hold all that the process can hold.
MOST_CALLS: Final = 256
# A callee that is silent for so long is not there; less than that a hurried caller may ask for.
_PATIENT_S: Final = 1.0
_PAUSE_S: Final = (0.01, 0.05)
_HEALTH: Final = "/grpc.health.v1.Health/"
_REPEATABLE: Final = frozenset({MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT})


class Callee:
    """One service, as this process finds it."""

    def __init__(
        self,
        service: str,
        *,
        breaker: Breaker | None = None,
        budget: RetryBudget | None = None,
        most_calls: int = MOST_CALLS,
    ) -> None:
        """Judge the service by its short name; what else there is, is for tests."""
        self.service = service
        self.busy = 0
        self._most_calls = most_calls
        self.breaker = breaker or Breaker(failures=FAILURES, window_s=WINDOW_S, open_s=OPEN_S, in_a_row=True)
        self.budget = budget or RetryBudget()
        self.answers = 0
        self._open = CALLEE_OPEN.labels(service)
        self._refused = CALLEE_REFUSED.labels(service)
        self._retries = CALLEE_RETRIES.labels(service)

    def admit(self) -> None:
        """Let a call go out, or raise the AioRpcError that the service itself would give if it could."""
        if self.busy >= self._most_calls:
            self._refused.inc()
            raise _refusal(self.service, "has all the calls that it is sent at a time")
        if not self.breaker.admit():
            self._refused.inc()
            raise _refusal(self.service, "does not answer and is left alone")

    def sent(self, inner: Any) -> Any:
        """Return the call that was made, counted until it ends."""
        self.busy += 1
        inner.add_done_callback(self._ended)
        return inner

    def _ended(self, _inner: Any) -> None:
        self.busy -= 1

    def look(self) -> None:
        """Raise the same error while calls are refused, without being the one that tries."""
        if self.breaker.state is BreakerState.OPEN:
            self._refused.inc()
            raise _refusal(self.service, "does not answer and is left alone")

    def answered(self) -> None:
        """Note that the service is there, whatever it answered."""
        self.answers += 1
        self.breaker.succeed()
        self._open.set(0)

    def silent(self, since: int | None = None) -> None:
        """Note a call that the service did not answer; `since` is how many it had answered when the call went out.

        A call that was overtaken by an answer says that one instance of several has gone, not the service.
        """
        if since is not None and since != self.answers:
            self.breaker.give_back()
            return
        self.breaker.fail()
        self._open.set(self.breaker.state is not BreakerState.CLOSED)

    def judge(self, error: grpc.aio.AioRpcError, timeout_s: float | None, since: int | None = None) -> bool:
        """Note how a call failed, and return whether that was before it was answered: it may be made again."""
        code = error.code()
        if any(key == DETAILS_KEY for key, _ in error.trailing_metadata() or ()):
            self.answered()
        elif code is grpc.StatusCode.UNAVAILABLE:
            self.silent(since)
            return True
        elif code is grpc.StatusCode.DEADLINE_EXCEEDED and (timeout_s is None or timeout_s >= _PATIENT_S):
            self.silent(since)
        elif code in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}:
            self.breaker.give_back()
        else:
            self.answered()
        return False

    def may_repeat(self) -> bool:
        """Return whether a call may be made once more, having taken it out of the budget."""
        if not self.budget.take():
            return False
        if not self.breaker.admit():
            return False
        self._retries.inc()
        return True


Again = Callable[[float | None], Any]


class GuardedCall:
    """A unary call on its way: awaited like the call it stands for, whose other methods it has too."""

    __slots__ = ("_again", "_callee", "_inner", "_since", "_until")

    def __init__(self, callee: Callee, inner: Any, *, again: Again | None, until: tuple[float, float] | None) -> None:
        """Watch `inner`; `again` makes the call anew with the seconds that are left until `until`, if it may be."""
        self._callee = callee
        self._since = callee.answers
        self._inner = inner
        self._again = again
        self._until = until  # the moment, and the seconds that there were

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call back with this call when the first try of it has ended."""
        self._inner.add_done_callback(lambda _: callback(self))

    def __await__(self) -> Generator[Any, None, Any]:
        """Return the answer, of the second try if there is one; raises AioRpcError."""
        return self._answer().__await__()

    async def _answer(self) -> Any:
        callee, timeout_s = self._callee, self._until[1] if self._until is not None else None
        try:
            answer = await self._inner
        except grpc.aio.AioRpcError as error:
            again = self._again
            if not callee.judge(error, timeout_s, self._since) or again is None or not callee.may_repeat():
                raise
        except BaseException:
            callee.breaker.give_back()
            raise
        else:
            callee.answered()
            return answer
        return await self._second(again)

    async def _second(self, again: Again) -> Any:
        """Make the call once more, in the time that is left."""
        await asyncio.sleep(random.uniform(*_PAUSE_S))
        left = None if self._until is None else max(self._until[0] - asyncio.get_running_loop().time(), LEAST_S)
        self._since = self._callee.answers
        self._inner = again(left)
        try:
            answer = await self._inner
        except grpc.aio.AioRpcError as error:
            self._callee.judge(error, left, self._since)
            raise
        except BaseException:
            self._callee.breaker.give_back()
            raise
        self._callee.answered()
        return answer


def guarded(
    callee: Callee, path: str, make: Callable[..., Any], *, request: tuple[Any, ...], options: dict[str, Any]
) -> GuardedCall:
    """Return a call that goes out now; `make` is the stub's callable of the unary method at `path`.

    Raises AioRpcError when the service is left alone.
    """
    callee.admit()
    callee.budget.pay_in()
    timeout_s = options.get("timeout")
    until = None if timeout_s is None else (asyncio.get_running_loop().time() + timeout_s, timeout_s)
    again: Again | None = None
    named = bool(request) and bool(getattr(request[0], "request_id", ""))
    if named or repeatable(path):

        def again(left: float | None) -> Any:
            return callee.sent(make(*request, **{**options, "timeout": left}))

    return GuardedCall(callee, callee.sent(make(*request, **options)), again=again, until=until)


@cache
def unguarded(path: str) -> bool:
    """Return whether a method is asked whatever the breaker says: health is how one learns that a service is back."""
    return path.startswith(_HEALTH)


@cache
def repeatable(path: str) -> bool:
    """Return whether the contract says that repeating the method does no harm."""
    service, _, name = path.lstrip("/").partition("/")
    try:
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    except KeyError:
        return False
    return method.GetOptions().idempotency_level in _REPEATABLE


def _refusal(service: str, why: str) -> grpc.aio.AioRpcError:
    """Return the refusal of a call that is not made, in the words that the service would use."""
    error = Unavailable(f"{service} {why}", dependency=service, retry_after_s=int(OPEN_S))
    status = to_status(error)
    trailing = grpc.aio.Metadata((DETAILS_KEY, status.SerializeToString()))
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), trailing, details=status.message)
