"""One process of the tortured mesh through all its lives, and how each of them ended."""

import subprocess
import time
from dataclasses import dataclass

GRACE_S = 5.0


@dataclass
class Death:
    """One end of a process: who, of what, when, and when its work was being done again."""

    name: str
    cause: str
    pid: int
    at: float
    wall: float
    ready_s: float | None = None


@dataclass
class Child:
    """One process through all its lives."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    cause: str = ""
    stopped: bool = False
    ready: bool = False
    lives: int = 0

    @property
    def pid(self) -> int:
        """The process id of the present life, 0 between two."""
        return self.process.pid if self.process is not None and self.process.poll() is None else 0


def wait_or_kill(processes: list[subprocess.Popen[bytes]]) -> None:
    """Return when all have ended, those that take too long by SIGKILL."""
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
