"""Two users that are one person: which of the two stays, and until when what may be done."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.auth.domain.user import Provider
from services.kit.errors import BusinessRule

OFFER_LIFE = timedelta(minutes=15)
UNDO_LIFE = timedelta(days=7)
# Every new user is given credits, so nobody may take in users without end.
MOST_TAKEN_IN = 3
WITHIN = timedelta(days=30)


class MergeState(StrEnum):
    """How far a merge has come."""

    OFFERED = "offered"
    RUNNING = "running"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"


@dataclass(frozen=True)
class Merge:
    """One merge; `asked_by` is the user who proved both accounts theirs, `source_id` the one that goes."""

    merge_id: str
    asked_by: str
    source_id: str
    target_id: str
    state: MergeState
    offer_expire_time: datetime
    confirm_time: datetime | None = None
    identity_ids: tuple[str, ...] = ()

    @property
    def undo_expire_time(self) -> datetime | None:
        """Return until when it may be undone; None before it was confirmed."""
        return None if self.confirm_time is None else self.confirm_time + UNDO_LIFE


def roles(asked_by: str, ways: Collection[Provider], other: str) -> tuple[str, str]:
    """Return who goes and who stays: the asker stays, unless all they have is a browser that nobody knows."""
    anonymous = all(way is Provider.WEB for way in ways)
    return (asked_by, other) if anonymous else (other, asked_by)


def require_confirmable(merge: Merge, at: datetime) -> None:
    """Raise BusinessRule unless the offer stands."""
    if merge.state is not MergeState.OFFERED or at >= merge.offer_expire_time:
        raise BusinessRule("the offer does not stand any more", state=merge.state.value)


def require_undoable(merge: Merge, at: datetime) -> None:
    """Raise BusinessRule unless the merge may still be undone."""
    ends = merge.undo_expire_time
    if merge.state not in {MergeState.RUNNING, MergeState.DONE} or ends is None or at >= ends:
        raise BusinessRule("the merge cannot be undone any more", state=merge.state.value)
