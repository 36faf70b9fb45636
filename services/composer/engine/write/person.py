"""Who is singing: I or we. English changes its verbs with it, so the change is a rule and not a slot."""

from __future__ import annotations

import re

_OURS = {
    "i": "we",
    "i'm": "we're",
    "i've": "we've",
    "i'd": "we'd",
    "i'll": "we'll",
    "me": "us",
    "my": "our",
    "mine": "ours",
    "myself": "ourselves",
}
_VERBS = {"we was": "we were", "we wasn't": "we weren't", "we am": "we are"}
_WORD = re.compile(r"\b(I'm|I've|I'd|I'll|I|[Mm]e|[Mm]y|[Mm]ine|[Mm]yself)\b")
_VERB = re.compile(r"\b([Ww]e) (wasn't|was|am)\b")

NOT_AT_THE_END = frozenset({"me", "mine", "my", "i"})
"""Words that cannot change where they rhyme."""


def sung_by_us(text: str) -> str:
    """Return an English text in the first person plural; it says you, he and they as before."""
    ours = _WORD.sub(lambda word: _OURS[word[0].lower()], text)
    return _VERB.sub(lambda found: _VERBS[found[0].lower()], ours)
