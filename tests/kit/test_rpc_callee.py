"""A service that is dead, hangs or loses connections costs its callers its own answers and nothing else."""

import asyncio
import itertools
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from services.kit.breaker import Breaker
from services.kit.config import ProcessConfig
from services.kit.errors import Unavailable
from services.kit.rpc.budget import MOST, RetryBudget
from services.kit.rpc.callee import OPEN_S, Callee, GuardedCall
from services.kit.rpc.channel import MtlsPeers
from services.kit.rpc.errors import DETAILS_KEY, from_rpc, to_status
from services.mesh.ca import Authority
from services.mesh.process import free_port
from tests.kit.echo_service import EchoRequest, EchoStub

Code = grpc.StatusCode


class Seconds:
    """Seconds that pass when a test says so."""

    at = 0.0

    def __call__(self) -> float:
        """Return the seconds now."""
        return self.at


def _reached(state: str, seconds: Seconds) -> Breaker:
    """Return a breaker of two failures in a row and one second, brought to the state."""
    breaker = Breaker(failures=2, window_s=10, open_s=1, in_a_row=True, elapsed=seconds)
    fails = {"closed": 0, "failed once": 1}.get(state, 2)
    for _ in range(fails):
        assert breaker.admit()
        breaker.fail()
    if state in {"half open", "trying"}:
        seconds.at += 1
    if state == "trying":
        assert breaker.admit()
    return breaker


def _named(breaker: Breaker, seconds: Seconds) -> str:
    """Return the state, told by what the breaker does next and by nothing inside of it."""
    if breaker.admit():
        if breaker.state.value == "half_open":
            return "half open"
        breaker.fail()
        return "failed once" if breaker.state.value == "open" else "closed"
    seconds.at += 0.999
    if breaker.state.value == "half_open" and not breaker.admit():
        return "trying"
    return "open" if breaker.state.value in {"open", "half_open"} else "?"


# What becomes of each state by each event; "1 s" is that so much time goes by.
BREAKER = {
    ("closed", "admit"): "closed",
    ("closed", "succeed"): "closed",
    ("closed", "fail"): "failed once",
    ("closed", "give back"): "closed",
    ("closed", "1 s"): "closed",
    ("failed once", "admit"): "failed once",
    ("failed once", "succeed"): "closed",
    ("failed once", "fail"): "open",
    ("failed once", "give back"): "failed once",
    ("failed once", "1 s"): "failed once",
    ("open", "admit"): "open",
    ("open", "succeed"): "closed",
    ("open", "fail"): "open",
    ("open", "give back"): "open",
    ("open", "1 s"): "half open",
    ("half open", "admit"): "trying",
    ("half open", "succeed"): "closed",
    ("half open", "fail"): "half open",
    ("half open", "give back"): "half open",
    ("half open", "1 s"): "half open",
    ("trying", "admit"): "trying",
    ("trying", "succeed"): "closed",
    ("trying", "fail"): "open",
    ("trying", "give back"): "half open",
    ("trying", "1 s"): "half open",  # the trial was lost, another one may go
}
ADMITTED = {"closed": True, "failed once": True, "open": False, "half open": True, "trying": False}


@pytest.mark.parametrize(("state", "event"), BREAKER)
def test_every_event_in_every_state_of_the_breaker(state: str, event: str) -> None:
    """The five states that can be told apart from outside, and what each of five events makes of them."""
    seconds = Seconds()
    breaker = _reached(state, seconds)
    if event == "admit":
        assert breaker.admit() is ADMITTED[state]
    elif event == "1 s":
        seconds.at += 1
    else:
        {"succeed": breaker.succeed, "fail": breaker.fail, "give back": breaker.give_back}[event]()
    assert _named(breaker, seconds) == BREAKER[state, event]


@pytest.mark.parametrize(
    ("saved", "event", "allowed", "left"),
    [
        (0.0, "call", None, 0.1),
        (0.0, "retry", False, 0.0),
        (0.95, "call", None, 1.05),
        (0.95, "retry", False, 0.95),
        (1.0, "call", None, 1.1),
        (1.0, "retry", True, 0.0),
        (MOST, "call", None, MOST),
        (MOST, "retry", True, MOST - 1),
    ],
)
def test_every_event_at_every_level_of_the_budget(
    saved: float,
    event: str,
    allowed: bool | None,  # noqa: FBT001  # a table
    left: float,
) -> None:
    """Empty, not enough, enough for one, full: a call pays a tenth in, a retry takes one out or is not made."""
    budget = RetryBudget()
    budget.saved = saved
    if event == "call":
        budget.pay_in()
    else:
        assert budget.take() is allowed
    assert budget.saved == pytest.approx(left)


def test_retries_are_a_tenth_of_the_calls_and_ten() -> None:
    """When every call is to be tried again, of the first 1,000 a tenth and ten are, of the next 1,000 a tenth."""
    budget, made = RetryBudget(), []
    for _ in range(2000):
        budget.pay_in()
        made.append(budget.take())
    assert sum(made[:1000]) in {109, 110}
    assert sum(made[1000:]) in {100, 101}
    for _ in range(5000):
        budget.pay_in()
    assert [budget.take() for _ in range(150)] == [True] * 100 + [False] * 50


def test_a_call_that_was_overtaken_by_an_answer_does_not_count() -> None:
    """When one instance of two goes, its calls fail together; what is older than the other's answer proves nothing."""
    callee = Callee("wallet")
    before = callee.answers
    callee.answered()
    for _ in range(20):
        callee.silent(before)
    assert callee.breaker.admit()
    for _ in range(5):
        callee.silent(callee.answers)
    assert not callee.breaker.admit()


def _error(code: Code, *, told: bool = False) -> grpc.aio.AioRpcError:
    trailing = [(DETAILS_KEY, to_status(Unavailable("the database is away")).SerializeToString())] if told else []
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing))


# What an end of a call says of the service: it answered, it was silent, nothing; and whether the call may be repeated.
ENDS: dict[tuple[Code, bool, float], tuple[str, bool]] = {
    (Code.UNAVAILABLE, False, 5): ("silent", True),
    (Code.UNAVAILABLE, True, 5): ("answered", False),
    (Code.DEADLINE_EXCEEDED, False, 5): ("silent", False),
    (Code.DEADLINE_EXCEEDED, False, 0.5): ("nothing", False),
    (Code.DEADLINE_EXCEEDED, True, 5): ("answered", False),
    (Code.CANCELLED, False, 5): ("nothing", False),
    (Code.RESOURCE_EXHAUSTED, False, 5): ("answered", False),
    (Code.NOT_FOUND, True, 5): ("answered", False),
    (Code.INTERNAL, False, 5): ("answered", False),
    (Code.UNIMPLEMENTED, False, 5): ("answered", False),
}


@pytest.mark.parametrize("end", ENDS, ids=str)
def test_only_silence_speaks_against_a_service(end: tuple[Code, bool, float]) -> None:
    """A service that refuses is there, a hurried caller proves nothing, and only a lost connection is tried again."""
    code, told, timeout_s = end
    callee = Callee("wallet")
    for _ in range(4):
        callee.silent()  # one more and it is left alone
    again = callee.judge(_error(code, told=told), timeout_s)
    found = "silent" if not callee.breaker.admit() else "nothing"
    if found == "nothing":
        callee.silent()
        found = "nothing" if not callee.breaker.admit() else "answered"
    assert (found, again) == ENDS[end]


async def test_a_cancelled_trial_leaves_room_for_the_next() -> None:
    """When whoever made the trial goes away, the next caller tries; nobody waits for an outcome that never comes."""
    seconds = Seconds()
    callee = Callee("wallet", breaker=Breaker(failures=1, open_s=1, in_a_row=True, elapsed=seconds))
    callee.silent()
    seconds.at = 1.0
    callee.admit()
    call = asyncio.ensure_future(
        _awaited(GuardedCall(callee, asyncio.get_running_loop().create_future(), again=None, until=None))
    )
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    callee.admit()


async def _awaited(call: Any) -> Any:
    return await call


Start = Callable[[int], Any]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Return a function that starts the echo application as a process of its own at a port."""
    tls = tmp_path / "tls"
    Authority(tmp_path / "authority", tls).ensure()
    running = []

    async def begin(port: int) -> asyncio.subprocess.Process:
        environment = {"CADENZA_TLS": str(tls), "WALLET_PORT": str(port), "REDIS_URL": "redis://127.0.0.1:1/0"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.kit.echo_process", env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def _stub(tmp_path: Path, *ports: int) -> AsyncIterator[tuple[Any, Callee]]:
    addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
    peers = MtlsPeers(ProcessConfig(tls_directory=tmp_path / "tls", wallet_address=addresses), "gateway")
    channel: Any = peers.channel("wallet")
    try:
        yield EchoStub(channel), channel.callee
    finally:
        await peers.close()


async def _ended(call: Callable[[], Any]) -> tuple[Code, grpc.aio.AioRpcError | None]:
    try:
        await call()
    except grpc.aio.AioRpcError as error:
        return error.code(), error
    return Code.OK, None


async def _back(stub: Any) -> None:
    """Ask until the service answers."""
    async with asyncio.timeout(30):
        while (await _ended(lambda: stub.Public(EchoRequest(), timeout=5)))[0] is not Code.OK:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_killed_service_is_refused_at_once_and_tried_until_it_is_back(tmp_path: Path, start: Start) -> None:
    """After SIGKILL five calls find nobody; the next are refused here with Retry-After, until a trial is answered."""
    port = free_port()
    process = await start(port)
    async with _stub(tmp_path, port) as (stub, callee):
        await stub.Public(EchoRequest(), timeout=30, wait_for_ready=True)
        process.kill()
        await process.wait()
        for _ in range(5):
            assert (await _ended(lambda: stub.Public(EchoRequest(), timeout=5)))[0] is Code.UNAVAILABLE
        assert not callee.breaker.admit()
        code, error = await _ended(lambda: stub.Public(EchoRequest(), timeout=5))
        assert code is Code.UNAVAILABLE
        assert error is not None
        assert from_rpc(error).reason == "SERVICE_UNAVAILABLE"
        assert from_rpc(error).metadata == {"dependency": "wallet", "retry_after_s": "1"}
        assert _retry_after_s(error) == OPEN_S
        with pytest.raises(grpc.aio.AioRpcError, match="left alone"):
            stub.Down(EchoRequest(), timeout=5)
        await start(port)
        await _back(stub)
        assert (await stub.Public(EchoRequest(text="back"), timeout=5)).text == "back"


def _retry_after_s(error: grpc.aio.AioRpcError) -> float:
    """Return the seconds of the RetryInfo in the rich status."""
    [raw] = [value for key, value in error.trailing_metadata() or () if key == DETAILS_KEY]
    info = RetryInfo()
    assert any(each.Unpack(info) for each in Status.FromString(raw).details)
    return float(info.retry_delay.seconds)


async def test_a_service_that_hangs_is_left_alone_after_five_calls(tmp_path: Path, start: Start) -> None:
    """Five calls wait for their deadline in vain; the sixth does not wait. It answers again once it goes on."""
    port = free_port()
    process = await start(port)
    async with _stub(tmp_path, port) as (stub, _callee):
        await stub.Public(EchoRequest(), timeout=30, wait_for_ready=True)
        process.send_signal(signal.SIGSTOP)
        ends = await asyncio.gather(*(_ended(lambda: stub.Public(EchoRequest(), timeout=1.0)) for _ in range(5)))
        code, error = await _ended(lambda: stub.Public(EchoRequest(), timeout=60))
        process.send_signal(signal.SIGCONT)
        assert [each for each, _ in ends] == [Code.DEADLINE_EXCEEDED] * 5
        assert (code, error is not None and "left alone" in (error.details() or "")) == (Code.UNAVAILABLE, True)
        await _back(stub)


async def test_calls_of_a_service_that_hangs_do_not_fill_the_process(tmp_path: Path, start: Start) -> None:
    """While 256 calls to a stopped process wait, the next is refused at once; every place comes back."""
    port = free_port()
    process = await start(port)
    async with _stub(tmp_path, port) as (stub, callee):
        await stub.Public(EchoRequest(), timeout=30, wait_for_ready=True)
        process.send_signal(signal.SIGSTOP)
        waiting = [stub.Public(EchoRequest(), timeout=0.9) for _ in range(256)]
        with pytest.raises(grpc.aio.AioRpcError, match="has all the calls"):
            stub.Public(EchoRequest(), timeout=0.9)
        assert callee.busy == 256
        ends = await asyncio.gather(*waiting[:250], return_exceptions=True)
        assert {each.code() for each in ends if isinstance(each, grpc.aio.AioRpcError)} == {Code.DEADLINE_EXCEEDED}
        process.send_signal(signal.SIGCONT)
        del waiting
        async with asyncio.timeout(10):
            while callee.busy:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await _back(stub)


async def test_no_repeatable_call_fails_when_one_of_two_instances_is_killed(tmp_path: Path, start: Start) -> None:
    """Calls with a request id, 16 at a time, go on without an error over the SIGKILL of half of the service."""
    ports = (free_port(), free_port())
    processes = [await start(port) for port in ports]
    async with AsyncExitStack() as stack:
        for port in ports:
            stub, _ = await stack.enter_async_context(_stub(tmp_path, port))
            await stub.Public(EchoRequest(), timeout=30, wait_for_ready=True)
        stub, callee = await stack.enter_async_context(_stub(tmp_path, *ports))
        await stub.Public(EchoRequest(), timeout=30, wait_for_ready=True)
        numbers, ends = itertools.count(), []

        async def ask() -> None:
            while (number := next(numbers)) < 900:
                if number == 500:
                    processes[0].kill()
                ends.append((await _ended(lambda: stub.Public(EchoRequest(request_id=str(number)), timeout=10)))[0])

        await asyncio.gather(*(ask() for _ in range(8)))
        assert ends == [Code.OK] * 900
        assert callee.budget.saved <= MOST
