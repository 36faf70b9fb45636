"""Mutation testing itself: the changes are real, a test that notices one kills it, and a module left alone lives."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.mesh.home import Home
from tests.mutate.mutation import mutants

_ROOT = Path(__file__).resolve().parents[2]

_SOURCE = '''
def take(balance: int, price: int) -> int:
    """Return what is left."""
    if balance < price:
        raise ValueError("not enough")
    return balance - price
'''


def test_the_changes_are_those_that_matter() -> None:
    """Bounds, signs, refusals and answers are changed one at a time; docstrings and annotations never."""
    found = {(each.before, each.after) for each in mutants("m", _SOURCE)}

    assert found == {
        ("balance < price", "balance <= price"),
        ("balance < price", "balance >= price"),
        ("raise ValueError('not enough')", "pass"),
        ("balance - price", "balance + price"),
        ("return balance - price", "return None"),
    }


@pytest.mark.timeout(300)
def test_one_module_is_tried() -> None:
    """The mutants of the state machine are made, tried in processes of their own and killed by its tests."""
    command = [
        sys.executable,
        "-m",
        "tests.mutate",
        "--no-servers",
        "--module",
        "services.kit.jobs.states",
        "--most",
        "2",
    ]
    done = subprocess.run(
        command, cwd=_ROOT, env={**Home().environ}, capture_output=True, text=True, timeout=280, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "| `services.kit.jobs.states` | 2 | 2 (100 %) | 0 |" in done.stdout
