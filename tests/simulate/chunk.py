"""Some seeds in one go; a module of its own, so that a spawned process can import it by name."""

from collections import Counter

from tests.simulate.scenario import Outcome, run


def chunk(first: int, count: int, bug: str) -> tuple[list[Outcome], Counter[str], float]:
    """Return the outcomes that broke a law, the sum of all counts, and the simulated seconds."""
    broken: list[Outcome] = []
    counts: Counter[str] = Counter()
    simulated_s = 0.0
    for seed in range(first, first + count):
        outcome = run(seed, bug=bug)
        counts.update(outcome.counts)
        simulated_s += outcome.simulated_s
        if outcome.violations:
            broken.append(outcome)
    return broken, counts, simulated_s
