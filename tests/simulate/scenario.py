"""One run from one seed: a mesh lives through its troubles, comes to rest, and is judged."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from tests.simulate.bugs import BUGS
from tests.simulate.faults import Faults, Plan
from tests.simulate.laws import at_rest
from tests.simulate.loop import START_S, Process, RanTooLong, SimulatedLoop
from tests.simulate.people import Habits, People
from tests.simulate.world import WALLET, Planted, World, borders

if TYPE_CHECKING:
    from collections.abc import Callable

# Long enough for every back-off, deadline and grace of the code; what is not at rest by then never is.
_HORIZON_S = 900.0
_LOOK_EVERY_S = 0.5


@dataclass
class Outcome:
    """What a run showed."""

    seed: int
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    simulated_s: float = 0.0


def run(seed: int, *, bug: str = "", trace: Callable[[str], None] | None = None) -> Outcome:
    """Return the outcome of the seed; the same seed gives the same run, step by step."""
    chance = Random(seed)
    random.seed(seed)  # the spread of back-off pauses
    loop = SimulatedLoop(chance)
    plan = Plan.drawn(chance)
    world = World(loop, chance, plan.temper, workers=plan.workers, planted=Planted(bug), trace=trace)
    outcome = Outcome(seed)
    logs = _Listening(world) if trace is not None else _Deaf()
    collected = gc.isenabled()
    gc.disable()
    try:
        with logs, borders(world, seed), BUGS[bug](world):
            _live(world, plan, Habits(users=chance.randint(1, 3), submissions=chance.randint(1, 3)), outcome)
            loop.close()
    finally:
        if collected:
            gc.enable()
    return outcome


def _live(world: World, plan: Plan, habits: Habits, outcome: Outcome) -> None:
    """Let everything happen, and write down what it came to."""
    loop, faults, people = world.loop, Faults(world, plan), People(world, habits)
    outside = Process("outside")

    async def everything() -> None:
        faults.begin()
        for name in world.names:
            world.start(name)
        await asyncio.gather(faults.rage(), people.live())
        while not _quiet(world):  # a look at everybody's rows, at which nobody rings
            await asyncio.sleep(_LOOK_EVERY_S)
            if world.network.quiet and _jobs_ended(world):
                # What is left are messages: one worker has to do, and the others cost time.
                for name in [name for name in world.alive if name not in {WALLET, "worker-0"}]:
                    world.kill(name)
        loop.halt()

    faults.prepare()
    task = loop.start(outside, everything())
    try:
        task.add_done_callback(lambda _: loop.halt())
        loop.run_until(START_S + _HORIZON_S)
    except RanTooLong:
        outcome.violations.append("an end: the run took more steps than any honest run")
    if task.done() and (error := task.exception()) is not None:
        raise error
    rooms = world.rooms
    outcome.violations += world.watchman.broken + world.defects + at_rest(rooms, world.promises)
    outcome.simulated_s = loop.now - START_S
    tally, network = faults.tally, world.network.counts
    outcome.counts.update(
        seeds=1,
        steps=loop.steps,
        commits=world.database.commits,
        jobs=len(rooms.jobs.jobs.rows),
        completed=len(rooms.effects.rows),
        acknowledged=len(world.promises.acknowledged),
        kills=tally.kills,
        stops=tally.stops,
        database_restarts=tally.database_restarts,
        redis_losses=tally.redis_losses,
        lost=network.lost + world.broker.losses,
        lost_commit_answers=world.database.lost_answers,
        duplicates=network.twice + world.broker.duplicates,
        delays=network.late + world.broker.reordered,
        lock_timeouts=world.database.lock_timeouts,
    )
    if world.database.deadlocks:
        outcome.violations.append(f"one order of locks: {world.database.deadlocks} circles of waiting transactions")


def _quiet(world: World) -> bool:
    """Return whether nothing is left to be done by anybody."""
    rooms = world.rooms
    return (
        world.network.quiet
        and _jobs_ended(world)
        and all(letter.done_time is not None for letter in rooms.jobs.outbox.letters.rows.values())
    )


def _jobs_ended(world: World) -> bool:
    return all(job.state.finished for job in world.rooms.jobs.jobs.rows.values())


class _Deaf:
    """Keeps the logs of the code quiet."""

    def __enter__(self) -> None:
        self._before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)

    def __exit__(self, *_: object) -> None:
        logging.disable(self._before)


class _Listening(logging.Handler):
    """Puts the logs of the code into the trace."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def __enter__(self) -> None:
        logging.root.addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.root.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Add one line."""
        self._world.say(f"log {record.name}: {record.getMessage()}")
