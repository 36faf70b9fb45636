"""Plays a trial: a song of words in the real Composer, Wallet and Media, made by stand-ins that are told to fail.

The death of a worker is played without a process: the point raises, its lease runs out, and another runner takes the
job. A point lies inside of its transaction or behind it as it does where the process is really killed.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.kit import crash
from services.kit.breaker import Breaker
from services.kit.jobs.states import State
from tests.composer.studio import Band
from tests.composer.vendors import WORDS, Booth, Stand, adapter, orders_of, stand_in, vendor_line
from tests.fakes.stand_in import Fault, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from cadenza.composer.v1 import track_service_pb2 as pb
    from services.composer.jobs.vendor import VendorLine
    from services.kit.jobs.runner import Runner
    from tests.composer.studio import Studio
    from tests.trials.blow import Trial

_CHARGED, _GIVEN_BACK = [-20, 100], [20, -20, 100]
_MOST_RUNS = 8
_NOBODY = "http://127.0.0.1:9"
# What each vendor may be paid for one job: one order of two songs, or one for each song.
MOST_PAID = {"suno": 1, "minimax": 2, "ace_step": 0}


class Killed(BaseException):
    """Our worker dies here."""


@dataclass
class Ended:
    """What became of a trial; `wrong` says which promises were broken."""

    state: str
    maker: str
    paid: dict[str, int]
    died: bool
    orders: list[tuple[str, str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """The vendors, opened once for many trials."""

    studio: Studio
    stands: dict[str, Stand]

    async def play(self, trial: Trial) -> Ended:
        """Return what became of the trial."""
        studio = self.studio
        await studio.new_user()
        studio.band = Band()
        before = {name: stand.paid for name, stand in self.stands.items()}
        async with AsyncExitStack() as stack:
            line = self._line(trial, stack)
            self._hurt(trial)
            job_id, track_id, died = await self._run(trial, line)
            for stand in self.stands.values():
                stand.faults.clear()
        await studio.charge.dispatcher.drain()
        job, track = await studio.job(job_id), await studio.track(track_id)
        paid = {name: stand.paid - before[name] for name, stand in self.stands.items()}
        ended = Ended(job.state.value, track.provider, paid, died, await orders_of(studio, job_id))
        ended.wrong = await self._judged(trial, ended, track, job.error_reason)
        return ended

    async def _run(self, trial: Trial, line: VendorLine) -> tuple[str, str, bool]:
        """Run the job to its end, with one death on the way if its point is passed; return ids and whether it died."""
        studio = self.studio
        answer = await studio.create_of_words(WORDS, title="Ode", style="folk", duration_s=30, seed=trial.number)
        runner = studio.runner(vendors=line, heartbeat_s=1.0)
        died: list[str] = []
        with dying_at(trial.point, runner, died):
            for _ in range(_MOST_RUNS):
                await runner.run(answer.job_id)
                job = await studio.job(answer.job_id)
                if job.state.finished:
                    break
                if job.state is State.RUNNING:
                    await studio.queue_again(answer.job_id)
                    # Whoever takes over is another process: it knows nothing of how the vendors did.
                    line.breakers = {name: Breaker() for name in line.vendors}
                    runner = studio.runner(vendors=line, heartbeat_s=1.0)
                else:
                    await studio.hurry(answer.job_id)
        return answer.job_id, answer.track_id, bool(died)

    def _line(self, trial: Trial, stack: AsyncExitStack) -> VendorLine:
        """Return the makers of a trial, over connections of their own, since connections remember failures."""
        booths = []
        for name in trial.makers.split(","):
            if name in self.stands:
                away = trial.fault == "unreachable" and name == trial.primary
                vendor = adapter(name, _NOBODY if away else self.stands[name].url)
                stack.push_async_callback(vendor.close)
                booths.append(Booth(vendor, self.stands[name]))
        # Only a vendor that forgets is waited for in vain; a busy machine must not make another one late.
        return vendor_line(self.studio, trial.makers, *booths, wait_s=0.4 if trial.fault == "forgets" else 30.0)

    def _hurt(self, trial: Trial) -> None:
        """Let the first vendor fail as the trial has it."""
        name, stand = trial.primary, self.stands[trial.primary]
        if trial.fault in _ANY:
            stand.fail(_ANY[trial.fault], times=50, on=_ORDERS[name])
        elif trial.fault in _FILES:
            stand.fail(_FILES[trial.fault], times=2, on=_LOOKS[name])
        elif trial.fault in _OWN:
            # A vendor that has no such way to fail is busy instead.
            word = _OWN[trial.fault].get(name)
            stand.fail(word or _ANY["http_503"], times=2, on="" if word else _ORDERS[name])

    async def _judged(self, trial: Trial, ended: Ended, track: pb.Track, reason: str) -> list[str]:
        """Return the promises that were broken."""
        studio, wrong = self.studio, []
        entries, made = await studio.entries(), len(track.variants)
        if ended.state == State.COMPLETED.value:
            wrong += [] if entries == _CHARGED else [f"completed, and the ledger says {entries}"]
            wrong += [] if 1 <= made <= 2 and track.chosen_variant_id else [f"completed with {made} variants"]
        elif ended.state == State.FAILED.value:
            wrong += [] if entries == _GIVEN_BACK else [f"failed, and the ledger says {entries}"]
            wrong += [] if not made else [f"failed with {made} variants"]
            wrong += [f"failed for {reason}"] if "offline" in trial.makers else []
        else:
            wrong.append(f"the job is {ended.state}")
        bought = {name: count for name, count in ended.paid.items() if count and MOST_PAID[name]}
        if len(bought) > 1:
            wrong.append(f"two vendors were paid: {bought}")
        wrong += [f"{name} was paid {count} times" for name, count in bought.items() if count > MOST_PAID[name]]
        return wrong


_ORDERS = {"suno": "/api/v1/generate", "minimax": "/music_generation", "ace_step": "/release_task"}
_LOOKS = {"suno": "/files/", "minimax": "/files/", "ace_step": "/v1/audio"}
_ANY = {
    "http_503": Fault(status=503, body="busy"),
    "refuses_connection": Fault(drop=True),
    "http_502_after": Fault(status=502, body="bad gateway", after=True),
    "cut_after": Fault(cut=True),
    "dies_before_answer": Fault(drop=True, after=True),
}
_FILES = {"links_die": Fault(status=403, body="expired"), "away_for_a_while": Fault(status=502, body="away")}
_OWN: dict[str, dict[str, str]] = {
    "busy": {"suno": "often", "minimax": "often", "ace_step": "full"},
    "purse": {"suno": "credits", "minimax": "credits"},
    "accepts_and_breaks": {"suno": "accepts_and_breaks"},
    "forgets": {"suno": "lost_task", "ace_step": "lost_task"},
    "fails_later": {"suno": "CREATE_TASK_FAILED", "ace_step": "fails"},
    "half_file": {"suno": "half_file", "minimax": "half_file", "ace_step": "half_file"},
    "silent": {"suno": "silent", "minimax": "silent", "ace_step": "silent"},
}


@contextmanager
def dying_at(point: str, runner: Runner, died: list[str]) -> Iterator[None]:
    """Let the worker die once when it comes by the point, and note it."""

    def reached(at: str) -> None:
        if at != point or died:
            return
        died.append(at)
        for run in runner._runs.values():
            run.lose()
        raise Killed

    kept = crash._reached
    crash._reached, crash._folder = reached, "played" if point else None  # type: ignore[assignment]
    try:
        yield
    finally:
        crash._reached, crash._folder = kept, None


@asynccontextmanager
async def stage(studio: Studio) -> AsyncIterator[Stage]:
    """Open every vendor once; a song lasts a second and takes a twentieth of one."""
    async with AsyncExitStack() as stack:
        stands = {
            name: await stack.enter_async_context(served(stand_in(name, seconds=0.02)))
            for name in ("suno", "minimax", "ace_step")
        }
        yield Stage(studio, stands)
