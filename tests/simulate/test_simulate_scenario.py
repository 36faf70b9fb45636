"""The simulation itself: the healthy code keeps every law, planted bugs are found, and a seed is one run."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.mesh.home import Home
from tests.readme import write_section
from tests.simulate.report import SECTION, Total, section, table
from tests.simulate.scenario import run

_ROOT = Path(__file__).resolve().parents[2]
_HEALTHY_SEEDS = 200
_FOUND_WITHIN = 300


@pytest.mark.timeout(400)
def test_the_code_keeps_every_law() -> None:
    """Through hundreds of mixtures of kills, stops, losses and duplicates no law about money and jobs is broken."""
    broken = {}
    counts = Total()
    for seed in range(_HEALTHY_SEEDS):
        outcome = run(seed)
        counts.add([], outcome.counts, outcome.simulated_s)
        if outcome.violations:
            broken[seed] = outcome.violations

    assert broken == {}
    for trouble in ("kills", "stops", "database_restarts", "redis_losses", "lost_commit_answers", "duplicates"):
        assert counts.counts[trouble] > 30, trouble
    assert counts.counts["completed"] > counts.counts["jobs"] / 2


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("bug", "law"),
    [
        ("settle-before-commit", "quoted price"),
        ("release-twice", "charged or refunded once"),
        ("lease-ignored", "one end"),
    ],
)
def test_a_planted_bug_is_found(bug: str, law: str) -> None:
    """A bug of the kind that real systems had breaks its law within a bounded number of seeds."""
    for seed in range(_FOUND_WITHIN):
        outcome = run(seed, bug=bug)
        if any(violation.startswith(law) for violation in outcome.violations):
            break
    else:
        pytest.fail(f"{bug} was not found in {_FOUND_WITHIN} seeds")

    assert run(seed).violations == [], f"seed {seed} breaks a law without {bug}, too"


@pytest.mark.timeout(200)
def test_a_seed_is_one_run() -> None:
    """The same seed told in two processes is the same story, line by line."""
    command = [sys.executable, "-m", "tests.simulate", "--seed", "5"]
    told = [
        subprocess.run(
            command,
            cwd=_ROOT,
            env={**Home().environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]

    assert len(told[0].splitlines()) > 50
    assert told[0] == told[1]
    assert "every law held" in told[0]


def test_a_planted_bug_can_be_replayed() -> None:
    """One command tells a seed with a planted bug, names the laws that break, and fails."""
    seed = next(seed for seed in range(_FOUND_WITHIN) if run(seed, bug="lease-ignored").violations)
    command = [sys.executable, "-m", "tests.simulate", "--seed", str(seed), "--bug", "lease-ignored"]
    done = subprocess.run(
        command, cwd=_ROOT, env={**Home().environ}, capture_output=True, text=True, timeout=90, check=False
    )

    assert done.returncode == 1, done.stderr
    assert "BROKEN" in done.stdout


def test_the_table_goes_into_readme(tmp_path: Path) -> None:
    """The figures replace what stood between the marks, and nothing else."""
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- simulate:begin -->\nold\n<!-- simulate:end -->\nafter\n", encoding="utf-8")
    total = Total()
    for seed in range(3):
        outcome = run(seed)
        total.add([], outcome.counts, outcome.simulated_s)

    write_section(page, SECTION, section(total))

    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert table(total) in text
    assert "| seeds | 3 |" in text
