"""The benchmark harness itself: turns, medians, ratios, refusals, and the table in README."""

import asyncio
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.bench import __main__ as command
from tests.bench.child import TASKS
from tests.bench.children import ChildFailed, run_child
from tests.bench.report import SECTION, Machine, markdown, write_json
from tests.bench.rounds import Figures, Row, Side, TooFewRounds, Trial, in_turn, median, quantile
from tests.readme import README, MarksMissing, check_marks, marks, write_section

MACHINE = Machine("2026-01-02 03:04 UTC", "an abacus", 2, 8.0, "Linux x86_64", "3.11.7", 0.5, 5)
BEGIN, END = marks(SECTION)
PAGE = f"# Title\n\n{BEGIN}\nold\n{END}\n\n## After\n"


def _telling(name: str, calls: list[str], values: Sequence[float]) -> Side:
    """Return a side that takes the values in order and notes each call."""
    left = iter(values)

    async def side() -> Figures:
        calls.append(name)
        await asyncio.sleep(0)
        return {"s": next(left)}

    return side


def _row(ours: Sequence[float], reference: Sequence[float], share: float = 0.5, limit: float | None = None) -> Row:
    return Row("fake", "figure", "s", "nothing", tuple(ours), tuple(reference), share=share, limit=limit)


async def test_sides_take_turns() -> None:
    """Each round measures both sides once, and whichever went second goes first in the next."""
    calls: list[str] = []
    ticks: list[str] = []
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]

    series = await in_turn(
        _telling("ours", calls, values), _telling("reference", calls, values), rounds=6, tick=ticks.append
    )

    assert calls == ["ours", "reference", "reference", "ours"] * 3
    assert series.ours == series.reference == {"s": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)}
    assert len(ticks) == 12
    assert ticks[0] == "round 1 of 6, ours"


@pytest.mark.parametrize("rounds", [-1, 0, 4])
async def test_few_rounds_are_refused_before_the_first(rounds: int) -> None:
    """Fewer than five rounds are refused, and nothing has run by then."""
    calls: list[str] = []
    trial = Trial(rounds, Path())

    with pytest.raises(TooFewRounds):
        await trial.in_turn(_telling("ours", calls, []), _telling("reference", calls, []))

    assert calls == []


def test_a_row_needs_five_values_of_each_side() -> None:
    """No row can be made from four values, on either side."""
    five, four = [1.0] * 5, [1.0] * 4

    with pytest.raises(TooFewRounds):
        _row(four, five)
    with pytest.raises(TooFewRounds):
        _row(five, four)


def test_the_ratio_is_that_of_the_medians() -> None:
    """One slow round moves neither median nor ratio, but shows in the spread."""
    row = _row([2.0, 2.0, 90.0, 2.0, 1.0], [4.0, 4.0, 4.0, 5.0, 1.0])

    assert (row.value, row.reference_value, row.ratio) == (2.0, 4.0, 0.5)
    assert row.spread == (0.4, 22.5)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 2.5),
        ([float(n) for n in range(101)], 0.99, 99.0),
        ([10.0, 20.0], 0.99, 19.9),
        ([7.0], 0.99, 7.0),
    ],
)
def test_quantiles(values: list[float], share: float, expected: float) -> None:
    """A quantile lies on the straight line between the two values around it."""
    assert quantile(values, share) == pytest.approx(expected)
    assert quantile(values, 0.5) == median(values)


def test_pooled_values_have_no_spread() -> None:
    """A p99 is that of both sides, and no ratio of single rounds is told for it."""
    row = _row([float(n) for n in range(101)], [1.0] * 50, share=0.99)

    assert row.ratio == pytest.approx(99.0)
    assert row.spread is None


def test_a_limit_is_kept_or_missed() -> None:
    """A limit is compared with the value itself; without one there is nothing to say; a zero reference is no ratio."""
    assert _row([1.0] * 5, [1.0] * 5).met is None
    assert _row([5.0] * 5, [1.0] * 5, limit=5.0).met is True
    assert _row([5.1] * 5, [0.0] * 5, limit=5.0).met is False
    assert math.isnan(_row([5.1] * 5, [0.0] * 5).ratio)
    table = markdown([_row([5.1] * 5, [1.0] * 5, limit=5.0)], MACHINE)
    assert "| 5.10 s | 1.00 s, nothing | 5.10 (5.10 to 5.10) | 5.00 s: **missed** |" in table


def test_the_section_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    """Writing the table twice gives the same file as once, and nothing outside the marks changes."""
    path = tmp_path / "README.md"
    path.write_text(PAGE, encoding="utf-8")
    text = markdown([_row([2.0] * 5, [4.0] * 5)], MACHINE)

    write_section(path, SECTION, text)
    once = path.read_text(encoding="utf-8")
    write_section(path, SECTION, text)

    assert path.read_text(encoding="utf-8") == once
    assert once.startswith(f"# Title\n\n{BEGIN}\nMeasured 2026-01-02")
    assert once.endswith(f"\n{END}\n\n## After\n")
    assert "old" not in once
    assert "an abacus, 2 cores" in once
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "no marks", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_missing_marks_are_told_before_anything_runs(tmp_path: Path, text: str) -> None:
    """A file without the pair of marks is refused by name, stays as it is, and the command does not measure."""
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(MarksMissing, match=r"README\.md"):
        write_section(path, SECTION, "table")
    done = CliRunner().invoke(command.main, ["--readme", str(path), "--out", str(tmp_path / "bench.json")])

    assert done.exit_code == 1
    assert BEGIN in done.output
    assert path.read_text(encoding="utf-8") == text
    assert not (tmp_path / "bench.json").exists()


def test_the_command_refuses_four_rounds() -> None:
    """`--rounds 4` is an error of use."""
    assert CliRunner().invoke(command.main, ["--rounds", "4"]).exit_code == 2


def test_the_command_measures_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole run writes README and JSON; with --only README stays as it is."""

    async def fake(trial: Trial) -> list[Row]:
        values = [2.0] * trial.rounds
        series = await trial.in_turn(_telling("ours", [], values), _telling("reference", [], values))
        return [Row("fake", "figure", "s", "itself", series.ours["s"], series.reference["s"])]

    monkeypatch.setattr(command, "BENCHMARKS", {"codec": command.Benchmark(fake, 1, 10)})
    path, out = tmp_path / "README.md", tmp_path / "out" / "bench.json"
    path.write_text(PAGE, encoding="utf-8")
    arguments = ["--readme", str(path), "--out", str(out), "--rounds", "6"]

    only = CliRunner().invoke(command.main, [*arguments, "--only", "codec"], catch_exceptions=False)
    assert only.exit_code == 0
    assert path.read_text(encoding="utf-8") == PAGE

    whole = CliRunner().invoke(command.main, arguments, catch_exceptions=False)
    assert whole.exit_code == 0
    assert "| fake | figure | 2.00 s | 2.00 s, itself | 1.00 (1.00 to 1.00) |" in path.read_text(encoding="utf-8")
    assert json.loads(out.read_text(encoding="utf-8"))["rows"][0]["ours"] == [2.0] * 6


def test_every_value_is_in_the_json(tmp_path: Path) -> None:
    """The JSON holds the machine, all values, the ratio, and null where there is no ratio."""
    path = tmp_path / "bench.json"

    write_json(path, [_row([1.0, 2.0, 3.0, 4.0, 5.0], [0.0] * 5)], MACHINE)
    document = json.loads(path.read_text(encoding="utf-8"))

    assert document["machine"]["cores"] == 2
    assert document["rows"][0]["ours"] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert document["rows"][0]["value"] == 3.0
    assert document["rows"][0]["ratio"] is None


@pytest.mark.parametrize("name", ["bench", "simulate", "mutate", "torture"])
def test_the_readme_has_a_place_for_each_measured_section(name: str) -> None:
    """Whatever a command measures has its marks in the project's own README."""
    check_marks(README, name)


def test_every_benchmark_is_run() -> None:
    """`make bench` leaves none of them out."""
    media, mesh, work = (
        {"transcode", "song"},
        {"codec", "call", "concerns", "edge", "start", "story"},
        {"wallet", "jobs", "recovery", "refill", "watchers"},
    )
    assert set(command.BENCHMARKS) == media | mesh | work


async def test_a_failing_child_is_told() -> None:
    """A measuring process that fails raises with what it said, instead of giving a figure."""
    assert "libraries" in TASKS

    with pytest.raises(ChildFailed, match="KeyError"):
        await run_child("song", {})
