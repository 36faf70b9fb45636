"""English words in syllables with their stress, by rules of spelling and a list of what the rules get wrong.

A pronunciation dictionary would be right more often and weighs megabytes; tests say how far the rules are from one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

_LISTED = {
    parts.replace("-", "").replace("'", ""): parts
    for parts in (
        # A mark ' stands before the stressed syllable where the rules put it elsewhere.
        "ev-ery", "ev-ery-one", "ev-ery-thing", "peo-ple", "be-ing", "do-ing", "go-ing", "see-ing", "cre-'ate",
        "i-'de-a", "re-al", "re-al-ly", "ar-e-a", "o-cean", "po-em", "po-et", "qui-et", "di-et", "sci-ence", "li-on",
        "vi-o-let", "vi-o-lin", "pi-'an-o", "ra-di-o", "dia-mond", "gi-ant", "tri-al", "u-su-al", "ru-in", "flu-id",
        "ly-ing", "dy-ing", "ty-ing", "eve-ning", "a-re-na", "busi-ness", "choc-late", "dif-ferent", "fam-ly",
        "some-where", "some-time", "some-times", "some-one", "some-thing", "home-town", "life-time", "side-walk",
        "cof-fee", "com-mit-tee", "re-cipe", "mem-o-ry", "to-'night", "to-'day", "to-'mor-row", "to-'geth-er",
        "good-'bye", "ho-'tel", "gui-'tar", "ma-'chine", "po-'lice", "ba-'lloon", "ciga-'rette", "ca-'det",
        "my-'self", "your-'self", "him-'self", "her-'self", "it-'self", "our-'selves", "them-'selves", "with-'out",
        "with-'in", "up-'stairs", "down-'stairs", "in-'side", "out-'side", "in-'stead", "per-'haps", "al-'though",
        "how-'ev-er", "for-'ev-er", "when-'ev-er", "what-'ev-er", "wher-'ev-er", "un-'til", "through-'out", "him-'self",
        "fire", "hire", "wire", "tire", "tired", "hour", "hours", "our", "ours", "flow-er",
        "pow-er", "tow-er", "show-er", "pli-ers", "choir", "quire", "heav-en", "sev-en", "e-'lev-en", "lis-ten",
        "o-pen", "o-pened", "o-pens", "eye", "eyes", "bye", "dye", "shoe", "shoes", "toe", "toes", "tip-toe",
        "beau-ti-ful", "mu-se-um", "the-a-ter", "fu-el", "cru-el", "du-et", "po-lite", "sure", "sug-ar", "wom-an",
        "wom-en", "wed-nes-day", "wast-ed", "nak-ed", "wick-ed", "be-'lov-ed", "bless-ed", "mid-'air", "'al-ways",
        "com-'plete-ly", "ex-'act-ly", "be-'fore", "be-'hind", "be-'tween", "be-'low", "be-'cause", "be-'gin",
        "be-'gan", "be-'side", "be-'neath", "be-'lieve", "be-'come", "be-'long", "a-'way", "a-'lone", "a-'bout",
        "a-'cross", "a-'gain", "a-'round", "a-'wake", "a-'side", "a-'live", "a-'go", "a-'part", "a-'mong", "a-'sleep",
        "a-'bove", "a-'fraid", "a-'gainst", "a-'long", "a-'board", "a-'shamed", "al-'read-y", "al-'right", "a-'head",
        "with-'stand", "tel-e-vi-sion", "li-brar-y", "sax-o-phone", "'mid-night", "um-'brel-la", "ba-'na-na",
        "to-'ward", "eigh-teen", "eigh-ty",
        "may-be", "hun-dred", "sa-cred", "crook-ed", "ne-on", "who-'ev-er", "mo-'tel", "e-'ra-ser", "ex-'am",
        "dis-ap-'pear",
        "cor-'rect", "in-'spect", "un-der", "on-ion", "o-'pin-ion", "mil-lion", "un-ion", "com-'pan-ion", "draw-er",
    )
}  # fmt: skip

_NUCLEI = re.compile(r"[aeiouy]+")
_SUFFIX = (
    r"(?:ly|ment|ments|less|ful|fully|ness|ty|teen|time|times|some|way|ways|where|"
    r"thing|one|body|town|line|walk|light|man|men|bush|pan|cast|let|lets|box|cake|house|boat|land|side)"
)
_MUTE_INSIDE = re.compile(
    rf"(?<=[aeiouy][^aeiouy])e(?={_SUFFIX}$)|(?<=[aeiouy][^aeiouy][^aeiouy])e(?=(?:ly|less|ful|ness)$)"
)
_BLENDS = frozenset(
    ("bl", "br", "cl", "cr", "dr", "fl", "fr", "gl", "gr", "pl", "pr", "tr", "sk", "sp", "st", "sw", "tw", "qu")
)
_PAIRS = frozenset(("ch", "sh", "th", "ph", "wh", "gn", "kn", "wr"))
_WEAK = re.compile(
    r"a|an|the|of|and|or|to|in|on|at|for|with|from|by|as|if|but|so|than|that|till|is|am|are|was|were|be|been|has|had|"
    r"have|do|does|can|could|would|should|will|shall|may|might|must|i|me|my|you|your|he|him|his|she|her|it|its|we|us|"
    r"our|they|them|their|it's|i'm|i'll|i'd|i've|we've|we'll|we're|they've|they're|you're|he's|she's|there's"
)
_LATE = re.compile(r"(?:ee|eer|ese|oon|ette|ique|self|selves)s?$")
_BEFORE_LAST = re.compile(r"(?:tion|sion|cian|cious|tious|cial|tial|ic|ics)s?$")
_TWO_BEFORE_LAST = re.compile(r"(?:ity|ify|ical|graphy|logy)$")
_THREE_FROM_END = re.compile(r"(?<![ctsg])(?:ious|ial|ian|eous)(?:ly)?$")
_PREFIX = re.compile(
    r"(?:(?:be|de|re|pre)[bcdfghjklmnpqstvwx][lr]?[aeiouy]|(?:un|ex|sur|mis)[^aeiouy]|con[stfvcd]|com[mp](?!an)"
    r"|a(?:ll|rr|cc|pp|tt|ff|ss|nn)[aeiou]|en[jtdg][aeour]|for[gb]|in[sv][pteo])[a-z]{2,}$"
)


_NOT = frozenset(("could", "would", "should", "does", "did", "is", "was", "has", "had", "have", "need", "must"))
"""Verbs after which n't is a syllable of its own."""


@lru_cache(maxsize=4096)
def split_word(word: str) -> tuple[str, ...]:
    """Return the written syllables of an English word, in lower case and without its apostrophes."""
    whole = re.sub(r"[^a-z']", "", word.lower()).strip("'")
    if whole.endswith("n't") and whole[:-3] in _NOT:
        return (*split_word(whole[:-3]), "nt")
    stem, _, ending = whole.partition("'")
    if ending:
        parts = split_word(stem)
        return (*parts[:-1], parts[-1] + ending.replace("'", "")) if parts else ()
    return _split(stem)


def _split(plain: str) -> tuple[str, ...]:
    if not plain:
        return ()
    for ending in ("", "s", "d"):
        stem = plain.removesuffix(ending) if ending else plain
        if stem + ending == plain and stem in _LISTED:
            parts = _LISTED[stem].replace("'", "").split("-")
            return (*parts[:-1], parts[-1] + ending)
    starts = _nuclei(plain)
    if len(starts) < 2:
        return (plain,)
    cuts = [_cut(plain, end, start) for (_, end), (start, _) in pairwise(starts)]
    return tuple(plain[a:b] for a, b in zip([0, *cuts], [*cuts, len(plain)], strict=True))


_ENDINGS = (
    ("ed", re.compile(r"(?:[td]|[^aeiouyl.]l)ed$")),
    ("es", re.compile(r"(?:[sxzcg]|ch|sh|[^aeiouyl.]l)es$")),
    ("e", re.compile(r"[^aeiouywrl.]le$")),
)
"""Endings whose e is mute, and where it is sounded all the same."""


def _nuclei(plain: str) -> list[tuple[int, int]]:
    """Return start and end of each vowel sound of a word."""
    # What is written and not sounded is blanked, so that places stay the same.
    heard = _MUTE_INSIDE.sub(".", plain)
    heard = re.sub(r"^y(?=[aeiou])|(?<=[aeiou])y(?=[aeiou])", "j", heard)
    heard = re.sub(r"(?<=q)u|(?<=g)u(?=[aei])", "w", heard)
    for ending, sounded in _ENDINGS:
        if re.search(rf"[aeiouy].*[^aeiouy]{ending}$", heard):
            if not sounded.search(heard):
                place = len(heard) - len(ending)
                heard = f"{heard[:place]}.{heard[place + 1 :]}"
            break
    found: list[tuple[int, int]] = []
    for group in _NUCLEI.finditer(heard):
        found += _apart(heard, group.start(), group.end())
    return found


def _apart(heard: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the vowel sounds of one group of vowel letters."""
    for place in range(start + 1, end):
        before, rest = heard[:place], heard[place:]
        meets = (
            re.match(r"ing(?:s|ly)?$", rest)
            or (before[-1] == "i" and len(before) > 1 and re.match(r"a|o|um", rest) and before[-2] not in "cstgxnl")
            or (before[-1] == "u" and re.match(r"a|ou", rest) and before[-2:-1] not in {"g", "q", ""})
        )
        if meets:
            return [(start, place), (place, end)]
    return [(start, end)]


def _cut(plain: str, end: int, start: int) -> int:
    """Return where the next syllable begins between two vowel sounds."""
    between = plain[end:start]
    if len(between) <= 1 or between in _PAIRS or (between in _BLENDS and between[0] != "s"):
        return end
    if between in {"ck", "x", "ght", "dg"}:
        return start
    return start - (2 if between[-2:] in _BLENDS | _PAIRS else 1)


@lru_cache(maxsize=4096)
def stresses(word: str) -> tuple[bool, ...]:
    """Return for each syllable of `split_word` whether it bears the word's stress; weak words of one bear none."""
    parts = split_word(word)
    if len(parts) < 2:
        return tuple(not _WEAK.fullmatch(word.lower()) for _ in parts)
    stressed = _stressed(re.sub(r"[^a-z]", "", word.lower()), len(parts))
    return tuple(place == stressed for place in range(len(parts)))


def _stressed(plain: str, count: int) -> int:
    """Return the place of the stressed syllable of a word of several."""
    for known in (plain, plain.removesuffix("s"), plain.removesuffix("d"), plain.removesuffix("ed")):
        if known in _LISTED:
            marked = [part.startswith("'") for part in _LISTED[known].split("-")]
            return marked.index(True) if True in marked else 0
    if _LATE.search(plain):
        return count - 1
    if _BEFORE_LAST.search(plain):
        return max(count - 2, 0)
    if _TWO_BEFORE_LAST.search(plain) or _THREE_FROM_END.search(plain):
        return max(count - 3, 0)
    return 1 if _PREFIX.match(plain) else 0
