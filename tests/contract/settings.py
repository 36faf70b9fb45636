"""Writes .env.example from the settings that the code declares, so that no second list has to be kept in step."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path

from services.kit.config import ProcessConfig, SettingDoc, settings_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / ".env.example"
ROOMS = (
    ("The embedded runtime (make up, make demo)", "services.mesh.config"),
    ("Gateway", "gateway.config"),
    ("Auth", "services.auth.config"),
    ("Wallet", "services.wallet.config"),
    ("Composer", "services.composer.config"),
    ("Media", "services.media.config"),
    ("Share", "services.share.config"),
)
_HEAD = """\
Every setting of Cadenza with its default. Copy what you change into the environment or into .env;
an empty value counts as unset. Values marked secret have no default worth keeping. `make gen` writes this file.
"""
ELSEWHERE = (
    SettingDoc("POSTGRES_PASSWORD", "", "password of the PostgreSQL container", True),  # noqa: FBT003  # a plain record
    SettingDoc("REDIS_PASSWORD", "", "password of the Redis container", True),  # noqa: FBT003  # likewise
)
"""What docker-compose.yml reads besides."""


def declared() -> list[tuple[str, list[SettingDoc]]]:
    """Return the settings by room; one that several rooms read stands where it comes first."""
    seen: set[str] = set()
    rooms = [("Every process", settings_of(ProcessConfig))]
    rooms += [(title, settings_of(importlib.import_module(module).Config)) for title, module in ROOMS]
    rooms.append(("docker-compose.yml", list(ELSEWHERE)))
    found = []
    for title, settings in rooms:
        own = [each for each in settings if each.env not in seen]
        seen |= {each.env for each in own}
        if own:
            found.append((title, own))
    return found


def render() -> str:
    """Return the text of .env.example."""
    lines = [f"# {line}" for line in textwrap.wrap(_HEAD, 110)]
    for title, settings in declared():
        lines += ["", f"# --- {title} ---"]
        for each in settings:
            lines += [f"# {line}" for line in textwrap.wrap(each.doc + (" (secret)" if each.secret else ""), 110)]
            lines.append(f"# {each.env}={_text(each)}")
    return "\n".join(lines) + "\n"


def _text(setting: SettingDoc) -> str:
    if setting.default is None or setting.secret:
        return ""
    if isinstance(setting.default, tuple):
        return ",".join(str(part) for part in setting.default)
    return str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default)


def main() -> int:
    """Write the file."""
    EXAMPLE.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
