"""Notices: told in the transaction of what they speak of, in the inbox and by letter, and read by their owner."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.device import device_name
from services.auth.domain.notification import KEPT, MOST_KEPT, SECURITY, Kind, Notice, Preferences
from services.auth.domain.session import Origin
from services.auth.domain.user import About, Identity
from services.auth.domain.zone import spoken
from services.auth.storage import notification as storage
from services.auth.storage import user as user_storage
from services.auth.usecases.identity import Identities
from services.auth.usecases.message import Messages
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.errors import NotFound
from services.kit.ids import new_id


class Notices:
    """All notices."""

    def __init__(self, db: Database, identities: Identities, messages: Messages, clock: Clock) -> None:
        """Keep the collaborators."""
        self._db = db
        self._identities = identities
        self._messages = messages
        self._clock = clock

    async def tell(
        self, tx: AsyncConnection, kind: Kind, user_id: str, origin: Origin, *, english: bool,
        about: Identity | None = None, until: datetime | None = None,
    ) -> None:  # fmt: skip
        """Tell the owner of an account what just happened to it, or happens: in the inbox, and by letter.

        The letter goes to the mailbox the account has now, so what takes that away or brings another one comes after.
        """
        person, at = await user_storage.about(tx, user_id), self._clock()
        facts = {"device": device_name(origin.agent) or origin.platform, "address": origin.address}
        if about is not None:
            facts |= {"provider": about.provider.value, "label": about.label}
        if until is not None:
            facts["until"] = until.isoformat()
        if kind in SECURITY:
            await storage.add(tx, user_id, Notice(new_id(), kind, facts, at), most=MOST_KEPT)
        await self._write(tx, kind, user_id, {**facts, "time": at.isoformat()}, person=person, english=english)

    async def song(self, user_id: str, kind: Kind, *, subject_id: str, name: str) -> None:
        """Tell somebody once, by the ways they wish, what became of a song; nobody when the account is gone."""
        at = self._clock()
        async with self._db.transaction() as tx:
            user = await user_storage.get(tx, user_id)
            if user is not None and user.merged_into:
                user = await user_storage.get(tx, user.merged_into)
            if user is None or user.erased:
                return
            wishes = await storage.preferences_of(tx, user.user_id)
            notice = Notice(new_id(), kind, {"name": name}, at, subject_id)
            told = await storage.add(tx, user.user_id, notice, most=MOST_KEPT, shown=wishes.songs_in_inbox)
            if told and wishes.songs_by_mail:
                person = await user_storage.about(tx, user.user_id)
                await self._write(tx, kind, user.user_id, {"name": name}, person=person, english=False)

    async def page(
        self, user_id: str, *, page_size: int, page_token: str, unread_only: bool = False
    ) -> tuple[list[Notice], str, int]:
        """Return one page of a person's notices, the newest first, the token of the next or "", and the unread in all.

        Raises ParamInvalid. Moments in them are as the person tells time.
        """
        size, before = clamp_page_size(page_size), decode_id(page_token)
        async with self._db.transaction() as tx:
            found = await storage.page(tx, user_id, before=before, most=size + 1, unread_only=unread_only)
            unread = await storage.count_unread(tx, user_id)
            zone = (await user_storage.about(tx, user_id)).time_zone
        more = encode_token(found[size - 1].notification_id) if len(found) > size else ""
        return [_in_zone(each, zone) for each in found[:size]], more, unread

    async def read(self, user_id: str, notification_id: str) -> int:
        """Note that a person read one notice; return how many are left unread; NotFound for one that is not theirs."""
        async with self._db.transaction() as tx:
            if not await storage.exists(tx, user_id, notification_id):
                raise NotFound("there is no such notice", notification_id=notification_id)
            await storage.read(tx, user_id, notification_id=notification_id, at=self._clock())
            return await storage.count_unread(tx, user_id)

    async def read_all(self, user_id: str) -> int:
        """Note that a person read all their notices; return how many were unread."""
        async with self._db.transaction() as tx:
            return await storage.read(tx, user_id, at=self._clock())

    async def preferences(self, user_id: str) -> Preferences:
        """Return by which ways a person hears of songs."""
        async with self._db.transaction() as tx:
            return await storage.preferences_of(tx, user_id)

    async def prefer(self, user_id: str, **wished: bool) -> Preferences:
        """Change by which ways a person hears of songs, and return all of it; what is not named stays."""
        async with self._db.transaction() as tx:
            if wished:
                await storage.set_preferences(tx, user_id, at=self._clock(), **wished)
            return await storage.preferences_of(tx, user_id)

    async def purge(self) -> int:
        """Return how many notices of more than half a year ago were removed."""
        async with self._db.transaction() as tx:
            return await storage.purge(tx, before=self._clock() - KEPT)

    async def _write(
        self, tx: AsyncConnection, kind: Kind, user_id: str, facts: dict[str, str], *, person: About, english: bool
    ) -> None:
        """Promise a letter to a person who has a mailbox, in their own language and time if they chose any."""
        mailbox = await self._identities.mailbox_of(tx, user_id)
        if mailbox:
            told = {name: _spoken(name, value, person.time_zone) for name, value in facts.items()}
            await self._messages.promise_letter(
                tx, kind, mailbox, message_id=new_id(), user_id=user_id, facts=told,
                english=person.language == "en" if person.language else english,
            )  # fmt: skip


def _in_zone(notice: Notice, zone: str) -> Notice:
    facts: dict[str, Any] = {name: _spoken(name, value, zone) for name, value in notice.facts.items()}
    return Notice(notice.notification_id, notice.kind, facts, notice.create_time, notice.subject_id, read=notice.read)


def _spoken(name: str, value: str, zone: str) -> str:
    return spoken(datetime.fromisoformat(value), zone) if name in {"time", "until"} and value else value
