"""Which test gets as far as which function: a mutant is tried only by the tests that can meet it, the fastest first.

The choice is the usual one of mutation testing by coverage. Functions are enough here: what decides is how many
database tests a survivor costs, and following lines would slow the tests that this run has to time.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

# Another order or a retry is of no use here, and a cache would be shared by the children.
PLAIN = ("-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain")

Functions = dict[str, list[str]]


@dataclass(frozen=True)
class Test:
    """One test: its node id, how long it took, and the functions of each module that it ran."""

    node_id: str
    seconds: float
    functions: Functions

    def meets(self, module: str, where: str) -> bool:
        """Return whether the test ran that function, or anything that is made while the module is imported."""
        reached = self.functions.get(module)
        return reached is not None and (where in reached or not _inside_a_function(where))


def _inside_a_function(where: str) -> bool:
    """Return whether the place is in a function; classes are capitalised here and private ones too."""
    last = where.rpartition(".")[2].lstrip("_")
    return bool(last) and last[0].islower()


def tests_for(tests: Sequence[Test], module: str, where: str, files: Collection[str]) -> list[Test]:
    """Return those tests of the files that meet the place, file by file and in each file the fastest first."""
    met = [test for test in tests if test.node_id.partition("::")[0] in files and test.meets(module, where)]
    cheapest: dict[str, float] = {}
    for test in met:
        name = test.node_id.partition("::")[0]
        cheapest[name] = min(cheapest.get(name, test.seconds), test.seconds)

    def turn(test: Test) -> tuple[float, str, float]:
        name = test.node_id.partition("::")[0]
        return cheapest[name], name, test.seconds

    return sorted(met, key=turn)


def record(files: Sequence[str], modules: Collection[str], into: Path) -> int:
    """Run the files with nothing changed and write what each test reached; return pytest's exit status."""
    import pytest

    watcher = _Watcher(modules)
    status = pytest.main([*files, *PLAIN], [watcher])
    into.write_text(json.dumps(watcher.found), encoding="utf-8")
    return int(status)


def read(path: Path) -> list[Test]:
    """Return what `record` has written."""
    return [Test(*each) for each in json.loads(path.read_text(encoding="utf-8"))]


class _Watcher:
    """A plugin of pytest that notes each test's calls into the watched modules, in every thread."""

    def __init__(self, modules: Collection[str]) -> None:
        self.found: list[tuple[str, float, Functions]] = []
        self._names = {f"{os.sep}{module.replace('.', os.sep)}.py": module for module in modules}
        self._module_of: dict[CodeType, str | None] = {}
        self._reached: set[CodeType] = set()

    def pytest_runtest_protocol(self, item: Any) -> None:
        """Begin anew for a test; pytest itself goes on with it."""
        self._reached = set()
        self._began = time.monotonic()
        threading.settrace(self._call)
        sys.settrace(self._call)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Keep what the test has reached."""
        sys.settrace(None)
        functions: Functions = {}
        for code in self._reached:
            # A generator expression or a lambda belongs to the function in which it stands.
            names = [part for part in code.co_qualname.split(".") if not part.startswith("<")]
            functions.setdefault(self._module_of[code] or "", []).append(".".join(names))
        self.found.append((nodeid, time.monotonic() - self._began, functions))

    def _call(self, frame: FrameType, _event: str, _argument: object) -> None:
        code = frame.f_code
        if code not in self._module_of:
            ends = (module for end, module in self._names.items() if code.co_filename.endswith(end))
            self._module_of[code] = next(ends, None)
        if self._module_of[code] is not None:
            self._reached.add(code)
