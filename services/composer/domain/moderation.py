"""What may be shown to others: findings on a song's words and sound, and where the song stands because of them.

A song is judged in parts. Its words are judged anew whenever they change; its sound once; a person's word stands above
both for as long as the words stay as they were when it was said. The worst finding decides. What nobody could judge yet
is no pass: nothing becomes public because a checker was away.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.kit.errors import BusinessRule


class ContentRejected(BusinessRule):
    """The rules for content forbid it."""

    reason = "CONTENT_REJECTED"


class ContentInReview(BusinessRule):
    """A person has to look at it before others may see it."""

    reason = "CONTENT_IN_REVIEW"


class Part(StrEnum):
    """What a finding is about."""

    WORDS = "words"
    SOUND = "sound"
    PERSON = "person"  # of the whole, by whoever decides in the end


class Standing(StrEnum):
    """Where a song stands."""

    UNCHECKED = "unchecked"
    PENDING = "pending"  # the words pass, a verdict on the sound is on its way
    PASS = "pass"  # noqa: S105  # no password
    REVIEW = "review"
    RISKY = "risky"


_BY_GRAVITY = (Standing.RISKY, Standing.REVIEW, Standing.UNCHECKED, Standing.PENDING, Standing.PASS)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one checker found in one part.

    `source` is who found it (`word_list`, `wechat`, `model`, `person`), `label` what, in its words; `digest` says of
    which title and words it was found, empty for a sound; `reference` is what a verdict that comes later is known by.
    """

    part: Part
    standing: Standing
    source: str
    label: str = ""
    digest: str = ""
    reference: str = ""
    update_time: datetime | None = None


@dataclass(frozen=True)
class SoundVerdict:
    """A verdict that came later: by which reference it was asked for, of whom, and what was found."""

    reference: str
    source: str
    standing: Standing
    label: str


@dataclass(frozen=True, kw_only=True)
class Appeal:
    """What a person said against a finding, and what was decided upon it."""

    track_id: str
    user_id: str
    message: str
    create_time: datetime
    decision: Standing | None = None
    decide_time: datetime | None = None


def digest_of(title: str, lyrics: str) -> str:
    """Return what stands for these words in findings."""
    return hashlib.sha256(f"{title}\0{lyrics}".encode()).hexdigest()


def worst(standings: Iterable[Standing]) -> Standing:
    """Return the gravest; unchecked when there is none."""
    found = set(standings) or {Standing.UNCHECKED}
    return next(each for each in _BY_GRAVITY if each in found)


def standing_of(findings: Iterable[Finding], digest: str) -> Standing:
    """Return where a song of these words stands.

    A finding on other words than these counts for nothing, a person's as well.
    """
    of = {each.part: each for each in findings if each.part is Part.SOUND or each.digest == digest}
    if Part.PERSON in of:
        return of[Part.PERSON].standing
    words = of[Part.WORDS].standing if Part.WORDS in of else Standing.UNCHECKED
    return worst([words, of[Part.SOUND].standing] if Part.SOUND in of else [words])


def require_shareable(standing: Standing) -> None:
    """Raise ContentRejected or ContentInReview unless a song that stands so may be shown to whoever has its link."""
    if standing is Standing.RISKY:
        raise ContentRejected("the rules for content do not allow this song to be shown", standing=standing.value)
    if standing in {Standing.REVIEW, Standing.UNCHECKED}:
        raise ContentInReview("somebody has to look at this song before it is shown", standing=standing.value)
