"""Vendors of songs: what each can do, what becomes of an order, and who may be asked next without paying twice."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ENGINE = "offline"
"""The name under which a list of makers holds the engine of our own, here or behind a URL."""


class Remedy(StrEnum):
    """What helps against an error of a vendor."""

    LATER = "later"
    """It passes by itself: another vendor is asked now, and this one again at the next attempt."""
    OTHER = "other"
    """This vendor will not take this order as it is; another one may."""
    OPERATOR = "operator"
    """Nothing helps until somebody mends a key, a balance or a session; another vendor may go on meanwhile."""
    USER = "user"
    """Whoever asked has to ask for something else."""


class TaskState(StrEnum):
    """What is known of an order to a vendor."""

    ASKED = "asked"
    """Written before the vendor is asked. Whoever finds it so after a crash cannot tell whether it was accepted."""
    ACCEPTED = "accepted"
    """The vendor works on it."""
    DELIVERED = "delivered"
    """Its songs are kept."""
    REFUSED = "refused"
    """The vendor said no, or was never reached: nothing was bought."""
    FAILED = "failed"
    """The vendor took it and says itself that it came to nothing."""
    LOST = "lost"
    """Nobody can say whether it was bought, or it was and what came is of no use."""
    STOPPED = "stopped"
    """Nobody waits for it any more, because the job was cancelled or its time is used up."""


_TAG = re.compile(r"\s*[\[【](?P<name>[^\]】]*)[\]】]\s*[:：]?\s*")
_TAGS = {
    tag: re.compile(rf"(?:{words})[\s\d一二三四]*", re.IGNORECASE)
    for tag, words in {
        "Intro": "intro|前奏",
        "Pre Chorus": r"pre[- ]?chorus|导歌",
        "Post Chorus": r"post[- ]?chorus",
        "Verse": "verse|主歌|rap|第?[一二三1-3]?段",
        "Chorus": "chorus|副歌|refrain",
        "Hook": "hook",
        "Bridge": "bridge|桥段|过渡",
        "Interlude": "interlude|间奏",
        "Inst": "inst|instrumental",
        "Solo": "solo",
        "Outro": "outro|ending|尾奏|尾声",
    }.items()
}

_MAYBE_BOUGHT = frozenset({TaskState.ASKED, TaskState.ACCEPTED, TaskState.DELIVERED, TaskState.LOST, TaskState.STOPPED})


@dataclass(frozen=True, kw_only=True)
class VendorTask:
    """One order to one vendor for one job; `labels` are the variants that it is to give.

    `offer` is what its vendor handed over when it answered with the songs at once: where they lie. `songs` is what is
    kept of each label once it is delivered.
    """

    vendor_task_id: str
    job_id: str
    vendor: str
    labels: str
    paid: bool
    state: TaskState
    task_id: str
    code: str
    remedy: str
    offer: list[dict[str, Any]]
    songs: dict[str, Any]
    lease_token: int
    create_time: datetime
    accept_time: datetime | None
    finish_time: datetime | None

    @property
    def maybe_bought(self) -> bool:
        """Whether money may have been spent on it."""
        return self.paid and self.state in _MAYBE_BOUGHT


@dataclass(frozen=True, kw_only=True)
class Capability:
    """What a vendor can do; lengths are in characters, 0 means none."""

    paid: bool
    """Every order costs money; what runs on our own machines does not."""
    songs: int
    """Songs that one order gives: 1 or 2."""
    follows_tune: bool = False
    """Takes a recording and keeps its tune."""
    sings: bool = True
    instrumental: bool = True
    voices: frozenset[str] = frozenset()
    """Voices that can be asked for; another wish is left out, not refused."""
    longest_lyrics: int = 3000
    longest_style: int = 200
    longest_title: int = 80
    longest_s: int = 240
    cost_usd: float = 0.0
    """What an order costs, as far as the operator has told it."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an order asks of a vendor."""

    has_tune: bool
    lyrics: str
    duration_s: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Within which a vendor's song is one, and how long is waited for it."""

    shortest_s: float = 10.0
    longest_s: float = 600.0
    quietest_lufs: float = -50.0
    """Under it nobody hears anything."""
    missing_share: float = 0.05
    """Of the length a vendor names, and at least a second, may be missing before a file counts as cut off."""
    wait: timedelta = timedelta(seconds=300)


def with_tags(lyrics: str) -> str:
    """Return words whose sections are named as every vendor understands: `[Verse]`, not `【主歌】` or `[verse 2]`.

    A line in brackets that names no section known to us is left out, because some vendors sing it.
    """
    lines = []
    for line in lyrics.splitlines():
        found = _TAG.fullmatch(line)
        if found is None:
            lines.append(line)
            continue
        name = next((tag for tag, known in _TAGS.items() if known.fullmatch(found["name"].strip())), "")
        if name:
            lines.append(f"[{name}]")
    return "\n".join(lines)


def able(capability: Capability, wanted: Wanted) -> bool:
    """Return whether a vendor can make what is wanted."""
    if wanted.has_tune and not capability.follows_tune:
        return False
    if wanted.lyrics:
        return capability.sings and len(wanted.lyrics) <= capability.longest_lyrics
    return capability.instrumental


def may_ask(name: str, missing: str, *, paid: bool, tasks: Iterable[VendorTask], twice: bool) -> bool:
    """Return whether a maker may be sent an order for the missing variants, after what became of the orders so far.

    The rule: while a paid vendor may have taken the order, no other paid vendor is sent it, and it itself only for
    variants that it cannot have made; what costs nothing may always take over. `twice` is the operator's leave to pay
    another vendor all the same. A vendor that will not take the order, or waits for an operator, is not asked again
    in this job.
    """
    tasks = tuple(tasks)
    if any(task.vendor == name and task.remedy in {Remedy.OTHER, Remedy.OPERATOR} for task in tasks):
        return False
    if not paid:
        return True
    spent = [task for task in tasks if task.maybe_bought]
    own = [task for task in spent if task.vendor == name]
    if any(set(task.labels) & set(missing) for task in own):
        return False
    return twice or len(own) == len(spent)


def since(start: datetime | None, tasks: Iterable[VendorTask]) -> list[VendorTask]:
    """Return the orders as they bind a job that began at *start*.

    An administrator who puts a job back has mended what a vendor waited for, so that what it said before binds nobody
    any more; what may have been bought then, may have been bought.
    """
    return [replace(task, remedy="") if start and task.create_time < start else task for task in tasks]


def delivered(tasks: Iterable[VendorTask]) -> dict[str, Any]:
    """Return what is kept of each variant that a vendor has delivered."""
    return {label: kept for task in tasks for label, kept in task.songs.items() if task.state is TaskState.DELIVERED}


def is_late(task: VendorTask, now: datetime, limits: Limits) -> bool:
    """Return whether the vendor has had its time; a vendor that loses orders says nothing for ever."""
    return now - (task.accept_time or task.create_time) > limits.wait


def flaw(measured: Mapping[str, Any], promised_s: float, limits: Limits) -> str:
    """Return why a song that came does not count, or nothing: unreadable, cut, silent, short or long.

    `promised_s` is the length its vendor names, 0 when it names none.
    """
    if measured.get("fault"):
        return str(measured["fault"])
    length_s = measured["duration_ms"] / 1000
    if measured["loudness_lufs"] < limits.quietest_lufs:
        return "silent"
    if promised_s - length_s > max(1.0, limits.missing_share * promised_s):
        return "cut"
    if length_s < limits.shortest_s:
        return "short"
    return "long" if length_s > limits.longest_s else ""


_MILESTONES = (30, 50, 70)
"""What somebody who asks for the progress of a vendor's song reads while it is being made."""
FIRST, LAST = 10, 70


def milestone(percent: float) -> int:
    """Return the share of the step that shows as one of the milestones 30, 50 and 70, never beyond the real percent.

    The step itself goes from 10 to 70 percent of the job.
    """
    reached = max((stone for stone in _MILESTONES if FIRST + percent * (LAST - FIRST) / 100 >= stone), default=30)
    return -(-(reached - FIRST) * 100 // (LAST - FIRST))
