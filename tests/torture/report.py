"""What a run says: a table on the screen, in README between its marks, and every figure as JSON."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from services.kit.crash import POINTS
from tests.bench.report import this_machine
from tests.torture.run import Outcome

SECTION = "torture"
Line = tuple[str, str]


def share_of(values: list[float], share: float) -> float:
    """Return the value that the share of all values does not exceed; nan without values."""
    found = sorted(values)
    return found[min(len(found) - 1, int(share * len(found)))] if found else float("nan")


def lines(outcome: Outcome) -> list[Line]:
    """Return the rows of the table."""
    causes = Counter(death.cause for death in outcome.deaths)
    points = Counter({cause: count for cause, count in causes.items() if cause in POINTS})
    plain = {cause.removeprefix("kill "): count for cause, count in causes.items() if cause.startswith("kill ")}
    other = outcome.kills - points.total() - sum(plain.values())
    blows = {kind: count for kind, count in outcome.blows.items() if kind not in {"arm", "kill"}}
    rows = [
        ("seed, rounds, time", f"{outcome.seed}, {outcome.rounds}, {outcome.seconds:.0f} s"),
        ("real SIGKILLs", f"{outcome.kills - other}"),
        ("of them at random", ", ".join(f"{count} {name}" for name, count in sorted(plain.items()))),
        ("of them at crash points", f"{points.total()} at {len(points)} of {len(POINTS)} points"),
        ("crash points passed by", f"{len(outcome.seen & set(POINTS))} of {len(POINTS)}"),
        ("other blows", ", ".join(f"{count} {kind}" for kind, count in sorted(blows.items()))),
        ("songs asked for", f"{outcome.wishes}, {outcome.repeated} sent twice; {outcome.retries} calls repeated"),
        ("jobs", ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.jobs.items()))),
        ("a process answers again", _times([d.ready_s for d in outcome.deaths if d.ready_s is not None])),
        ("a dead worker's job runs again", _times(outcome.job_recoveries)),
        ("the same while another worker and the servers stood", _times(outcome.attended_recoveries)),
        ("answers 500", str(len(outcome.internal))),
        ("violations", str(len(outcome.violations))),
    ]
    return [row for row in rows if row[1]]


def _times(values: list[float]) -> str:
    if not values:
        return ""
    return f"p50 {share_of(values, 0.5):.2f} s, p99 {share_of(values, 0.99):.2f} s, {len(values)} times"


def screen(outcome: Outcome) -> Table:
    """Return the table for a terminal."""
    table = Table(title="Torture", title_justify="left", show_header=False)
    for row in lines(outcome):
        table.add_row(*row)
    return table


def markdown(outcome: Outcome) -> str:
    """Return the table for README, with the machine before it."""
    machine = this_machine(rounds=outcome.rounds)
    head = (
        f"Measured {machine.date} with `make torture ROUNDS={outcome.rounds} SEED={outcome.seed}` on"
        f" {machine.processor}, {machine.cores} cores, {machine.system}, Python {machine.python}."
    )
    return "\n".join([head, "", "|  |  |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in lines(outcome))])


def document(outcome: Outcome) -> dict[str, Any]:
    """Return every figure for machines."""
    causes = Counter(death.cause for death in outcome.deaths)
    return {
        "seed": outcome.seed,
        "rounds": outcome.rounds,
        "seconds": outcome.seconds,
        "kills": dict(causes),
        "points_never_killed_at": sorted(set(POINTS) - set(causes)),
        "points_never_passed": sorted(set(POINTS) - outcome.seen),
        "blows": dict(outcome.blows),
        "jobs": dict(outcome.jobs),
        "wishes": outcome.wishes,
        "deaths": [asdict(death) for death in outcome.deaths],
        "job_recoveries_s": outcome.job_recoveries,
        "attended_recoveries_s": outcome.attended_recoveries,
        "internal_errors": outcome.internal,
        "violations": outcome.violations,
    }


def write(outcome: Outcome, folder: Path) -> None:
    """Write `torture.json` and `torture.md` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "torture.json").write_text(json.dumps(document(outcome), indent=1) + "\n", encoding="utf-8")
    (folder / "torture.md").write_text(markdown(outcome) + "\n", encoding="utf-8")
