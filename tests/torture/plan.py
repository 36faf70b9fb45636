"""What happens to the mesh in a round, drawn from the seed alone, so that the same seed plans the same blows again."""

import random
from collections import deque
from dataclasses import dataclass

from services.kit.crash import POINTS
from tests.torture.mesh import SERVERS, SERVICES, WORKERS

WORKER_NAMES = tuple(f"worker-{number + 1}" for number in range(WORKERS))
PAST_THE_LEASE_S = 7.5
VICTIMS = (*WORKER_NAMES * 3, *("composer", "wallet", "media", "gateway") * 2, "auth", "share")
LINKS = (*SERVERS, *SERVICES, "gateway")
POINTS_A_SECOND = 0.8
KILLS_A_SECOND = 0.55


@dataclass(frozen=True)
class Blow:
    """One thing that is done to the mesh `at_s` seconds after the round began."""

    at_s: float
    kind: str
    target: str
    for_s: float = 0.0


class Planner:
    """Plans the rounds of one seed, and takes care that every crash point gets its turn."""

    def __init__(self, seed: int, *, length_s: float = 20.0) -> None:
        """Shuffle the points by the seed; a round's blows come within its first `length_s` seconds."""
        self.seed = seed
        self.length_s = length_s
        order = list(POINTS)
        random.Random(seed).shuffle(order)
        self._points = deque(order)

    def plan(self, number: int) -> list[Blow]:
        """Return the blows of a round, the earliest first."""
        rng = random.Random(f"{self.seed}/{number}")
        points, kills = round(POINTS_A_SECOND * self.length_s), round(KILLS_A_SECOND * self.length_s)
        # The points come first: armed early, they wait for the work that passes them.
        blows = [Blow(self._at(rng) * 0.8, "arm", self._next_point()) for _ in range(points)]
        blows += [Blow(self._at(rng), "kill", rng.choice(VICTIMS)) for _ in range(kills)]
        blows += [Blow(self._at(rng), "kill", rng.choice(SERVERS)) for _ in range(2)]
        blows += [Blow(self._at(rng), "cut", rng.choice(LINKS)) for _ in range(4)]
        blows += [Blow(self._at(rng), "refuse", rng.choice(LINKS), 0.3 + rng.random()) for _ in range(2)]
        blows += [Blow(self._at(rng), "delay", rng.choice(LINKS), 0.5 + rng.random())]
        blows += [Blow(self._at(rng) / 3, "freeze", rng.choice(WORKER_NAMES), PAST_THE_LEASE_S)]
        blows += [Blow(self._at(rng), "freeze", rng.choice(VICTIMS), 0.5 + rng.random())]
        if rng.random() < 0.5:
            blows += [Blow(self._at(rng), "restart", rng.choice(SERVERS))]
        return sorted(blows, key=lambda blow: blow.at_s)

    def again(self, points: list[str]) -> None:
        """Let points that nobody came to have their turn in the next round."""
        for point in points:
            self._points.remove(point)
            self._points.appendleft(point)

    def _next_point(self) -> str:
        point = self._points.popleft()
        self._points.append(point)
        return point

    def _at(self, rng: random.Random) -> float:
        return rng.random() * self.length_s
