"""Crash points kill when they are armed, and only then; every point of the list has one place in the code."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.kit import crash
from services.kit.config import ConfigError, ProcessConfig, load
from services.kit.crash import POINTS, Act

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
from services.kit import crash
crash.arm(Path(sys.argv[1]) if sys.argv[1] else None)
with crash.around(crash.Act.HOLD_CALL):
    print("called", flush=True)
print("went on", flush=True)
"""


def run(folder: str) -> tuple[int, str]:
    """Return how a process ended that goes through both points of one act, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout


def test_nothing_is_armed_without_the_setting(tmp_path: Path) -> None:
    """A process without the setting passes every point and leaves no trace, whatever stands in a folder."""
    (tmp_path / "before-hold_call.armed").touch()

    assert run("") == (0, "called\nwent on\n")
    assert [each.name for each in tmp_path.iterdir()] == ["before-hold_call.armed"]


@pytest.mark.parametrize(("side", "said"), [("before", ""), ("after", "called\n")])
def test_an_armed_point_kills_once(tmp_path: Path, side: str, said: str) -> None:
    """The first process at an armed point dies of SIGKILL exactly there and says who it was; the next one passes."""
    (tmp_path / f"{side}-hold_call.armed").touch()

    assert run(str(tmp_path)) == (-signal.SIGKILL, said)
    assert len(list(tmp_path.glob(f"{side}-hold_call.*.died"))) == 1
    assert run(str(tmp_path)) == (0, "called\nwent on\n")
    assert {each.stem for each in tmp_path.glob("*.seen")} == {"before-hold_call", "after-hold_call"}


def test_a_failed_act_has_no_after(tmp_path: Path) -> None:
    """What raises does not reach the point behind it."""
    crash.arm(tmp_path)
    try:
        with pytest.raises(ValueError, match="no"), crash.around(Act.HOLD_CALL):
            raise ValueError("no")
    finally:
        crash.arm(None)

    assert [each.name for each in tmp_path.iterdir()] == ["before-hold_call.seen"]


def test_production_has_no_crash_points() -> None:
    """A process in production refuses to start with the setting."""
    given = {"CRASH_POINTS": "somewhere", "APP_ENV": "production"}

    with pytest.raises(ConfigError):
        load(ProcessConfig, given)
    assert load(ProcessConfig, given | {"APP_ENV": "test"}).crash_points == Path("somewhere")


def test_every_act_has_its_place() -> None:
    """Every act of the list is named in the code, every name in the code is in the list, each says what it is."""
    used = set()
    for folder in ("services", "gateway"):
        for path in (ROOT / folder).rglob("*.py"):
            if path == Path(crash.__file__):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Act":
                    used.add(node.attr)

    assert used == {act.name for act in Act}
    assert len(POINTS) == 2 * len(Act) == len(set(POINTS))
    assert all(act.value.endswith(".") and len(act.value) > 20 for act in Act)
