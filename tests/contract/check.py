"""Runs every linter and contract, two at a time, and says which failed: what `make check` and CI call."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
_TIMEOUT_S = 600


@dataclass(frozen=True)
class Check:
    """One command that must exit with 0."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a check ended, how long it took, and what it said."""

    check: Check
    passed: bool
    seconds: float
    text: str


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],  # noqa: S607  # whichever git is installed
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _baseline() -> str:
    """Return the commit whose contracts must stay compatible: where this work left main, else the commit before."""
    here = _git("rev-parse", "HEAD")
    for base in (_git("merge-base", "HEAD", "origin/main"), _git("rev-parse", "HEAD~1")):
        if base and base != here and _git("ls-tree", base, "proto/"):
            return base
    return ""


def checks() -> list[Check]:
    """Return all checks, the slowest first."""
    python = str(BIN / "python")
    buf = str(BIN / "buf")
    found = [
        Check("types", (str(BIN / "mypy"),)),
        Check("gen is current", (python, "-m", "tests.contract.generate", "--check")),
        Check("imports", (str(BIN / "lint-imports"), "--no-logo")),
        Check("style", (str(BIN / "ruff"), "check", ".")),
        Check("format", (str(BIN / "ruff"), "format", "--check", ".")),
        Check("proto style", (buf, "lint")),
        Check("proto format", (buf, "format", "--diff", "--exit-code", "proto", "--path", "proto/cadenza")),
    ]
    if base := _baseline():
        found.append(Check("proto compatibility", (buf, "breaking", "--against", f".git#ref={base}")))
    return found


def run(check: Check) -> Outcome:
    """Return how the check ended."""
    started = time.monotonic()
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        check.command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    return Outcome(check, done.returncode == 0, time.monotonic() - started, done.stdout)


def main() -> int:
    """Run all checks; the exit status is the number that failed."""
    failed = 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        for outcome in pool.map(run, checks()):
            mark = "ok  " if outcome.passed else "FAIL"
            sys.stdout.write(f"{mark} {outcome.check.name:<20} {outcome.seconds:6.1f} s\n")
            if not outcome.passed:
                failed += 1
                sys.stdout.write(outcome.text.rstrip() + "\n\n")
            sys.stdout.flush()
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
