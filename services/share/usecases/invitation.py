"""Invitations: wanted with a share, made in the background, kept for as long as they lead somewhere."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import DomainError
from services.kit.ids import new_id
from services.kit.rpc.errors import calling
from services.share.domain import invitation as rules
from services.share.domain.invitation import Invitation
from services.share.domain.share import Share
from services.share.providers import MiniProgram
from services.share.storage import invitation as storage

if TYPE_CHECKING:
    # The name exists for the type checker only.
    from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceAsyncStub

_log = logging.getLogger(__name__)

_MEDIA_S = 10.0
_CHUNK = 64 * 1024
_LEASE = timedelta(seconds=60)
_ROUND_S = 2.0


@dataclass(frozen=True)
class Ways:
    """The addresses of an invitation, empty for what is not wanted or not there; `pending` while some are made."""

    wxcode_url: str = ""
    scheme_url: str = ""
    pending: bool = False


class Invitations:
    """Codes and links into the mini-program."""

    def __init__(self, db: Database, media: "AssetServiceAsyncStub", program: MiniProgram | None, clock: Clock) -> None:
        """Have them made by *program*; without one there are no codes, and links are written out literally."""
        self._db = db
        self._media = media
        self._program = program
        self._clock = clock
        self._due = asyncio.Event()

    async def of(self, share: Share, *, wxcode: bool, scheme: bool) -> Ways:
        """Return the ways into the mini-program, wanted from now on if they were not before.

        What is not there yet is made in the background: the same call a little later has it.
        """
        if self._program is None:
            return Ways(scheme_url=rules.literal_scheme(share.share_code) if scheme else "")
        async with self._db.transaction() as tx:
            known = await storage.find(tx, share.share_id)
        url = await self._address(known) if known is not None and known.wxcode_asset_id else ""
        if known is not None and known.wxcode_asset_id and not url:
            # Its owner has deleted the picture.
            async with self._db.transaction() as tx:
                await storage.change(tx, share.share_id, wxcode_asset_id=None)
        lacks_wxcode = wxcode and not url
        lacks_scheme = scheme and (known is None or not known.wants_scheme or known.lacks_scheme(self._clock()))
        if lacks_wxcode or lacks_scheme:
            async with self._db.transaction() as tx:
                await storage.want(tx, share.share_id, new_id(), wxcode=wxcode, scheme=scheme, at=self._clock())
            self._due.set()
        link = known.scheme_url if known is not None and scheme else ""
        return Ways(url if wxcode else "", link, pending=lacks_wxcode or (scheme and not link))

    async def run(self) -> None:
        """Make what is due, for ever; several processes share the work."""
        while True:
            while await self.make_one():
                continue
            self._due.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_ROUND_S):
                    await self._due.wait()

    async def make_one(self) -> bool:
        """Make what one invitation lacks; return whether one was due."""
        if self._program is None:
            return False
        now = self._clock()
        async with self._db.transaction() as tx:
            wanted = await storage.take(tx, at=now, until=now + _LEASE)
        if wanted is None:
            return False
        try:
            made = await self._made(self._program, wanted)
        except DomainError as error:
            pause = rules.pause_after(wanted.tries)
            _log.info("an invitation waits: %s", error.message, extra={"share_id": wanted.share_id})
            made = {"tries": wanted.tries + 1, "due_time": None if pause is None else now + pause}
        async with self._db.transaction() as tx:
            await storage.change(tx, wanted.share_id, **made)
        return True

    async def _made(self, program: MiniProgram, wanted: Invitation) -> dict[str, Any]:
        """Return the columns of what was made."""
        made: dict[str, Any] = {"tries": 0, "due_time": None}
        if wanted.lacks_wxcode:
            picture = await program.code(wanted.share_code, rules.PAGE)
            made["wxcode_asset_id"] = await self._stored(wanted, picture)
        if wanted.lacks_scheme(self._clock()):
            link, ends = await program.scheme(f"code={wanted.share_code}", rules.PAGE, self._clock())
            made |= {"scheme_url": link, "scheme_expire_time": ends}
        return made

    async def _stored(self, wanted: Invitation, picture: bytes) -> str:
        """Return the id of the asset that holds the picture, stored once for each making."""
        header = media_pb2.StoreHeader(
            request_id=f"wxcode:{wanted.making_id}",
            user_id=wanted.user_id,
            kind=media_pb2.Asset.KIND_IMAGE,
            filename=f"{wanted.share_code}.png",
            content_type="image/png",
        )

        async def messages() -> AsyncIterator[media_pb2.StoreAssetRequest]:
            yield media_pb2.StoreAssetRequest(header=header)
            for start in range(0, len(picture), _CHUNK):
                yield media_pb2.StoreAssetRequest(chunk=picture[start : start + _CHUNK])

        with calling():
            answer = await self._media.StoreAsset(messages(), timeout=_MEDIA_S)
        return answer.asset.asset_id

    async def _address(self, known: Invitation) -> str:
        """Return where the code lies, empty when it is gone."""
        request = media_pb2.ResolveAssetsRequest(asset_ids=[known.wxcode_asset_id], user_id=known.user_id)
        with calling():
            answer = await self._media.ResolveAssets(request, timeout=_MEDIA_S)
        return next((each.asset.url for each in answer.assets), "")
