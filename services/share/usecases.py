"""What Share does: makes codes, shows what they stand for, calls them back."""

from typing import TYPE_CHECKING

from cadenza.composer.v1.sung_line_pb2 import SungLine
from cadenza.composer.v1.track_service_pb2 import ResolveTrackRequest, ResolveTracksRequest, Track
from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_token, encode_token
from services.kit.errors import ParamInvalid, RemoteError
from services.kit.ids import is_id, new_id
from services.kit.rpc.errors import calling
from services.share import domain, storage
from services.share.domain import Line, Share, ShareNotAllowed, ShareNotFound, Shown, Syllable, Variant

if TYPE_CHECKING:
    # The name exists for the type checker only.
    from cadenza.composer.v1.track_service_pb2_grpc import TrackServiceAsyncStub

_COMPOSER_S = 5.0
_DRAWS = 3


class Shares:
    """The shares of all users."""

    def __init__(self, db: Database, tracks: "TrackServiceAsyncStub", clock: Clock) -> None:
        """Use the collaborators; `tracks` describes what is shared."""
        self._db = db
        self._tracks = tracks
        self._clock = clock

    async def create(self, user_id: str, track_id: str) -> Share:
        """Return the person's valid share of their track; the same track keeps its code.

        Raises NotFound for a track that is not theirs and ShareNotAllowed for one that cannot be heard yet.
        """
        track = await self._track(track_id, user_id)
        if _variant(track) is None:
            message = "only a track that can be heard can be shared"
            raise ShareNotAllowed(message, track_id=track_id, state=Track.State.Name(track.state))
        for _ in range(_DRAWS):
            try:
                async with self._db.transaction(Act.SHARE_CREATE) as tx:
                    return await storage.open_share(
                        tx,
                        share_id=new_id(),
                        share_code=domain.new_code(),
                        track_id=track_id,
                        user_id=user_id,
                        at=self._clock(),
                    )
            except storage.CodeTaken:
                continue
        message = "no free code was found"
        raise RuntimeError(message)

    async def show(self, share_code: str, *, counted: bool) -> Shown:
        """Return what the page of a share shows, and count the opening if asked to.

        Raises ShareNotFound for an unknown code, ShareRevoked for a share that was called back
        and for one whose track was deleted since.
        """
        share = await self._by_code(share_code)
        share.require_open()
        try:
            track = await self._track(share.track_id, share.user_id)
        except RemoteError as error:
            if error.reason == "NOT_FOUND":
                raise domain.revoked(share_code) from error
            raise
        variant = _variant(track)
        if variant is None:
            raise domain.revoked(share_code)
        if counted:
            async with self._db.transaction() as tx:
                await storage.count_view(tx, share.share_id)
        return _shown(share, track, variant)

    async def enlist(self, user_id: str, share_code: str, *, listed: bool | None) -> Share:
        """Return the person's share, on the public list or not; None leaves it as it is.

        Raises ShareNotFound, also for somebody else's, and ShareRevoked for one that was called back or whose track is
        gone.
        """
        share = await self._by_code(share_code)
        if share.user_id != user_id:
            raise _unknown(share_code)
        share.require_open()
        if listed is None:
            return share
        category = (await self.show(share_code, counted=False)).variant.style if listed else ""
        async with self._db.transaction() as tx:
            changed = await storage.enlist(tx, share.share_id, listed=listed, category=category)
        if changed is None:
            raise domain.revoked(share_code)
        return changed

    async def public(self, category: str, *, page_size: int, page_token: str) -> tuple[list[Shown], str]:
        """Return a page of the public list, newest first, and the token of the next page or ''.

        Songs that cannot be heard any more are left out.
        """
        before, size = _last_id(page_token), clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            found = list(await storage.listed_page(tx, category, before=before, count=size + 1))
        more = encode_token(found[size - 1].share_id) if len(found) > size else ""
        shares = found[:size]
        if not shares:
            return [], more
        with calling():
            answer = await self._tracks.ResolveTracks(
                ResolveTracksRequest(track_ids=[each.track_id for each in shares]), timeout=_COMPOSER_S
            )
        tracks = {(each.track.track_id, each.user_id): each.track for each in answer.tracks}
        shown = []
        for share in shares:
            track = tracks.get((share.track_id, share.user_id))
            variant = track and _variant(track)
            if track and variant:
                shown.append(_shown(share, track, variant))
        return shown, more

    async def page(self, user_id: str, *, page_size: int, page_token: str) -> tuple[list[Share], str]:
        """Return a page of the person's shares, newest first, and the token of the next page or ''."""
        before = _last_id(page_token)
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

    async def _by_code(self, share_code: str) -> Share:
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
            answer = await self._tracks.ResolveTrack(request, timeout=_COMPOSER_S)
        return answer.track


def _shown(share: Share, track: Track, variant: Variant) -> Shown:
    return Shown(
        share=share,
        title=track.title,
        cover_url=track.cover_url,
        lyrics=track.lyrics,
        variant=variant,
        provider=track.provider,
    )


def _variant(track: Track) -> Variant | None:
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


def _last_id(page_token: str) -> str:
    """Return the id that a page ended with, '' for the first page; ParamInvalid for a foreign token."""
    match decode_token(page_token):
        case ():
            return ""
        case (str(last),) if is_id(last):
            return last
        case _:
            raise ParamInvalid.of("page_token", "is not one of ours")
