"""The rows as a table for people, on the screen and in README, and as JSON with every value."""

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.table import Table

from services.kit.clock import now
from tests.bench.rounds import MEDIAN, Row

SECTION = "bench"
LEGEND = (
    "Ratio is ours divided by the reference, which was measured in the same run and in turn; below 1 we need less. "
    "Values are medians unless a row says p99; in brackets the ratios of the luckiest and the unluckiest round."
)
_COLUMNS = ("", "figure", "ours", "reference", "ratio", "limit", "remarks")


@dataclass(frozen=True)
class Machine:
    """Where and when the figures were taken."""

    date: str
    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str
    load: float
    rounds: int

    @property
    def sentence(self) -> str:
        """The machine in one sentence."""
        return (
            f"Measured {self.date} with `make bench`, {self.rounds} rounds, on {self.processor}, {self.cores} cores, "
            f"{self.memory_gb:.0f} GB, {self.system}, Python {self.python}; "
            f"the load average was {self.load:.1f} when it began."
        )


def this_machine(*, rounds: int) -> Machine:
    """Describe the machine as it is now."""
    return Machine(
        date=now().strftime("%Y-%m-%d %H:%M UTC"),
        processor=_processor(),
        cores=psutil.cpu_count() or 1,
        memory_gb=psutil.virtual_memory().total / 1e9,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        load=os.getloadavg()[0],
        rounds=rounds,
    )


def markdown(rows: Sequence[Row], machine: Machine) -> str:
    """Return the section for README: the machine, how to read the table, the table."""
    lines = [machine.sentence, "", LEGEND, "", _line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
    lines += [_line(_cells(row, before)) for row, before in zip(rows, [None, *rows], strict=False)]
    return "\n".join(lines)


def screen(rows: Sequence[Row], machine: Machine) -> Table:
    """Return the same table for a terminal."""
    table = Table(title=machine.sentence, caption=LEGEND, title_justify="left", caption_justify="left")
    for heading in _COLUMNS:
        table.add_column(heading)
    for row, before in zip(rows, [None, *rows], strict=False):
        table.add_row(*_cells(row, before))
    return table


def write_json(path: Path, rows: Sequence[Row], machine: Machine) -> None:
    """Write every single value, so that others can draw their own conclusions."""
    document = {"machine": asdict(machine), "rows": [_record(row) for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _record(row: Row) -> dict[str, object]:
    numbers = {"value": row.value, "reference_value": row.reference_value, "ratio": row.ratio}
    known = {name: None if math.isnan(number) else number for name, number in numbers.items()}
    return {**asdict(row), **known, "spread": row.spread, "met": row.met}


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _cells(row: Row, before: Row | None) -> list[str]:
    statistic = "" if row.share == MEDIAN else f", p{row.share * 100:g}"
    limit = "" if row.limit is None else f"{_number(row.limit)} {row.unit}: {'kept' if row.met else '**missed**'}"
    return [
        "" if before is not None and before.benchmark == row.benchmark else row.benchmark,
        f"{row.figure}{statistic}",
        f"{_number(row.value)} {row.unit}",
        f"{_number(row.reference_value)} {row.unit}, {row.against}",
        _ratio(row),
        limit,
        row.note,
    ]


def _ratio(row: Row) -> str:
    if math.isnan(row.ratio):
        return "none"
    spread = row.spread
    return _number(row.ratio) + (f" ({_number(spread[0])} to {_number(spread[1])})" if spread else "")


def _number(value: float) -> str:
    """Return three figures that count, without an exponent."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 4)}f}"


def _processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    return platform.processor() or platform.machine()
