"""Where the sounds and pictures of tracks can be fetched: signed addresses, asked of Media for many tracks at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.kit.rpc.errors import calling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceAsyncStub
    from services.composer.domain.track import Track


@dataclass(frozen=True)
class Address:
    """Where one asset can be played and saved, and its outline (0 to 100)."""

    url: str
    download_url: str
    peaks: tuple[int, ...]


class Addresses:
    """Asks Media for the addresses of tracks."""

    def __init__(self, media: AssetServiceAsyncStub) -> None:
        self._media = media

    async def of(self, tracks: Iterable[Track]) -> Mapping[str, Address]:
        """Return the address of every asset of the tracks by asset id; missing assets are left out.

        Media is asked once for each of their owners.
        """
        found = list(tracks)
        whose = {track.user_id for track in found}
        if len(whose) > 1:
            each = await asyncio.gather(*(self.of([t for t in found if t.user_id == user_id]) for user_id in whose))
            return {asset_id: address for addresses in each for asset_id, address in addresses.items()}
        variants = [each for track in found for each in track.variants]
        ids = {each.asset_id for each in variants} | {each.midi_asset_id for each in variants if each.midi_asset_id}
        ids |= {track.cover_asset_id for track in found if track.cover_asset_id}
        if not ids:
            return {}
        # A file name only makes sense for one song; a page of songs is for looking.
        name = found[0].title if len(found) == 1 else ""
        request = media_pb2.ResolveAssetsRequest(
            asset_ids=sorted(ids), user_id=found[0].user_id, download_name=name[:100]
        )
        with calling():
            answer = await self._media.ResolveAssets(request, timeout=5)
        return {
            each.asset.asset_id: Address(each.asset.url, each.download_url, tuple(each.asset.peaks))
            for each in answer.assets
        }
