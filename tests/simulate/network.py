"""Calls between simulated processes: lost, late, twice, overtaking each other, or answered in vain."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import grpc
import grpc.aio

from services.kit.errors import DomainError, RemoteError
from tests.simulate.loop import Process, SimulatedLoop, here, outside

Handler = Callable[[Any], Awaitable[Any]]

_NO_METADATA = grpc.aio.Metadata()
# Longer than any deadline of ours, so that an effect may come long after its caller has given up.
_LATEST_S = 25.0


@dataclass
class Weather:
    """How often a message suffers what."""

    lost: float = 0.0
    answer_lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    usual_s: float = 0.003


@dataclass
class Counts:
    """What happened to messages during the run."""

    sent: int = 0
    lost: int = 0
    twice: int = 0
    late: int = 0


class _Call:
    """One call on its way: who asked, and the server's task once there is one."""

    __slots__ = ("answer", "caller", "task")

    def __init__(self, caller: Process, answer: asyncio.Future[Any] | None) -> None:
        self.caller = caller
        self.answer = answer
        self.task: asyncio.Task[None] | None = None


class Network:
    """Carries requests to whichever process answers to a name, and answers back."""

    def __init__(self, loop: SimulatedLoop, chance: Random) -> None:
        self.loop = loop
        self.weather = Weather()
        self.counts = Counts()
        self._roll = chance.random
        self._served: dict[str, tuple[Process, dict[str, Handler]]] = {}
        self._served_calls: dict[Process, dict[_Call, None]] = {}
        self._under_way = 0

    def serve(self, name: str, process: Process, handlers: dict[str, Handler]) -> None:
        """Let the process answer calls to the name."""
        self._served[name] = (process, handlers)

    @property
    def quiet(self) -> bool:
        """Return whether nothing is on its way any more."""
        return self._under_way == 0

    async def call(self, name: str, method: str, request: Any, *, timeout_s: float) -> Any:
        """Return the answer; raises AioRpcError for the way there and back, RemoteError for a refusal."""
        self.counts.sent += 1
        call = _Call(here(), self.loop.create_future())
        weather, roll = self.weather, self._roll()
        if roll < weather.lost:
            self.counts.lost += 1
            if roll < weather.lost / 2:
                self._back(call, _fail, _fault(grpc.StatusCode.UNAVAILABLE))
        else:
            self._send(call, name, method, request)
            if self._roll() < weather.twice:
                self.counts.twice += 1
                self._send(_Call(call.caller, None), name, method, request, extra_s=_LATEST_S * self._roll() ** 3)
        try:
            async with asyncio.timeout(timeout_s):
                return await call.answer  # type: ignore[misc]  # set above
        except TimeoutError:
            raise _fault(grpc.StatusCode.DEADLINE_EXCEEDED) from None
        finally:
            # Who gives up tells the server, and the message may be lost like any other.
            if call.task is not None and not call.task.done() and self._roll() < 0.5:
                self.loop.call_later(self._delay_s(), call.task.cancel, context=outside())

    def hang_up(self, process: Process) -> None:
        """Tell those who wait for a killed process that the connection is gone."""
        for call in self._served_calls.pop(process, {}):
            self._back(call, _fail, _fault(grpc.StatusCode.UNAVAILABLE))

    def _send(self, call: _Call, name: str, method: str, request: Any, *, extra_s: float = 0.0) -> None:
        """Have the request arrive after a while, at whoever bears the name by then."""
        self._under_way += 1

        def arrive() -> None:
            self._under_way -= 1
            served = self._served.get(name)
            if served is None or not served[0].alive:
                self._back(call, _fail, _fault(grpc.StatusCode.UNAVAILABLE))
                return
            process, handlers = served
            calls = self._served_calls.setdefault(process, {})
            calls[call] = None
            call.task = self.loop.inside(process, self._serve(call, handlers[method], request, calls))

        self.loop.call_later(extra_s + self._delay_s(), arrive, context=outside())

    async def _serve(self, call: _Call, handler: Handler, request: Any, calls: dict[_Call, None]) -> None:
        """Run the handler and send back what it says."""
        try:
            outcome = await handler(request)
        except DomainError as error:
            refusal = RemoteError(error.reason, error.message)
            refusal.metadata = dict(error.metadata)
            answer: tuple[Callable[[asyncio.Future[Any], Any], None], Any] = (_fail, refusal)
        except OSError:
            answer = (_fail, RemoteError("SERVICE_UNAVAILABLE", "the database is out of reach"))
        except Exception as error:  # noqa: BLE001  # what a server does with errors that nobody foresaw
            answer = (_fail, RemoteError("UNKNOWN_ERROR", repr(error)))
        else:
            answer = (_succeed, outcome)
        del calls[call]
        if self._roll() < self.weather.answer_lost:
            self.counts.lost += 1
            if self._roll() < 0.5:
                self._back(call, _fail, _fault(grpc.StatusCode.UNAVAILABLE))
            return
        self._back(call, *answer)

    def _back(self, call: _Call, what: Callable[[asyncio.Future[Any], Any], None], outcome: Any) -> None:
        if call.answer is not None and call.caller.alive:
            self.loop.call_later(self._delay_s(), what, call.answer, outcome, context=outside())

    def _delay_s(self) -> float:
        """Return how long one message is on its way."""
        roll = self._roll()
        if roll < self.weather.late:
            self.counts.late += 1
            return _LATEST_S * self._roll() ** 2
        return self.weather.usual_s * roll


class Stub:
    """What stands for a generated stub: methods by name, called with a request and a time-out."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, timeout: float) -> Any:  # noqa: ASYNC109  # the shape of a generated stub
            return await self._network.call(self._name, method, request, timeout_s=timeout)

        return call


def _fault(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, _NO_METADATA, _NO_METADATA, code.name)


def _fail(answer: asyncio.Future[Any], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)


def _succeed(answer: asyncio.Future[Any], outcome: Any) -> None:
    if not answer.done():
        answer.set_result(outcome)
