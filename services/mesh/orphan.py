"""A child's side of never being left behind: it ends when its supervisor is gone.

On Linux the kernel sends SIGTERM at the parent's death. Elsewhere a thread looks once a second.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping

PARENT_VARIABLE = "CADENZA_SUPERVISOR"
PR_SET_PDEATHSIG = 1
LOOK_EVERY_S = 1.0


def end_with_parent(environ: Mapping[str, str] | None = None) -> None:
    """Arrange for SIGTERM when the supervisor that started us dies; do nothing when nobody supervises us.

    Must be called from the main thread of a process started by the supervisor's main thread: the kernel watches the
    starting thread, and asyncio starts children from the thread of its loop.
    """
    parent = (os.environ if environ is None else environ).get(PARENT_VARIABLE, "")
    if not parent.isdigit():
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    else:
        threading.Thread(target=_look, args=(int(parent),), name="parent watch", daemon=True).start()
    if os.getppid() != int(parent):  # It died before we asked.
        os.kill(os.getpid(), signal.SIGTERM)


def _look(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
