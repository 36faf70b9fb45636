"""How pictures come in and are handed out: cleaned before anything of them is stored, and ready at once."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Protocol

from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.errors import IdempotencyKeyReused, ParamInvalid
from services.kit.ids import new_id
from services.media.domain import image as pictures
from services.media.domain import upload
from services.media.domain.asset import Asset, Kind, State
from services.media.domain.image import Edit, Image, Variant, Version
from services.media.domain.sound import Format
from services.media.providers import ContentCheck
from services.media.storage import asset as assets
from services.media.storage import image as images
from services.media.storage import stored_object as ledger
from services.media.usecases.incoming import Incoming
from services.media.usecases.shelf import Address, Placing, Shelf
from services.media.usecases.upload import Announced, Origin


class Maker(Protocol):
    """Makes clean pictures of a stranger's."""

    async def make(self, pieces: AsyncIterator[bytes], found: Format, edit: Edit) -> list[Version]:
        """Return the picture and its smaller versions; raises UploadFormatInvalid, UploadTooLarge, Unavailable."""
        ...


class Images:
    """The pictures of all users; each sees only their own."""

    def __init__(
        self, db: Database, shelf: Shelf, maker: Maker, clock: Clock, *, check: ContentCheck | None = None
    ) -> None:
        """Use the collaborators; where there is a checker of content no picture is kept without its leave."""
        self._check = check
        self._db = db
        self._shelf = shelf
        self._maker = maker
        self._clock = clock

    async def receive(self, origin: Origin, announced: Announced, edit: Edit, pieces: AsyncIterator[bytes]) -> Asset:
        """Return the asset of a streamed picture, ready; a repeat returns that of the first time.

        Whatever fails leaves nothing. Raises UploadFormatInvalid, UploadTooLarge, UploadIncomplete,
        ChecksumWrong, ContentRejected, IdempotencyKeyReused, Unavailable.
        """
        incoming = Incoming(pieces, pictures.check_bytes, announced.content_md5)
        found = await incoming.look()
        if found not in pictures.TAKEN:
            raise pictures.refusal(found.name)
        asset = self._new_asset(origin, announced)
        async with self._db.transaction() as tx:
            repeated = asset.request_key and await assets.by_request(tx, origin.user_id, asset.request_key)
        if repeated:
            await incoming.drain()
            return await self._first_answer(replace(asset, request_hash=_fingerprint(announced, edit, incoming)))
        versions = await self._maker.make(incoming.whole(), found, edit)
        upload.check_arrived(announced.size_bytes, incoming.size_bytes)
        if self._check is not None:
            (await self._check.judge(versions[0].format.content_type, versions[0].data)).check()
        hashed = _fingerprint(announced, edit, incoming) if asset.request_key else ""
        return await self._store(replace(asset, request_hash=hashed, sha256=incoming.sha256), versions)

    async def get(self, user_id: str, asset_id: str) -> tuple[Asset, Image]:
        """Return the person's picture; raises AssetNotFound, AssetNotReady, ParamInvalid for what is none."""
        async with self._db.transaction() as tx:
            asset = await assets.get(tx, asset_id, user_id)
            found = await images.find(tx, asset_id)
        asset.playable_key()
        if asset.kind is not Kind.IMAGE:
            raise ParamInvalid.of("asset_id", f"is no picture but a {asset.kind}")
        # A service that stores a picture does not tell its size.
        return asset, found or Image(0, 0)

    async def addresses(self, asset: Asset, image: Image) -> list[Address]:
        """Return fresh signed addresses of the picture, first, and of each smaller version."""
        keys = [asset.storage_key, *(variant.storage_key for variant in image.variants)]
        return [await self._shelf.address_to_read(key) for key in keys]

    async def _store(self, asset: Asset, versions: list[Version]) -> Asset:
        """Return the asset after storing every version and committing them together."""
        whole, *smaller = versions
        keys = [upload.playable_key(Kind.IMAGE, new_id(), version.format.extension) for version in versions]
        variants = [
            Variant(version.name, key, version.width_px, version.height_px)
            for version, key in zip(smaller, keys[1:], strict=True)
        ]
        async with AsyncExitStack() as stack:
            placings: list[Placing] = []
            for version, key in zip(versions, keys, strict=True):
                placings.append(await stack.enter_async_context(self._shelf.placing(key)))
                stored = await self._shelf.put(key, version.data, version.format.content_type)
                if version is whole:
                    asset = replace(asset, etag=stored.etag)
            at = self._clock()
            asset = replace(
                asset,
                state=State.READY,
                storage_key=keys[0],
                content_type=whole.format.content_type,
                size_bytes=len(whole.data),
                update_time=at,
            )
            async with self._db.transaction(Act.ASSET_COMMIT) as tx:
                first = await assets.insert_once(tx, asset)
                if first:
                    await images.save(tx, asset.asset_id, Image(whole.width_px, whole.height_px, tuple(variants)))
                    for key in keys:
                        await ledger.keep(tx, key)
            for placing in placings:
                placing.kept = first
        return asset if first else await self._first_answer(asset)

    def _new_asset(self, origin: Origin, announced: Announced) -> Asset:
        """Return an asset of which nothing has come yet."""
        at = self._clock()
        return Asset(
            asset_id=new_id(),
            user_id=origin.user_id,
            kind=Kind.IMAGE,
            state=State.UPLOADING,
            filename=upload.clean_filename(announced.filename, otherwise="picture"),
            content_type="",
            size_bytes=0,
            create_time=at,
            update_time=at,
            platform=origin.platform,
            request_key=f"image:{origin.request_id}" if origin.request_id else "",
        )

    async def _first_answer(self, asset: Asset) -> Asset:
        """Return the asset that the request made at its first time; raises IdempotencyKeyReused, AssetNotFound."""
        async with self._db.transaction() as tx:
            first = await assets.by_request(tx, asset.user_id, asset.request_key)
        assert first is not None
        if first.request_hash != asset.request_hash:
            message = "the same request id came with another picture"
            raise IdempotencyKeyReused(message, field="request_id")
        return first


def _fingerprint(announced: Announced, edit: Edit, incoming: Incoming) -> str:
    """Return the digest of an upload: what was said of the picture, what was wished, and the picture itself."""
    wish = f"{announced.filename}|{announced.content_type}|{edit}|{incoming.sha256}"
    return hashlib.sha256(wish.encode()).hexdigest()
