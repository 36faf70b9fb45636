"""Writes two versions of a song's words: chooses couplets, joins them by rhyme, fills in whose words they are."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from services.composer.engine.write import en_frames, zh_classical, zh_frames
from services.composer.engine.write.couplet import fill, lay_out, read_couplets
from services.composer.engine.write.lyrics import LyricsSection, LyricsVersion
from services.composer.engine.write.manner import FEELINGS_EN, FEELINGS_ZH, find_manner, find_moods
from services.composer.engine.write.person import NOT_AT_THE_END
from services.composer.engine.write.syllables import count_syllables, has_han
from services.composer.engine.write.theme import LIFE, clean, find_theme, own_words
from services.composer.engine.write.zh_rhyme import CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.composer.engine.write.couplet import Couplet
    from services.composer.engine.write.lyrics import Language, LyricsBrief, SectionKind, VersionLabel
    from services.composer.engine.write.manner import Manner
    from services.composer.engine.write.theme import Theme

WRITER_VERSION = "words-3"
"""Changes whenever the same brief gives other words."""

_LONGEST_TITLE = 40
_LONGEST_TITLE_SYLLABLES = 14
_Lines = tuple[tuple[str, str], tuple[str, str]]
_ANY = ""
# An English half-line that begins so needs what stands before it.
_LEANING = re.compile(
    r"(?:and|but|at|of|in|on|with|that|like|to|from|for|as|is|was|has|have|till|than|where|when|who|if|or|by|so) .*",
    re.IGNORECASE,
)


def write_lyrics(brief: LyricsBrief) -> tuple[LyricsVersion, LyricsVersion]:
    """Return versions A and B, which share no line; the same brief gives the same words, another seed others.

    Themes, styles and moods are found by the words people use for them; an unknown theme gets the table of everyday
    life and more of the person's own words, an unknown style is pop. Any text is taken: what cannot be sung is left
    out, and a theme of which nothing is left becomes a song about this song.
    """
    theme_text = clean(brief.theme)
    asked = " ".join(part for part in (theme_text, clean(brief.title), *map(clean, brief.keywords)) if part)
    language = language_of(asked, brief.language)
    found = find_theme(theme_text) if theme_text else find_theme(asked)
    desk = _Desk(brief, language, found, _own(theme_text, found, language))
    return desk.version("A"), desk.version("B")


def language_of(text: str, wanted: str) -> Language:
    """Return the language of the song: the one asked for, else Chinese when there is a Chinese character in the text.

    A text of Latin letters alone makes an English song. Foreign words inside of a song stay as they are.
    """
    if wanted in {"zh", "en"}:
        return "zh" if wanted == "zh" else "en"
    return "zh" if has_han(text) or not count_syllables(text) else "en"


def _own(theme_text: str, theme: Theme, language: Language) -> str:
    """Return what the song calls its theme: the person's words, in the other language the theme's name."""
    words = own_words(theme_text, language)
    foreign = bool(words) and has_han(words) != (language == "zh")
    if not words or (foreign and theme is not LIFE):
        return theme.named_zh if language == "zh" else theme.named_en
    return words


@dataclass
class _Pool:
    """Couplets of one kind that nobody has used yet."""

    couplets: list[Couplet]

    def take(self, rhyme: str, avoid: frozenset[str]) -> Couplet | None:
        """Return a couplet of the rhyme class (any for an empty one) with no end or sound to be avoided, or None."""
        for couplet in self.couplets:
            if rhyme in {_ANY, couplet.rhyme} and not (couplet.ends | {couplet.rhyme}) & avoid:
                self.couplets.remove(couplet)
                return couplet
        return None


@dataclass
class _Stock:
    """All that may be used in both versions, in the order of chance."""

    hooks: _Pool
    openings: _Pool
    scenes: list[_Pool]
    feelings: list[_Pool]


@dataclass
class _Desk:
    """One brief at work."""

    brief: LyricsBrief
    language: Language
    theme: Theme
    own: str
    manner: Manner = field(init=False)
    rng: Random = field(init=False)
    stock: _Stock = field(init=False)
    classes: list[str] = field(init=False)
    keywords: list[str] = field(init=False)

    def __post_init__(self) -> None:
        brief = self.brief
        wishes = (brief.theme, brief.title, brief.style, brief.mood, *brief.keywords, self.language)
        digest = hashlib.sha256("\0".join(wishes).encode("utf-8", "replace")).hexdigest()
        self.rng = Random(f"{WRITER_VERSION}:{brief.seed}:{digest}")
        self.manner = find_manner(brief.style)
        self.keywords = [words for words in (own_words(clean(each), self.language) for each in brief.keywords) if words]
        self.stock = self._stocked()
        self.classes = self.rng.sample(CLASSES, len(CLASSES)) if self.language == "zh" else [_ANY] * len(CLASSES)

    def _pool(self, table: str) -> _Pool:
        couplets = list(read_couplets(table, self.language))
        if self.language == "en" and self.manner.plural:
            couplets = [each for each in couplets if not each.ends & NOT_AT_THE_END]
        self.rng.shuffle(couplets)
        return _Pool(couplets)

    def _stocked(self) -> _Stock:
        """Return the tables that this brief draws on, the most fitting first."""
        moods = find_moods(self.brief.mood, self.manner, self.theme.name)
        if self.language == "en":
            scenes = [self.theme.couplets_en, LIFE.couplets_en]
            feelings = [FEELINGS_EN[mood] for mood in moods]
            hooks, openings = en_frames.HOOKS, en_frames.OPENINGS
        elif self.manner.classical:
            scenes, feelings = [zh_classical.COUPLETS], []
            hooks, openings = zh_classical.HOOKS, zh_classical.OPENINGS
        else:
            scenes = [self.theme.couplets_zh, LIFE.couplets_zh]
            feelings = [FEELINGS_ZH[mood] for mood in moods]
            hooks, openings = zh_frames.HOOKS, zh_frames.OPENINGS
        if self.theme is LIFE:
            scenes = scenes[:1]
        return _Stock(
            self._pool(hooks), self._pool(openings), [self._pool(t) for t in scenes], [self._pool(t) for t in feelings]
        )

    def version(self, label: VersionLabel) -> LyricsVersion:
        """Return one version; B takes the rhymes of A in another order, so that both find enough."""
        form = self.manner.forms[label == "B"]
        first, hook, second, bridge = self.classes if label == "A" else [self.classes[place] for place in (1, 0, 3, 2)]
        chorus = self._chorus(hook, label)
        sections: list[LyricsSection] = []
        for place, initial in enumerate(form):
            verses = form[:place].count("V")
            if initial == "C":
                sections.append(chorus)
            elif initial == "B":
                sections.append(self._bridge(bridge))
            elif verses == 0:
                sections.append(self._first_verse(first, label))
            else:
                sections.append(self._second_verse(second) if verses == 1 else self._third_verse(bridge))
        return LyricsVersion(label, self._title(label, chorus), self.language, form, tuple(sections))

    def _first_verse(self, rhyme: str, label: VersionLabel) -> LyricsSection:
        """Open with the scene; for a theme without a table, and in B, with the person's own words."""
        stock = self.stock
        opens = [stock.openings] if label == "B" or self.theme is LIFE else stock.scenes
        return self._section("verse", rhyme, (opens, stock.scenes))

    def _second_verse(self, rhyme: str) -> LyricsSection:
        """Go on with the scene, or with a keyword when one was given."""
        stock = self.stock
        own = self.keywords.pop(0) if self.keywords else ""
        opens = [stock.openings] if own else stock.scenes
        return self._section("verse", rhyme, (opens, [*stock.scenes[:1], *stock.feelings, *stock.scenes[1:]]), own=own)

    def _third_verse(self, rhyme: str) -> LyricsSection:
        stock = self.stock
        return self._section("verse", rhyme, (stock.scenes, stock.scenes))

    def _chorus(self, rhyme: str, label: VersionLabel) -> LyricsSection:
        """Say the person's own words, then a scene in A and a feeling in B, or wherever the theme has no scenes."""
        stock = self.stock
        scenes_first = label == "A" and self.theme is not LIFE
        others = [*stock.scenes[:1], *stock.feelings] if scenes_first else [*stock.feelings, *stock.scenes[:1]]
        return self._section("chorus", rhyme, ([stock.hooks], others))

    def _bridge(self, rhyme: str) -> LyricsSection:
        """Turn to a feeling; a theme without scenes says its own words once more."""
        stock = self.stock
        opens = [stock.hooks] if self.theme is LIFE else stock.scenes
        return self._section("bridge", rhyme, (opens, [*stock.feelings, *stock.scenes]))

    def _section(
        self, kind: SectionKind, rhyme: str, sources: Iterable[Sequence[_Pool]], *, own: str = ""
    ) -> LyricsSection:
        """Return a section of one couplet from each source, all of one rhyme class and without a repeated end."""
        made: list[_Lines] = []
        ends: frozenset[str] = frozenset()
        for pools in sources:
            couplet = self._take(pools, rhyme, ends)
            # One class goes through a Chinese section; in an English one a second couplet of the same sound is dull.
            ends |= couplet.ends if self.language == "zh" else {couplet.rhyme}
            made.append(fill(couplet, own=own or self.own, plural=self.manner.plural, rng=self.rng))
        return LyricsSection(kind, tuple(lay_out(made, self.language, short=self.manner.short)))

    def _take(self, pools: Sequence[_Pool], rhyme: str, ends: frozenset[str]) -> Couplet:
        """Return a couplet from the first pool that has one; a repeated end is better than none."""
        every = [*pools, *self.stock.scenes, *self.stock.feelings, self.stock.openings]
        for avoid in (ends, frozenset[str]()):
            for pool in every:
                couplet = pool.take(rhyme, avoid)
                if couplet is not None:
                    return couplet
        raise LookupError(f"no couplet is left for {rhyme or self.language}")

    def _title(self, label: VersionLabel, chorus: LyricsSection) -> str:
        """Return the title: the person's own, else the theme for A and half a line of the chorus for B."""
        given = " ".join(self.brief.title.split())[:_LONGEST_TITLE]
        if clean(given):
            return given
        if label == "B" and (words := self._memorable(chorus)):
            return words
        told = own_words(clean(self.brief.theme), self.language, most=_LONGEST_TITLE_SYLLABLES)
        title = told if self.own in told else self.own
        return title if self.language == "zh" else title[0].upper() + title[1:]

    def _memorable(self, chorus: LyricsSection) -> str:
        """Return a half-line of the chorus that can stand alone, the last one that can, or an empty text."""
        if self.language == "zh":
            return chorus.lines[-1].split(" ")[-1]
        # Of the line before, half would be the beginning of something.
        halves = list(chorus.lines[-2:]) if self.manner.short else chorus.lines[-1].split(", ")
        alone = [half for half in halves if 2 <= len(half.split()) <= 5 and not _LEANING.fullmatch(half)]
        return alone[-1][0].upper() + alone[-1][1:] if alone else ""
