"""What Share does: makes codes, shows what they stand for, calls them back."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from cadenza.composer.v1.standing_pb2 import (
    STANDING_PASS,
    STANDING_PENDING,
    STANDING_RISKY,
    STANDING_UNSPECIFIED,
)
from cadenza.composer.v1.sung_line_pb2 import SungLine
from cadenza.composer.v1.track_service_pb2 import ResolveTrackRequest, Track
from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.errors import ParamInvalid, RateLimited, RemoteError
from services.kit.ids import new_id
from services.kit.passwords import Passwords
from services.kit.rpc.errors import calling
from services.share.domain import share as domain
from services.share.domain.play import is_program
from services.share.domain.share import (
    GUESS_WINDOW,
    ContentInReview,
    ContentRejected,
    Line,
    Share,
    ShareNotAllowed,
    ShareNotFound,
    SharePasswordWrong,
    Shown,
    State,
    Syllable,
    Terms,
    Variant,
)
from services.share.storage import share as storage

if TYPE_CHECKING:
    # The name exists for the type checker only.
    from cadenza.composer.v1.track_service_pb2_grpc import TrackServiceAsyncStub

COMPOSER_S = 5.0
_DRAWS = 3
# A Composer that knows nothing of standings says nothing.
LISTABLE = frozenset({STANDING_UNSPECIFIED, STANDING_PASS})
_SHAREABLE = LISTABLE | {STANDING_PENDING}


class Shares:
    """The shares of all users."""

    def __init__(self, db: Database, tracks: "TrackServiceAsyncStub", clock: Clock, *, passwords: Passwords) -> None:
        """Use the collaborators; `tracks` describes what is shared."""
        self._db = db
        self._tracks = tracks
        self._clock = clock
        self._passwords = passwords

    async def create(self, user_id: str, track_id: str, terms: Terms) -> Share:
        """Return the person's valid share of their track under these terms; the same track keeps its code.

        Raises NotFound for a track that is not theirs, ShareNotAllowed for one that cannot be heard yet, and
        ContentRejected or ContentInReview for one that the rules for content, or an administrator, keep from others.
        """
        track = await self._track(track_id, user_id)
        _require_standing(track, _SHAREABLE)
        if heard_in(track) is None:
            message = "only a track that can be heard can be shared"
            raise ShareNotAllowed(message, track_id=track_id, state=Track.State.Name(track.state))
        values = await self._values(terms)
        for _ in range(_DRAWS):
            try:
                async with self._db.transaction(Act.SHARE_CREATE) as tx:
                    share = await storage.open_share(
                        tx,
                        share_id=new_id(),
                        share_code=domain.new_code(),
                        track_id=track_id,
                        user_id=user_id,
                        at=self._clock(),
                    )
                    share = (await storage.change(tx, share.share_id, **values) if values else None) or share
            except storage.CodeTaken:
                continue
            if share.state is State.TAKEN_DOWN:
                raise ContentRejected("this share was taken down", share_code=share.share_code)
            return share
        message = "no free code was found"
        raise RuntimeError(message)

    async def show(self, share_code: str, ticket: str, *, counted: bool, agent: str = "") -> Shown:
        """Return what the page of a share shows, and count the opening if asked to, unless the agent is a program.

        Raises ShareNotFound for an unknown code, ShareRevoked for a share that was called back and for one whose track
        was deleted since, ShareExpired, and SharePasswordRequired without a ticket that opens it.
        """
        share, now = await self.by_code(share_code), self._clock()
        share.require_open(now)
        share.require_ticket(ticket, now)
        track, variant = await self._heard(share)
        # A verdict may have come after the song was shared.
        if track.standing not in _SHAREABLE:
            raise domain.revoked(share_code)
        if counted and not is_program(agent):
            async with self._db.transaction() as tx:
                await storage.count_view(tx, share.share_id)
        return shown_of(share, track, variant)

    async def _heard(self, share: Share) -> tuple[Track, Variant]:
        """Return the track as it is now and what of it is heard; raises ShareRevoked when nothing is."""
        try:
            track = await self._track(share.track_id, share.user_id)
        except RemoteError as error:
            if error.reason == "NOT_FOUND":
                raise domain.revoked(share.share_code) from error
            raise
        variant = heard_in(track)
        if variant is None:
            raise domain.revoked(share.share_code)
        return track, variant

    def is_over(self, share: Share) -> bool:
        """Return whether the time of the share is over now."""
        return share.expired(self._clock())

    async def unlock(self, share_code: str, password: str, address: str) -> tuple[str, datetime]:
        """Return a ticket of the share and when it ends.

        Raises ShareNotFound, ShareRevoked, ShareExpired, SharePasswordWrong, and RateLimited when too many passwords
        were tried lately, from this address or from all together. A share without a password is opened by any.
        """
        share, now = await self.by_code(share_code), self._clock()
        share.require_open(now)
        if not share.password_hash:
            return share.ticket(now)
        place = domain.place_of(share, address)
        # Counted before it is looked at: however many try at once, no more are looked at than may be.
        async with self._db.transaction() as tx:
            here, everywhere = await storage.guess(tx, share.share_id, place, at=now, since=now - GUESS_WINDOW)
        if here > domain.GUESSES_OF_ONE or everywhere > domain.GUESSES_OF_ALL:
            message = "too many passwords were tried"
            raise RateLimited(message, retry_after_s=int(GUESS_WINDOW.total_seconds()))
        if not await self._passwords.matches(share.password_hash, password):
            raise SharePasswordWrong("this is not the password of the share", share_code=share_code)
        async with self._db.transaction() as tx:
            await storage.forgive(tx, share.share_id, place)
        return share.ticket(now)

    async def change(self, user_id: str, share_code: str, terms: Terms) -> Share:
        """Return the person's share under these terms; a password takes it off the public list.

        Raises ShareNotFound, also for somebody else's, ShareRevoked for one that was called back or whose track is
        gone, ParamInvalid when a share with a password is to be listed, and ContentRejected or ContentInReview when the
        rules for content keep the song from the list.
        """
        share = await self.by_code(share_code)
        if share.user_id != user_id:
            raise _unknown(share_code)
        if share.state is not State.ACTIVE:
            raise domain.revoked(share_code)
        values = await self._values(terms)
        if terms.listed:
            if values.get("password_hash", share.password_hash):
                raise ParamInvalid.of("listed", "must be false for a share with a password")
            track, variant = await self._heard(share)
            _require_standing(track, LISTABLE)
            values["category"] = variant.style
        if not values:
            return share
        async with self._db.transaction() as tx:
            changed = await storage.change(tx, share.share_id, **values)
        if changed is None:
            raise domain.revoked(share_code)
        return changed

    async def _values(self, terms: Terms) -> dict[str, Any]:
        """Return the columns that these terms write."""
        values: dict[str, Any] = {}
        if terms.listed is not None:
            values |= {"listed": terms.listed, "category": ""}
        if terms.lifetime_s is not None:
            values["expire_time"] = terms.expire_time(self._clock())
        if terms.password is not None:
            values["password_hash"] = await self._passwords.hash(terms.password) if terms.password else ""
            if terms.password:
                values |= {"listed": terms.listed or False, "category": ""}
        return values

    async def page(self, user_id: str, *, page_size: int, page_token: str) -> tuple[list[Share], str]:
        """Return a page of the person's shares, newest first, and the token of the next page or ''."""
        before = decode_id(page_token)
        size = clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            found = list(await storage.page(tx, user_id, before=before, count=size + 1))
        more = encode_token(found[size - 1].share_id) if len(found) > size else ""
        return found[:size], more

    async def revoke(self, user_id: str, share_code: str) -> Share:
        """Return the person's share, called back; raises ShareNotFound, also for somebody else's."""
        async with self._db.transaction(Act.SHARE_REVOKE) as tx:
            share = await storage.revoke(tx, share_code, user_id, self._clock()) if domain.is_code(share_code) else None
        if share is None:
            raise _unknown(share_code)
        return share

    async def by_code(self, share_code: str) -> Share:
        """Return the share; a text that cannot be a code costs no query."""
        share = None
        if domain.is_code(share_code):
            async with self._db.transaction() as tx:
                share = await storage.by_code(tx, share_code)
        if share is None:
            raise _unknown(share_code)
        return share

    async def _track(self, track_id: str, user_id: str) -> Track:
        """Return the person's track as Composer describes it now; raises RemoteError."""
        request = ResolveTrackRequest(track_id=track_id, user_id=user_id)
        with calling():
            answer = await self._tracks.ResolveTrack(request, timeout=COMPOSER_S)
        return answer.track


def _require_standing(track: Track, allowed: frozenset[int]) -> None:
    """Raise ContentRejected or ContentInReview unless the track stands so."""
    if track.standing in allowed:
        return
    if track.standing == STANDING_RISKY:
        raise ContentRejected("the rules for content do not allow this song to be shown", track_id=track.track_id)
    raise ContentInReview("somebody has to look at this song before it is shown", track_id=track.track_id)


def shown_of(share: Share, track: Track, variant: Variant) -> Shown:
    """Return what a share of this track shows."""
    return Shown(
        share=share,
        title=track.title,
        cover_url=track.cover_url,
        lyrics=track.lyrics,
        variant=variant,
        provider=track.provider,
    )


def heard_in(track: Track) -> Variant | None:
    """Return the variant a listener hears, None while the track cannot be heard."""
    if track.state != Track.STATE_READY:
        return None
    variants = [
        Variant(
            variant_id=each.variant_id,
            audio_url=each.audio_url,
            duration_ms=each.duration_ms,
            style=each.style,
            key=each.key,
            tempo_bpm=each.tempo_bpm,
            peaks=tuple(each.peaks),
            chords=tuple(each.chords),
            recommended=each.recommended,
            lines=tuple(_line(line) for line in each.lines),
        )
        for each in track.variants
    ]
    return domain.pick(variants, track.chosen_variant_id)


def _line(line: SungLine) -> Line:
    return Line(
        line.text,
        line.start_ms,
        line.end_ms,
        tuple(Syllable(each.text, each.start_ms, each.end_ms) for each in line.syllables),
    )


def _unknown(share_code: str) -> ShareNotFound:
    message = "no share has this code"
    return ShareNotFound(message, share_code=share_code)
