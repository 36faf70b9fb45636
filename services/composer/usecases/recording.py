"""Recordings of Media as Composer needs them: whether one can be used, and its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.composer.domain.errors import AssetNotReady, TakeMissing
from services.kit import crash
from services.kit.crash import Act
from services.kit.errors import ParamInvalid, RemoteError
from services.kit.rpc.errors import calling

if TYPE_CHECKING:
    from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceAsyncStub

_LARGEST_TAKE_BYTES = 16 * 1024 * 1024
_TRANSFER_TIMEOUT_S = 60
_GONE = frozenset({"NOT_FOUND", "ASSET_NOT_READY"})


async def check_recording(media: AssetServiceAsyncStub, user_id: str, asset_id: str) -> None:
    """Pass a ready recording of the user; raises ParamInvalid, AssetNotReady, or RemoteError for no such asset."""
    request = media_pb2.ResolveAssetRequest(asset_id=asset_id, user_id=user_id)
    with calling():
        asset = (await media.ResolveAsset(request, timeout=5)).asset
    if asset.kind != media_pb2.Asset.KIND_RECORDING:
        raise ParamInvalid.of("asset_id", "is not a recording")
    if asset.state != media_pb2.Asset.STATE_READY:
        state = media_pb2.Asset.State.Name(asset.state).removeprefix("STATE_").lower()
        raise AssetNotReady("the recording is not ready", asset_id=asset_id, state=state)


async def read_recording(media: AssetServiceAsyncStub, user_id: str, asset_id: str) -> bytes:
    """Return the user's recording as Media's mp3; raises TakeMissing when another try is vain."""
    request = media_pb2.ReadAssetRequest(asset_id=asset_id, user_id=user_id)
    data = bytearray()
    call = media.ReadAsset(request, timeout=_TRANSFER_TIMEOUT_S)
    try:
        with calling(), crash.around(Act.TAKE_READ):
            async for message in call:
                data += message.chunk
                if len(data) > _LARGEST_TAKE_BYTES:
                    raise TakeMissing("the recording is too large to be read", asset_id=asset_id)
    except RemoteError as error:
        if error.reason in _GONE:
            raise TakeMissing("the recording is gone", asset_id=asset_id) from error
        raise
    finally:
        call.cancel()  # which changes nothing about a stream that was read to its end
    return bytes(data)
