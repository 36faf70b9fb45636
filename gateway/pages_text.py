"""The words of the pages: one catalogue per language, read by templates here and by the modules in the browser.

A catalogue is a flat JSON object from key to sentence; `{name}` is filled from the values given.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from gateway.caller import CALLER

LOCALES: Final = ("zh-CN", "en")
COOKIE: Final = "lang"
PARAMETER: Final = "lang"

FOLDER: Final = Path(__file__).parent / "web" / "text"

Say = Callable[..., str]


def read_catalogues() -> dict[str, dict[str, str]]:
    """Return every catalogue by its locale; raises ValueError when the languages differ in their keys."""
    found: dict[str, dict[str, str]] = {
        locale: json.loads((FOLDER / f"{locale}.json").read_text(encoding="utf-8")) for locale in LOCALES
    }
    chinese, english = (set(found[locale]) for locale in LOCALES)
    odd = chinese ^ english
    if odd:
        raise ValueError(f"these texts are missing in one language: {', '.join(sorted(odd))}")
    return found


def speaking(catalogue: Mapping[str, str]) -> Say:
    """Return the function that words a key; a key that is missing is a mistake of ours and raises KeyError."""

    def say(key: str, **values: Any) -> str:
        text = catalogue[key]
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    return say


def choose_locale(request: web.Request) -> str:
    """Return the language asked for by `?lang=`, else by the cookie, else by Accept-Language; Chinese otherwise."""
    for wish in (request.query.get(PARAMETER, ""), request.cookies.get(COOKIE, "")):
        if wish in LOCALES:
            return wish
    return request[CALLER].locale


def key_name(say: Say, key: str) -> str:
    """Return a key such as `D major` in the reader's words; anything else stays as it came."""
    tonic, _, mode = key.partition(" ")
    return say(f"key.{mode}", tonic=tonic) if mode in {"major", "minor"} else key


def style_name(say: Say, catalogue: Mapping[str, str], style: str) -> str:
    """Return a style of ours in the reader's words; anything else stays as it came."""
    name = f"style.{style}"
    return say(name) if name in catalogue else style
