"""Bounds for the log files of child processes.

A child writes to its file directly (append mode), not through a pipe of ours: its output survives our death, and a slow
supervisor never blocks it. In exchange the files are cut from outside.
"""

import os
import shutil
from pathlib import Path

MOST_BYTES = 10_000_000


def keep_small(path: Path, most_bytes: int = MOST_BYTES) -> None:
    """Move what a log holds to ``<name>.1`` and empty it when it has grown past ``most_bytes``.

    Lines written between the copy and the cut are lost; the writer, in append mode, goes on at the start of the file.
    """
    try:
        if path.stat().st_size <= most_bytes:
            return
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
    except FileNotFoundError:
        return
