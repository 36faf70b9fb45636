"""How much memory the programs take that the cage starts, whatever the process takes that starts them.

The kernel counts for a child what its parent had at the fork, until the child becomes another program
and in its record for ever after. So each is started, and weighed, by a small program in between.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.media.jobs import cage

_WEIGHER = Path(__file__).with_name("weigher.py")
# In bytes on macOS, in KiB elsewhere (getrusage(2)).
_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Scales:
    """Where the weights are written down, a line each."""

    path: Path

    def weights_mb(self) -> list[float]:
        """Return the most memory of each program that has ended, in MiB."""
        if not self.path.exists():
            return []
        return [int(line) * _UNIT / 2**20 for line in self.path.read_text(encoding="ascii").split()]


@contextmanager
def weighed(path: Path) -> Iterator[Scales]:
    """Yield the scales that every program is put on that the cage starts inside."""
    prefix = cage._prefix

    def weighing(bars: cage.Bars, room: cage.Room | None) -> list[str]:
        return [sys.executable, "-I", "-S", str(_WEIGHER), str(path), *prefix(bars, room)]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cage, "_prefix", weighing)
        yield Scales(path)
