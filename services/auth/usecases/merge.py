"""Two users become one: shown first, then moved service by service until nothing is left, and back on request.

The saga is one row with a state and one message in the outbox. Each service moves what it has in a transaction of its
own and notes what it moved, so that every step can be repeated and a step of a merge that was undone does nothing. The
message is repeated until a round has moved nothing and no credits of the one that goes are set aside any more: jobs
that were running go on making things in its name until they end.
"""

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain import merge as rules
from services.auth.domain.errors import LastIdentity
from services.auth.domain.merge import Merge, MergeState
from services.auth.domain.notification import Kind
from services.auth.domain.session import Origin
from services.auth.domain.user import Identity, User
from services.auth.storage import merge as storage
from services.auth.storage import user as user_storage
from services.auth.storage.tables import outbox
from services.auth.usecases.estate import Estates, Holdings
from services.auth.usecases.notification import Notices
from services.auth.usecases.session import Sessions, Tokens
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import BusinessRule, NotFound
from services.kit.ids import new_id
from services.kit.jobs.postgres_outbox import PostgresOutbox

_log = logging.getLogger(__name__)

MERGE: Final = "merge"
UNMERGE: Final = "unmerge"
_ROUNDS: Final = 2
_CAUSE: Final = "merged"  # of the end of the sessions


class _StillMoving(Exception):
    """Something was moved or is still to come; the outbox is to ask again."""


@dataclass(frozen=True)
class Preview:
    """A merge and what both sides have."""

    merge: Merge
    source: Holdings
    target: Holdings


class Offers:
    """Offers to merge, made where somebody proves that another account is theirs."""

    def __init__(self, clock: Clock) -> None:
        """Keep the clock."""
        self._clock = clock

    async def make(self, tx: AsyncConnection, user_id: str, ways: list[Identity], other: User) -> str:
        """Return the id of an offer to make one user of two, empty when they may not become one."""
        at = self._clock()
        source, target = rules.roles(user_id, [each.provider for each in ways], other.user_id)
        taken_in = await storage.count_taken_in(tx, target, since=at - rules.WITHIN)
        if not _may_merge(other) or taken_in >= rules.MOST_TAKEN_IN:
            return ""
        merge = Merge(new_id(), user_id, source, target, MergeState.OFFERED, at + rules.OFFER_LIFE)
        await storage.add(tx, merge, at=at)
        return merge.merge_id


class Merges:
    """All merges."""

    def __init__(self, db: Database, sessions: Sessions, estates: Estates, clock: Clock, *, notices: Notices) -> None:
        """Keep the collaborators."""
        self._notices = notices
        self._db = db
        self._sessions = sessions
        self._estates = estates
        self._clock = clock
        self._outbox = PostgresOutbox(outbox)

    async def preview(self, user_id: str, merge_id: str) -> Preview:
        """Return a merge of this person's and what both sides have now; NotFound."""
        async with self._db.transaction() as tx:
            merge = _of(user_id, await storage.get(tx, merge_id))
            ways = [len(await user_storage.list_identities(tx, each)) for each in (merge.source_id, merge.target_id)]
        source, target = await asyncio.gather(
            self._estates.count(merge.source_id), self._estates.count(merge.target_id)
        )
        return Preview(merge, replace(source, identities=ways[0]), replace(target, identities=ways[1]))

    async def confirm(
        self, user_id: str, merge_id: str, origin: Origin, *, english: bool = False
    ) -> tuple[Merge, Tokens | None]:
        """Make one user of two; return the merge, and a session of the one that stays for who was the one that goes.

        Raises NotFound, and BusinessRule when the offer does not stand or a wallet is frozen.
        """
        found = await self.preview(user_id, merge_id)
        if found.source.frozen or found.target.frozen:
            raise BusinessRule("a wallet is frozen", cause="frozen")
        signer, at, opened = await self._sessions.signer(), self._clock(), None
        async with self._db.transaction() as tx:
            merge = _asked(user_id, await storage.get(tx, merge_id, locked=True))
            if merge.state in {MergeState.RUNNING, MergeState.DONE}:
                return merge, None
            rules.require_confirmable(merge, at)
            source, target = await self._lock_both(tx, merge)
            if not (_may_merge(source) and _may_merge(target)):
                raise BusinessRule("one of the two cannot be merged")
            # Both hear of it, each in the mailbox they have: whoever did this may be none of the two.
            for each in (source, target):
                await self._notices.tell(
                    tx, Kind.MERGED, each.user_id, origin, english=english, until=at + rules.UNDO_LIFE
                )
            moved = await storage.move_identities(tx, source=source.user_id, target=target.user_id, at=at)
            await storage.set_merged(tx, source.user_id, target.user_id, at=at)
            ended = await self._sessions.promise_ends(tx, source.user_id, cause=_CAUSE)
            merge = replace(merge, state=MergeState.RUNNING, confirm_time=at, identity_ids=tuple(moved))
            await storage.put(tx, merge, at=at)
            await self._outbox.put(tx, MERGE, {"merge_id": merge_id}, key=merge_id)
            if user_id == source.user_id and moved:
                opened = await self._sessions.open(tx, target, origin, identity_id=moved[0])
        await self._sessions.publish_ends(ended)
        return merge, None if opened is None else self._sessions.signed(opened, signer)

    async def undo(
        self, user_id: str, session_id: str, merge_id: str, *, origin: Origin, english: bool = False
    ) -> Merge:
        """Make two users again; raises NotFound, BusinessRule after seven days, LastIdentity."""
        at, ended = self._clock(), []
        async with self._db.transaction() as tx:
            merge = await storage.get(tx, merge_id, locked=True)
            if merge is None or merge.target_id != user_id:
                raise NotFound("there is no such merge", merge_id=merge_id)
            if merge.state in {MergeState.UNDOING, MergeState.UNDONE}:
                return merge
            rules.require_undoable(merge, at)
            await self._lock_both(tx, merge)
            own = {each.identity_id for each, _ in await user_storage.list_identities(tx, user_id)}
            if own <= set(merge.identity_ids):
                raise LastIdentity("no way to log in would be left")
            for identity_id in merge.identity_ids:
                ended += await self._sessions.promise_ends(
                    tx, user_id, cause=_CAUSE, but=session_id, identity_id=identity_id
                )
            await storage.move_identities(tx, source=user_id, target=merge.source_id, at=at, only=merge.identity_ids)
            await storage.set_merged(tx, merge.source_id, None, at=at)
            merge = replace(merge, state=MergeState.UNDOING)
            await storage.put(tx, merge, at=at)
            await self._outbox.put(tx, UNMERGE, {"merge_id": merge_id}, key=merge_id)
            for each in (merge.source_id, merge.target_id):
                await self._notices.tell(tx, Kind.UNMERGED, each, origin, english=english)
        await self._sessions.publish_ends(ended)
        return merge

    async def move(self, payload: dict[str, Any]) -> None:
        """Move what there is to move; raises while there may be more, as outbox handlers do."""
        merge = await self._read(payload["merge_id"])
        if merge is None or merge.state is not MergeState.RUNNING:
            return
        # The second round usually finds nothing, which is what says that all is done.
        for _ in range(_ROUNDS):
            if not await self._estates.move(merge):
                break
        else:
            raise _StillMoving("there may be more to move")
        async with self._db.transaction() as tx:
            await storage.advance(
                tx, merge.merge_id, source=MergeState.RUNNING, target=MergeState.DONE, at=self._clock()
            )

    async def move_back(self, payload: dict[str, Any]) -> None:
        """Give back what was moved; raises when a service is away, as outbox handlers do."""
        merge = await self._read(payload["merge_id"])
        if merge is None or merge.state is not MergeState.UNDOING:
            return
        await self._estates.undo(merge)
        async with self._db.transaction() as tx:
            await storage.advance(
                tx, merge.merge_id, source=MergeState.UNDOING, target=MergeState.UNDONE, at=self._clock()
            )

    async def _read(self, merge_id: str) -> Merge | None:
        async with self._db.transaction() as tx:
            return await storage.get(tx, merge_id)

    async def _lock_both(self, tx: AsyncConnection, merge: Merge) -> tuple[User, User]:
        """Return who goes and who stays, both locked, in one order whichever is which."""
        found = {each: await user_storage.lock(tx, each) for each in sorted((merge.source_id, merge.target_id))}
        source, target = found[merge.source_id], found[merge.target_id]
        if source is None or target is None:
            raise NotFound("one of the two is gone")
        return source, target


def _may_merge(user: User) -> bool:
    return not (user.merged or user.disabled or user.erased or user.erase_time)


def _of(user_id: str, merge: Merge | None) -> Merge:
    """Return a merge that this person may see; NotFound."""
    if merge is None or user_id not in {merge.asked_by, merge.target_id if merge.confirm_time else merge.asked_by}:
        raise NotFound("there is no such merge")
    return merge


def _asked(user_id: str, merge: Merge | None) -> Merge:
    """Return a merge that this person asked for; NotFound."""
    if merge is None or merge.asked_by != user_id:
        raise NotFound("there is no such merge")
    return merge
