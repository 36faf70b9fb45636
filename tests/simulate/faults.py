"""What goes wrong: drawn from the seed, every run another mixture, so that rare pairs meet too."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.composer.usecases.track import MUSIC
from tests.simulate.database import Trouble
from tests.simulate.loop import here
from tests.simulate.network import Weather
from tests.simulate.world import MEDIA, OWED_LATER, PRICE, Temper

if TYPE_CHECKING:
    from random import Random

    from tests.simulate.loop import Process
    from tests.simulate.world import World

# Half of what `kit.jobs.runner` says two machines' clocks may differ by.
_MOST_SKEW_S = 0.45
_LONGEST_STOP_S = 15.0


@dataclass(frozen=True)
class Plan:
    """The troubles of one run."""

    lasts_s: float
    weather: Weather
    trouble: Trouble
    temper: Temper
    workers: int
    # Times in seconds from the start.
    kills: tuple[float, ...] = ()
    stops: tuple[float, ...] = ()
    database_restarts: tuple[float, ...] = ()
    redis_losses: tuple[float, ...] = ()
    new_price_at: float | None = None
    skewed: bool = False
    runs_a_day: int | None = None
    pointers: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def drawn(cls, chance: Random) -> Plan:
        """Return a mixture; each kind of trouble is there or not, by a coin of its own."""
        roll = chance.random
        lasts_s = 6.0 + 8.0 * roll()

        def often(most: float, likely: float = 0.5) -> float:
            return most * roll() ** 2 if roll() < likely else 0.0

        def times(most: int, likely: float = 0.5) -> tuple[float, ...]:
            count = chance.randint(1, most) if roll() < likely else 0
            return tuple(sorted(lasts_s * roll() for _ in range(count)))

        return cls(
            lasts_s=lasts_s,
            weather=Weather(lost=often(0.3), answer_lost=often(0.3), twice=often(0.4), late=often(0.3)),
            trouble=Trouble(
                lost_before=often(0.1), lost_after=often(0.15), broken=often(0.03), slow_s=0.002 + often(0.2)
            ),
            temper=Temper(
                longest_s=0.5 + 5.0 * roll(),
                fails=often(0.4),
                gives_up=often(0.3),
                deadline_s=20.0 + 580.0 * roll(),
                sweep_s=1.0 + 5.0 * roll(),
                poll_s=1.0 + 5.0 * roll(),
                places=chance.randint(1, 2),
            ),
            workers=chance.randint(2, 3),
            kills=times(8, 0.8),
            stops=times(4),
            database_restarts=times(2, 0.25),
            redis_losses=times(3, 0.4),
            new_price_at=lasts_s * roll() if roll() < 0.2 else None,
            skewed=roll() < 0.5,
            runs_a_day=chance.randint(1, 3) if roll() < 0.15 else None,
            pointers=(often(0.5), often(0.5), often(0.5)),
        )


@dataclass
class Tally:
    """What was done to a world."""

    kills: int = 0
    stops: int = 0
    database_restarts: int = 0
    redis_losses: int = 0
    restarts: list[asyncio.Task[None]] = field(default_factory=list)


class Faults:
    """Carries out a plan, and ends it."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world = world
        self._plan = plan
        self._roll = world.chance.random
        self.tally = Tally()
        self.over = False

    def prepare(self) -> None:
        """Set what holds from the start: clocks, weather, the ways of Redis."""
        world, plan = self._world, self._plan
        world.network.weather = plan.weather
        world.database.trouble = plan.trouble
        world.broker.lost, world.broker.twice, world.broker.late = plan.pointers
        if plan.runs_a_day is not None:
            world.rooms.terms.set_limit(MUSIC, plan.runs_a_day)
        if plan.skewed:
            world.skew_s = {name: _MOST_SKEW_S * (2.0 * self._roll() - 1.0) for name in world.names}

    async def rage(self) -> None:
        """Do everything in its time; afterwards all processes run, and nothing is lost any more."""
        plan, world = self._plan, self._world
        deeds = [(at, self._kill) for at in plan.kills]
        deeds += [(at, self._stop) for at in plan.stops]
        deeds += [(at, self._restart_database) for at in plan.database_restarts]
        deeds += [(at, self._lose_redis) for at in plan.redis_losses]
        if plan.new_price_at is not None:
            deeds.append((plan.new_price_at, self._change_price))
        running = []
        for at, deed in sorted(deeds, key=lambda each: each[0]):
            await asyncio.sleep(max(0.0, at - (world.loop.now - self._began)))
            running.append(asyncio.create_task(deed()))
        await asyncio.sleep(max(0.0, plan.lasts_s - (world.loop.now - self._began)))
        await asyncio.gather(*running)
        world.network.weather = Weather()
        world.database.trouble = Trouble()
        world.broker.lost = world.broker.twice = world.broker.late = 0.0
        world.say("the troubles are over")
        self.over = True

    def begin(self) -> None:
        """Count time from now."""
        self._began = self._world.loop.now

    def _victim(self) -> str:
        names = [name for name in self._world.alive if name != MEDIA]
        return names[int(self._roll() * len(names))] if names else ""

    async def _kill(self) -> None:
        name = self._victim()
        if not name:
            return
        self.tally.kills += 1
        self._world.kill(name)
        await asyncio.sleep(0.2 + 4.0 * self._roll() ** 2)
        self._world.start(name)

    async def _stop(self) -> None:
        """Stop a process for longer or shorter than a lease, then let it go on as if nothing had been."""
        name = self._victim()
        process: Process | None = self._world.alive.get(name)
        if process is None or process.stopped:
            return
        self.tally.stops += 1
        self._world.say(f"{name} is stopped")
        self._world.loop.stop_process(process)
        await asyncio.sleep(_LONGEST_STOP_S * self._roll())
        self._world.database.forget_idle()
        self._world.say(f"{name} goes on")
        self._world.loop.continue_process(process)

    async def _restart_database(self) -> None:
        self.tally.database_restarts += 1
        self._world.say("the database restarts")
        self._world.database.away = True
        self._world.database.restart()
        await asyncio.sleep(0.2 + 3.0 * self._roll())
        self._world.database.away = False
        self._world.say("the database is back")

    async def _lose_redis(self) -> None:
        self.tally.redis_losses += 1
        self._world.say("redis is gone with all it held")
        self._world.broker.flush()
        self._world.broker.away = True
        await asyncio.sleep(5.0 * self._roll() ** 2)
        self._world.broker.away = False
        self._world.say("redis is back")

    async def _change_price(self) -> None:
        now = self._world.clock_of(here())()
        self._world.rooms.terms.set_price(MUSIC, PRICE + 7, now, OWED_LATER)
        self._world.say(f"the price is {PRICE + 7} now")
