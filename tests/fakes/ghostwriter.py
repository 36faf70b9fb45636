"""What the stand-ins of language models say: it fits what they are asked, and can be spoilt as models spoil it.

A prompt whose material is a wish for words is answered with two versions by the offline writer, so that a song can be
made of them; any other prompt with a schema is answered by the emptiest value of that schema, and one without by a
sentence.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.composer.engine.write.lyrics import LyricsBrief
from services.composer.engine.write.writer import write_lyrics
from services.composer.providers.lyrics_prompt import PROMPTS, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WISH = json.dumps({"theme": "海边的夏天", "title": "", "style": "民谣", "mood": "治愈", "keywords": []})
SYSTEM = PROMPTS["zh"][-1].system
__all__ = ["SCHEMA", "SPOILS", "SYSTEM", "UNSAFE", "UNSEEMLY", "WISH", "Asked", "answer", "pieces", "tokens"]

UNSAFE = ("炸药配方", "build a bomb")
"""What the filter before the model finds."""
UNSEEMLY = ("诽谤", "slander")
"""What the model itself will not write about."""

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_VALUES: dict[str, Any] = {"boolean": False, "string": "", "array": [], "integer": 0, "number": 0.0, "object": {}}


@dataclass(frozen=True)
class Asked:
    """What a stand-in was asked, whatever its vendor calls the parts."""

    system: str
    said: Sequence[str]
    schema: Mapping[str, Any] | None
    seed: int

    @property
    def unsafe(self) -> bool:
        """Whether the filter before the model stops it."""
        return any(word in text for text in self.said for word in UNSAFE)


def answer(asked: Asked, spoilt: str = "") -> str:
    """Return what the model says, spoilt in the named way if there is one."""
    wish = _wish(asked.said[0]) if asked.said else None
    if wish is not None:
        text = json.dumps(_words(wish, asked), ensure_ascii=False)
    elif asked.schema:
        text = json.dumps(_empty(asked.schema), ensure_ascii=False)
    else:
        text = f"I have read {sum(map(len, asked.said))} characters."
    return SPOILS[spoilt](text, asked.system) if spoilt else text


def pieces(text: str, size: int = 24) -> list[str]:
    """Return the text in the pieces that a stream has."""
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


def tokens(text: str) -> int:
    """Return about as many tokens as a model would count."""
    return len(text) // 3 + 1


def _wish(said: str) -> dict[str, Any] | None:
    try:
        wish = json.loads(said)
    except ValueError:
        return None
    return wish if isinstance(wish, dict) and wish.get("theme") else None


def _words(wish: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    if any(word in wish["theme"] for word in UNSEEMLY):
        return {"refused": True, "versions": []}
    brief = LyricsBrief(
        theme=wish["theme"],
        title=wish.get("title", ""),
        style=wish.get("style", ""),
        mood=wish.get("mood", ""),
        language="zh" if _CHINESE.search(asked.system) else "en",
        keywords=tuple(wish.get("keywords", ())),
        seed=asked.seed,
    )
    return {
        "refused": False,
        "versions": [
            {
                "title": each.title,
                "sections": [{"kind": section.kind, "lines": list(section.lines)} for section in each.sections],
            }
            for each in write_lyrics(brief)
        ],
    }


def _empty(schema: Mapping[str, Any]) -> Any:
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("type") == "object":
        return {name: _empty(inner) for name, inner in schema.get("properties", {}).items()}
    return _VALUES.get(str(schema.get("type", "string")).lower(), "")


def _changed(text: str, change: Callable[[dict[str, Any]], object]) -> str:
    value = json.loads(text)
    change(value)
    return json.dumps(value, ensure_ascii=False)


def _every_line(text: str, change: Callable[[str], str]) -> str:
    def deep(value: dict[str, Any]) -> None:
        for version in value["versions"]:
            for section in version["sections"]:
                section["lines"] = [change(line) for line in section["lines"]]

    return _changed(text, deep)


def _rule(system: str) -> str:
    return next(line for line in system.splitlines() if line.startswith("4."))[3:60]


SPOILS: dict[str, Callable[[str, str], str]] = {
    # These can be read all the same.
    "fenced": lambda text, _: f"Here you are:\n```json\n{text}\n```\nEnjoy!",
    "trailing_commas": lambda text, _: text.replace("]", ",]").replace("}", ",}"),
    "thinking": lambda text, _: f'<think>{{"versions": [they want two}}</think>{text}',
    "headings": lambda text, _: _changed(
        text, lambda v: [s["lines"].insert(0, "[Verse 1]") for x in v["versions"] for s in x["sections"]]
    ),
    "markup": lambda text, _: _every_line(text, lambda line: f"- **<b>{line}</b>**"),
    "tail_cut": lambda text, _: text[:-12],
    # These are of no use.
    "prose": lambda _text, _: "I would rather talk about the weather.",
    "bad_json": lambda text, _: text.replace('"lines":', "lines:"),
    "one_version": lambda text, _: _changed(text, lambda value: value["versions"].pop()),
    "twice_the_same": lambda text, _: _changed(text, lambda v: v["versions"].__setitem__(1, v["versions"][0])),
    "no_chorus": lambda text, _: text.replace('"chorus"', '"verse"'),
    "leak": lambda text, system: _changed(
        text, lambda value: value["versions"][0]["sections"][0]["lines"].append(_rule(system))
    ),
    "long_lines": lambda text, _: _every_line(text, lambda line: line * 30),
    "russian": lambda text, _: _every_line(text, lambda _: "белый снег идёт"),
    "endless": lambda text, _: text[:-2] + ', {"title": "' + "la " * 20_000,
    "half": lambda text, _: text[: len(text) // 3],
}
"""Ways in which a model's text goes wrong."""
