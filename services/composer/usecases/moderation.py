"""Moderation: what is refused before it costs anything, and what is looked at before others see it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.composer.domain.errors import TrackNotFound
from services.composer.domain.moderation import (
    Appeal,
    ContentRejected,
    Finding,
    Part,
    Standing,
    digest_of,
    standing_of,
    worst,
)
from services.composer.domain.track import TrackState, clean_text
from services.composer.storage import moderation as storage
from services.composer.storage import track as tracks
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.errors import BusinessRule, ParamInvalid, PermissionDenied, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.composer.domain.moderation import SoundVerdict
    from services.composer.domain.track import Track
    from services.composer.domain.word_list import WordList
    from services.composer.providers import SoundCheck, VerdictPush, WordCheck
    from services.composer.usecases.address import Addresses
    from services.kit.clock import Clock
    from services.kit.db.engine import Database

_log = logging.getLogger(__name__)

WORD_LIST = "word_list"
PERSON = "person"
_ROUNDS = 3


@dataclass(frozen=True)
class Judged:
    """A track with what was found in it and what its owner says against it."""

    track: Track
    findings: Sequence[Finding]
    appeal: Appeal | None


class Moderation:
    """The rules for content, applied to songs."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        words: WordList,
        checks: Sequence[WordCheck] = (),
        sound: SoundCheck | None = None,
        addresses: Addresses | None = None,
        push: VerdictPush | None = None,
    ) -> None:
        """Judge words by the list and the checks, sounds by *sound* at their *addresses*; *push* reads its verdicts."""
        self._db = db
        self._clock = clock
        self._words = words
        self._checks = checks
        self._sound = sound
        self._addresses = addresses
        self._push = push

    async def admit(self, user_id: str, **fields: str) -> None:
        """Return when nothing speaks against making something of these words.

        Raises ContentRejected with the field's name. A checker that is away is no reason to refuse: what is made is
        seen by its owner alone, and is looked at again before anybody else sees it.
        """
        for name, text in fields.items():
            hit = self._words.find(text)
            if hit is not None and hit.standing is Standing.RISKY:
                raise ContentRejected("the rules for content do not allow these words", field=name, source=WORD_LIST)
        text = "\n".join(filter(None, fields.values()))
        for check in self._checks if text else ():
            try:
                found = await check.judge(user_id, "", text)
            except Unavailable:
                _log.warning("words could not be checked by %s before they are used", check.name)
                continue
            if found is not None and found.standing is Standing.RISKY:
                raise ContentRejected("the rules for content do not allow these words", source=check.name)

    async def judged(self, track: Track) -> Track:
        """Return the track with where it stands, looked at now if nobody has looked at these words yet.

        Raises Unavailable when a checker is away that has to look first.
        """
        for _ in range(_ROUNDS):
            if track.standing is not Standing.UNCHECKED:
                return track
            words = await self._look(track)
            sound = await self._listen(track)
            async with self._db.transaction() as tx:
                now = await tracks.find(tx, track.track_id, lock="update")
                if now is None:
                    raise TrackNotFound("no such track", kind="track", id=track.track_id)
                if digest_of(now.title, now.lyrics) == words.digest:
                    for finding in filter(None, (words, sound)):
                        await storage.keep(tx, track.track_id, finding, self._clock())
                    return await self.settle(tx, now)
            track = now  # its words were changed meanwhile
        raise Unavailable("the words change faster than they can be looked at", retry_after_s=1)

    async def settle(self, tx: AsyncConnection, track: Track) -> Track:
        """Return the track with where it stands by all findings on its present words, written."""
        found = (await storage.findings_of(tx, [track.track_id]))[track.track_id]
        standing = standing_of(found, digest_of(track.title, track.lyrics))
        if standing is not track.standing:
            await storage.stand(tx, track.track_id, standing)
        return replace(track, standing=standing)

    async def pushed(self, query: Mapping[str, str], body: bytes) -> str:
        """Return what a checker of sounds that has pushed something wants to hear, its verdict written.

        Raises PermissionDenied for what is not the checker's, and where there is none; Unavailable for a verdict that
        nobody waits for, because it may be faster than what it answers, and the checker says it again. Repeats change
        nothing.
        """
        if self._push is None:
            raise PermissionDenied("nothing is expected here")
        answer, verdict = self._push.read(query, body)
        if verdict is not None:
            await self._hear(verdict)
        return answer

    async def _hear(self, verdict: SoundVerdict) -> None:
        async with self._db.transaction() as tx:
            track_id = await storage.track_of(tx, verdict.reference)
            track = await tracks.find(tx, track_id, lock="update") if track_id else None
            if track is None:
                raise Unavailable("nobody waits for this verdict yet", retry_after_s=1)
            finding = Finding(
                part=Part.SOUND,
                standing=verdict.standing,
                source=verdict.source,
                label=verdict.label,
                reference=verdict.reference,
            )
            await storage.keep(tx, track.track_id, finding, self._clock())
            track = await self.settle(tx, track)
        _log.info("a verdict on a sound came", extra={"track_id": track_id, "standing": track.standing.value})

    async def appeal(self, user_id: str, track_id: str, message: str) -> Judged:
        """Return the track with the appeal written; raises TrackNotFound, BusinessRule where there is no need of it."""
        said = clean_text(message)
        if not said:
            raise ParamInvalid.of("message", "must not be empty")
        async with self._db.transaction() as tx:
            track = _found(await tracks.find(tx, track_id, user_id=user_id, lock="update"), track_id)
            if track.standing not in {Standing.REVIEW, Standing.RISKY}:
                raise BusinessRule("nothing speaks against showing this song", standing=track.standing.value)
            appeal = Appeal(track_id=track_id, user_id=user_id, message=said, create_time=self._clock())
            await storage.add_appeal(tx, appeal)
            return await self._whole(tx, track)

    async def of(self, user_id: str, track_id: str) -> Judged:
        """Return what is known about one of the user's tracks; raises TrackNotFound."""
        async with self._db.transaction() as tx:
            return await self._whole(tx, _found(await tracks.find(tx, track_id, user_id=user_id), track_id))

    async def waiting(self, *, page_size: int, page_token: str) -> tuple[list[Judged], str]:
        """Return a page of the tracks that wait for a person, newest first, and the token of the next page or ''."""
        before, size = decode_id(page_token), clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            ids = await storage.waiting(tx, before=before, size=size + 1)
            found = {track.track_id: track for track in await tracks.find_many(tx, ids[:size])}
            findings, appeals = await storage.findings_of(tx, ids), await storage.appeals_of(tx, ids)
        page = [Judged(found[each], findings[each], appeals.get(each)) for each in ids[:size] if each in found]
        return page, encode_token(ids[size - 1]) if len(ids) > size else ""

    async def decide(self, operator_id: str, track_id: str, standing: Standing, note: str) -> Judged:
        """Return the track as it stands by a person's word; raises TrackNotFound. An open appeal is answered by it."""
        now = self._clock()
        async with self._db.transaction() as tx:
            track = _found(await tracks.find(tx, track_id, lock="update"), track_id)
            digest = digest_of(track.title, track.lyrics)
            finding = Finding(part=Part.PERSON, standing=standing, source=PERSON, label=clean_text(note), digest=digest)
            await storage.keep(tx, track_id, finding, now)
            await storage.answer_appeal(tx, track_id, standing, now)
            judged = await self._whole(tx, await self.settle(tx, track))
        facts = {"track_id": track_id, "standing": standing.value, "operator_id": operator_id}
        _log.info("a person has decided about a song", extra=facts)
        return judged

    async def _whole(self, tx: AsyncConnection, track: Track) -> Judged:
        found = await storage.findings_of(tx, [track.track_id])
        appeals = await storage.appeals_of(tx, [track.track_id])
        return Judged(track, found[track.track_id], appeals.get(track.track_id))

    async def _look(self, track: Track) -> Finding:
        """Return the gravest that is found in title and words; raises Unavailable when a checker is away."""
        digest = digest_of(track.title, track.lyrics)
        hit = self._words.find(f"{track.title}\n{track.lyrics}")
        found = [
            Finding(
                part=Part.WORDS,
                standing=hit.standing if hit else Standing.PASS,
                source=WORD_LIST,
                label=hit.word if hit else "",
                digest=digest,
            )
        ]
        # What is refused already needs nobody's second opinion.
        for check in self._checks if found[0].standing is not Standing.RISKY else ():
            judgement = await check.judge(track.user_id, track.title, track.lyrics)
            if judgement is not None:
                found.append(replace(found[0], standing=judgement.standing, source=check.name, label=judgement.label))
        gravest = worst(each.standing for each in found)
        return next(each for each in reversed(found) if each.standing is gravest)

    async def _listen(self, track: Track) -> Finding | None:
        """Return the finding that stands until the verdict on the sound comes, None when nobody judges sounds."""
        if self._sound is None or self._addresses is None or track.state is not TrackState.READY:
            return None
        async with self._db.transaction() as tx:
            known = (await storage.findings_of(tx, [track.track_id]))[track.track_id]
        if any(each.part is Part.SOUND for each in known):
            return None
        addresses = await self._addresses.of([track])
        sounding = [addresses[each.asset_id].url for each in track.variants if each.asset_id in addresses]
        reference = await self._sound.ask(track.user_id, sounding[0]) if sounding else None
        if reference is None:
            return None
        return Finding(part=Part.SOUND, standing=Standing.PENDING, source=self._sound.name, reference=reference)


def _found(track: Track | None, track_id: str) -> Track:
    if track is None:
        raise TrackNotFound("no such track", kind="track", id=track_id)
    return track
