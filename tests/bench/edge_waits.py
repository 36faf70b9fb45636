"""How long clients wait: 1, 16 and 64 of them at once, and at a fixed rate whatever the answers do."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain

from tests.bench.edge_stack import BALANCE, Stack
from tests.bench.rounds import Row, Trial, median

CLIENTS = {1: 100, 16: 320, 64: 640}
RATE, RATE_COUNT, RATE_CONNECTIONS = 1000, 1000, 64
_P99 = 0.99


async def measure(trial: Trial, stacks: Mapping[str, Stack]) -> list[Row]:
    """Return p50 and p99 of ours against Envoy's, measured in turn; nothing without Envoy."""
    if "envoy" not in stacks:
        return []
    late: dict[str, dict[str, list[list[float]]]] = {name: {} for name in stacks}
    ways = {f"{clients} clients at once": {"connections": clients, "count": n} for clients, n in CLIENTS.items()}
    ways[f"{RATE:,} requests a second"] = {"connections": RATE_CONNECTIONS, "count": RATE_COUNT, "rate": RATE}
    order = list(stacks)
    for _ in range(trial.rounds):
        for name in order:
            for way, how in ways.items():
                told = await stacks[name].run(BALANCE, **how)
                late[name].setdefault(way, []).append(told["late_ms"])
        order.reverse()
    rows = []
    for way in ways:
        mine, theirs = late["ours"][way], late["envoy"][way]
        about = ("edge", f"{BALANCE}, {way}: to its answer", "ms", "Envoy's transcoder, services behind it")
        middles = (tuple(median(each) for each in mine), tuple(median(each) for each in theirs))
        rows.append(Row(*about, *middles, note="the load generator is on the same cores"))
        rows.append(Row(*about, tuple(chain(*mine)), tuple(chain(*theirs)), share=_P99))
    return rows


def remarked(row: Row, note: str) -> Row:
    """Return the row with another remark."""
    return replace(row, note=note)
