"""Objects in any S3, through boto3 in threads.

boto3 is imported at the first use: a process that never touches S3 does not pay its memory.
Checksums only where required and SigV4 by name, because most compatible servers need both.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Any

from services.kit.clock import Clock, now
from services.kit.errors import Unavailable
from services.kit.objects.dialect import MINIO, Dialect
from services.kit.objects.store import (
    Data,
    Meter,
    ObjectNotFound,
    Part,
    PresignedPut,
    StoredObject,
    checked_expiry,
    checked_key,
    disposition,
    out_of_reach,
    pieces_of,
)

# The smallest part S3 takes is 5 MB; one part is all that is held of a stream.
_PART_BYTES = 8 * 1024 * 1024
_READ_BYTES = 256 * 1024
_AT_ONCE = 8
_ABORT_S = 10.0
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
# InvalidPart: another writer, believed dead, has put other bytes in a part's place, which rclone calls NotImplemented.
_NO_PARTS = frozenset({"404", "NoSuchUpload", "NoSuchKey", "NotFound", "InvalidPart", "NotImplemented"})
_NOTHING_IN_RANGE = frozenset({"416", "InvalidRange"})


class S3ObjectStore:
    """One bucket of an S3 server."""

    def __init__(
        self,
        *,
        endpoint_url: str,
        access_key: str,
        secret_key: str,
        bucket: str,
        region: str = "us-east-1",
        dialect: Dialect = MINIO,
        clock: Clock = now,
    ) -> None:
        self.bucket = bucket
        self._dialect = dialect
        self._settings = {
            "endpoint_url": endpoint_url,
            "aws_access_key_id": str(access_key),
            "aws_secret_access_key": str(secret_key),
            "region_name": dialect.region_at(endpoint_url, region),
        }
        self._clock = clock
        self._made: Any = None
        self._making = asyncio.Lock()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def put(
        self, key: str, data: Data, *, content_type: str, size: int | None = None, limit: int | None = None
    ) -> StoredObject:
        """Store the bytes, in parts when there are more than eight megabytes; see ObjectStore."""
        place = {"Bucket": self.bucket, "Key": checked_key(key)}
        meter, digest = Meter(size, limit), hashlib.sha256()
        pieces = pieces_of(data, meter, _PART_BYTES)
        first = await anext(pieces, b"")
        second = await anext(pieces, b"") if first else b""
        if not second:
            digest.update(first)
            answer = await self._call("put_object", **place, Body=first, ContentType=content_type)
        else:
            answer = await self._put_parts(place, content_type, digest, _rejoined([first, second], pieces))
        return StoredObject(key, meter.count, _etag(answer), content_type, digest.hexdigest())

    async def _put_parts(
        self, place: dict[str, str], content_type: str, digest: Any, pieces: AsyncIterator[bytes]
    ) -> dict[str, Any]:
        """Return the answer to a finished multipart upload; one that breaks is taken back."""
        begun = await self._call("create_multipart_upload", **place, ContentType=content_type)
        upload = {**place, "UploadId": begun["UploadId"]}
        parts: list[dict[str, Any]] = []
        try:
            async for piece in pieces:
                number = len(parts) + 1
                digest.update(piece)
                answer = await self._call("upload_part", **upload, PartNumber=number, Body=piece)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            return await self._call("complete_multipart_upload", **upload, MultipartUpload={"Parts": parts})
        except BaseException:
            # Parts of an upload that is never finished would be kept, and paid for, for ever.
            abort = asyncio.ensure_future(self._call("abort_multipart_upload", **upload))
            await asyncio.wait({abort}, timeout=_ABORT_S)
            raise

    async def begin_parts(self, key: str, *, content_type: str) -> str:
        """Return the id of a new multipart upload."""
        place = {"Bucket": self.bucket, "Key": checked_key(key)}
        answer = await self._call("create_multipart_upload", **place, ContentType=content_type)
        return str(answer["UploadId"])

    async def put_part(self, key: str, parts_id: str, number: int, data: bytes | bytearray) -> Part:
        """Store one part of a multipart upload; see ObjectStore."""
        upload = {"Bucket": self.bucket, "Key": checked_key(key), "UploadId": parts_id}
        try:
            answer = await self._call("upload_part", **upload, PartNumber=number, Body=data)
        except _Refused as refused:
            raise _part_refusal(refused, key) from refused
        return Part(number, len(data), str(answer["ETag"]))

    async def finish_parts(self, key: str, parts_id: str, parts: Sequence[Part]) -> None:
        """Complete a multipart upload; see ObjectStore."""
        listed = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        upload = {"Bucket": self.bucket, "Key": checked_key(key), "UploadId": parts_id}
        try:
            await self._call("complete_multipart_upload", **upload, MultipartUpload={"Parts": listed})
        except _Refused as refused:
            raise _part_refusal(refused, key) from refused

    async def abort_parts(self, key: str) -> None:
        """Abort every multipart upload of the key, also those whose id nobody lived to write down."""
        place = {"Bucket": self.bucket, "Prefix": checked_key(key)}
        try:
            found = await self._call("list_multipart_uploads", **place)
        except _Refused as refused:
            if refused.code in _NO_PARTS:
                return
            raise
        for each in found.get("Uploads", []):
            if each["Key"] != key:
                continue
            try:
                await self._call("abort_multipart_upload", Bucket=self.bucket, Key=key, UploadId=each["UploadId"])
            except _Refused as refused:
                if refused.code not in _NO_PARTS:
                    raise

    async def open(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes of a slice; see ObjectStore."""
        if end is not None and end <= start:
            return
        wanted = {"Bucket": self.bucket, "Key": checked_key(key)}
        if start or end is not None:
            wanted["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        try:
            answer = await self._call("get_object", **wanted)
        except _Refused as refused:
            if refused.code in _MISSING:
                raise ObjectNotFound("no such object", key=key) from refused
            if refused.code in _NOTHING_IN_RANGE:
                return
            raise out_of_reach(refused) from refused
        body = answer["Body"]
        try:
            while piece := await self._in_thread(lambda: body.read(_READ_BYTES)):
                yield piece
        finally:
            body.close()

    async def head(self, key: str) -> StoredObject | None:
        """Return the facts of the object, or None."""
        try:
            answer = await self._call("head_object", Bucket=self.bucket, Key=checked_key(key))
        except _Refused as refused:
            if refused.code in _MISSING:
                return None
            raise out_of_reach(refused) from refused
        return StoredObject(key, answer["ContentLength"], _etag(answer), answer.get("ContentType", ""))

    async def delete(self, key: str) -> None:
        """Remove the object; does nothing when there is none."""
        try:
            await self._call("delete_object", Bucket=self.bucket, Key=checked_key(key))
        except _Refused as refused:
            if refused.code not in _MISSING:
                raise out_of_reach(refused) from refused

    async def presign_put(self, key: str, *, content_type: str, size_bytes: int, expires_s: int) -> PresignedPut:
        """Return an S3 address whose signature covers type and length; see ObjectStore."""
        what = {"ContentType": content_type, "ContentLength": size_bytes}
        expire_time = self._clock() + timedelta(seconds=expires_s)
        url = await self._presign("put_object", key, expires_s, what)
        headers = {"Content-Type": content_type, "Content-Length": str(size_bytes)}
        return PresignedPut(url, headers, expire_time)

    async def presign_get(self, key: str, *, expires_s: int, filename: str | None = None) -> str:
        """Return an S3 address for reading; see ObjectStore."""
        what = {"ResponseContentDisposition": disposition(filename)} if filename else {}
        return await self._presign("get_object", key, expires_s, what)

    async def _presign(self, method: str, key: str, expires_s: int, what: dict[str, Any]) -> str:
        client = await self._client()
        parameters = {"Bucket": self.bucket, "Key": checked_key(key), **what}
        # Computed here, without asking the server.
        return str(client.generate_presigned_url(method, Params=parameters, ExpiresIn=checked_expiry(expires_s)))

    async def prepare(self) -> None:
        """Make the bucket if it is not there."""
        try:
            await self._call("head_bucket", Bucket=self.bucket)
        except _Refused as refused:
            if refused.code not in _MISSING | {"NoSuchBucket"}:
                raise out_of_reach(refused) from refused
            place = self._dialect.bucket_place(self._settings["region_name"])
            await self._call("create_bucket", Bucket=self.bucket, **place)

    async def ping(self) -> None:
        """Return when the bucket answers."""
        try:
            await self._call("head_bucket", Bucket=self.bucket)
        except _Refused as refused:
            raise out_of_reach(refused) from refused

    async def close(self) -> None:
        """Close the connections; the object can be used again afterwards."""
        async with self._making:
            client, self._made = self._made, None
        if client is not None:
            await asyncio.to_thread(client.close)

    async def _client(self) -> Any:
        """Return the client, made at the first use."""
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(_make_client, self._settings, self._dialect)
        return self._made

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return S3's answer; raises _Refused, which is Unavailable for whoever does not look closer."""
        client = await self._client()
        answer: dict[str, Any] = await self._in_thread(lambda: getattr(client, method)(**parameters))
        return answer

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """Run a blocking call with at most eight of its kind at once."""
        from botocore.exceptions import BotoCoreError, ClientError

        async with self._turns:
            try:
                return await asyncio.to_thread(work)
            except ClientError as error:
                raise _Refused(str(error.response.get("Error", {}).get("Code", ""))) from error
            except (BotoCoreError, OSError) as error:
                raise out_of_reach(error) from error


class _Refused(Unavailable):
    """S3 answered with an error code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the object store refused: {code}", dependency="objects")
        self.code = code


def _part_refusal(refused: _Refused, key: str) -> Exception:
    """Return the error for a part or a completion that S3 refused."""
    if refused.code in _NO_PARTS:
        return ObjectNotFound("there is no such unfinished object", key=key)
    return out_of_reach(refused)


def _make_client(settings: dict[str, str], dialect: Dialect) -> Any:
    """Return a boto3 client with bounded waits."""
    import boto3
    from botocore.config import Config

    config = Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=3,
        read_timeout=20,
        retries={"mode": "standard", "max_attempts": 3},
        max_pool_connections=_AT_ONCE,
        s3={"addressing_style": dialect.addressing},
    )
    return boto3.session.Session().client("s3", config=config, **settings)


async def _rejoined(first: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces taken already, letting each go, and then the rest."""
    while first:
        yield first.pop(0)
    async for piece in rest:
        yield piece


def _etag(answer: dict[str, Any]) -> str:
    return str(answer.get("ETag", "")).strip('"')
