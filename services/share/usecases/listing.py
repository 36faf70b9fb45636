"""The public list: songs that their owners show to everybody, by style, by time or by plays, and by their words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cadenza.composer.v1.track_service_pb2 import ResolveTracksRequest
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_id, decode_token, encode_token
from services.kit.errors import ParamInvalid
from services.kit.ids import is_id
from services.kit.rpc.errors import calling
from services.share.domain.share import Share, Shown
from services.share.storage import share as storage
from services.share.usecases.share import COMPOSER_S, LISTABLE, heard_in, shown_of

if TYPE_CHECKING:
    # The name exists for the type checker only.
    from cadenza.composer.v1.track_service_pb2_grpc import TrackServiceAsyncStub

# Composer describes so many tracks at once, and a search goes through so many of them in one call.
_BATCH = 100
_MOST_BATCHES = 5


class PublicList:
    """What everybody may find."""

    def __init__(self, db: Database, tracks: "TrackServiceAsyncStub", clock: Clock) -> None:
        """Use the collaborators; `tracks` describes what is listed."""
        self._db = db
        self._tracks = tracks
        self._clock = clock

    async def page(
        self, category: str, words: str, *, page_size: int, page_token: str, most_played: bool = False
    ) -> tuple[list[Shown], str]:
        """Return a page, newest or most played first, of one style and with these words unless they are empty.

        With it comes the token of the next page, '' on the last one. Songs that cannot be heard any more, or may not
        be, are left out; a search that has gone through five hundred songs gives what it has found so far.
        """
        plays, before = _last_played(page_token) if most_played else (None, decode_id(page_token))
        size, songs = clamp_page_size(page_size), list[Shown]()
        for _ in range(_MOST_BATCHES if words else 1):
            count = _BATCH if words else size
            async with self._db.transaction() as tx:
                found = await storage.listed_page(
                    tx, category, before=before, plays=plays, count=count + 1, at=self._clock()
                )
            if not found:
                return songs, ""
            shown = await self._shown(found[:count], words)
            for share in found[:count]:
                plays, before = share.play_count if most_played else None, share.share_id
                if share.share_id in shown:
                    songs.append(shown[share.share_id])
                if len(songs) == size:
                    break
            if share.share_id == found[-1].share_id:
                return songs, ""
            if len(songs) == size:
                break
        return songs, encode_token(before) if plays is None else encode_token(plays, before)

    async def _shown(self, shares: Sequence[Share], words: str) -> dict[str, Shown]:
        """Return what those of the shares show, by their ids, that can be heard by everybody and hold the words."""
        request = ResolveTracksRequest(track_ids=[each.track_id for each in shares], query=words)
        with calling():
            answer = await self._tracks.ResolveTracks(request, timeout=COMPOSER_S)
        tracks = {(each.track.track_id, each.user_id): each.track for each in answer.tracks}
        shown = {}
        for share in shares:
            track = tracks.get((share.track_id, share.user_id))
            variant = track and heard_in(track)
            if track and variant and track.standing in LISTABLE:
                shown[share.share_id] = shown_of(share, track, variant)
        return shown


def _last_played(page_token: str) -> tuple[int, str]:
    """Return plays and id that a page ended with, no id for the first page; ParamInvalid for a foreign token."""
    match decode_token(page_token):
        case ():
            return 0, ""
        case (int(plays), str(last)) if is_id(last):
            return plays, last
        case _:
            raise ParamInvalid.of("page_token", "is not one of ours")
