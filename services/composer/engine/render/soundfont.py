"""Which soundfont to play with: the one that was configured, an installed one, or the small one of a wheel."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_INSTALLED = (
    Path("/usr/share/sounds/sf3/MuseScore_General.sf3"),
    Path("/usr/share/sounds/sf3/MuseScore_General_Lite.sf3"),
    Path("/usr/share/sounds/sf3/default-GM.sf3"),
    Path("/usr/share/sounds/sf2/MuseScore_General.sf2"),
    Path("/usr/share/soundfonts/MuseScore_General.sf3"),
    Path("/usr/share/soundfonts/MuseScore_General_Lite.sf3"),
    Path("/usr/share/soundfonts/MuseScore_General.sf2"),
)
"""Where Debian, Fedora and Arch put MuseScore General, the best of the free General MIDI sets."""

_WHEEL = ("pretty_midi", "TimGM6mb.sf2")


def find_soundfont(configured: str | None) -> Path:
    """Return the soundfont to use: `configured`, else an installed MuseScore General, else the wheel's small one.

    Raises FileNotFoundError when the configured file is missing (a typo must not change the sound silently)
    and when none is found at all.
    """
    if configured:
        path = Path(configured)
        if not path.is_file():
            message = f"the configured soundfont does not exist: {path}"
            raise FileNotFoundError(message)
        return path
    for path in _INSTALLED:
        if path.is_file():
            return path
    package, name = _WHEEL
    spec = importlib.util.find_spec(package)  # Finds the folder without running the package.
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / name
        if path.is_file():
            return path
    message = "no soundfont: set one, or install MuseScore General or pretty_midi"
    raise FileNotFoundError(message)
