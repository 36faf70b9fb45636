"""A client that speaks tus 1.0, written from the protocol and not from our server; it can hang up in the middle."""

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp

_PIECE = 16 * 1024
BYTES = "application/offset+octet-stream"


class HungUpError(Exception):
    """What this client raises to itself to break a request off."""


@dataclass
class Tus:
    """One person's uploads at one server."""

    session: aiohttp.ClientSession
    base_url: str
    token: str
    platform: str = "web"
    patience_s: float = 60.0
    extra: dict[str, str] = field(default_factory=dict)

    def headers(self, **more: str) -> dict[str, str]:
        """Return what every request carries."""
        ours = {"Authorization": f"Bearer {self.token}", "X-Platform": self.platform, "Tus-Resumable": "1.0.0"}
        return ours | self.extra | {name.replace("_", "-"): value for name, value in more.items()}

    async def request(
        self, method: str, url: str, *, data: object = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        whole = url if url.startswith("http") else self.base_url + url
        timeout = aiohttp.ClientTimeout(total=self.patience_s)
        data = io.BytesIO(data) if isinstance(data, bytes) else data
        async with self.session.request(
            method, whole, data=data, headers=self.headers(**headers), timeout=timeout
        ) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def create(
        self, size: int, *, name: str = "hum.wav", data: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str]]:
        """Announce a file, with its beginning if there is data."""
        metadata = (
            f"filename {base64.b64encode(name.encode()).decode()},filetype {base64.b64encode(b'audio/wav').decode()}"
        )
        if data:
            headers["Content_Type"] = BYTES
        status, answered, _ = await self.request(
            "POST",
            "/api/v1/uploads",
            data=data or None,
            Upload_Length=str(size),
            Upload_Metadata=metadata,
            **headers,
        )
        return status, answered

    async def offset(self, url: str) -> int:
        """Return how much has come."""
        status, headers, _ = await self.request("HEAD", url)
        assert status == 200, status
        return int(headers["Upload-Offset"])

    async def patch(self, url: str, data: bytes, offset: int, **headers: str) -> tuple[int, dict[str, str]]:
        """Send the next bytes."""
        status, answered, _ = await self.request(
            "PATCH", url, data=data, Upload_Offset=str(offset), Content_Type=BYTES, **headers
        )
        return status, answered

    async def cut_patch(self, url: str, data: bytes, offset: int, *, after: int, pause_s: float = 0.3) -> None:
        """Announce all of the data, send so many bytes of it, wait a little, and hang up."""

        async def breaking() -> AsyncIterator[bytes]:
            for start in range(0, after, _PIECE):
                yield data[start : min(start + _PIECE, after)]
            # What lies in the buffers of two kernels when the connection breaks is lost, as it is on a real network.
            await asyncio.sleep(pause_s)
            raise HungUpError

        try:
            await self.request(
                "PATCH",
                url,
                data=breaking(),
                Upload_Offset=str(offset),
                Content_Type=BYTES,
                Content_Length=str(len(data)),
            )
        except (HungUpError, aiohttp.ClientError):
            return


def sha256(data: bytes) -> str:
    """Return the checksum as tus spells it."""
    return "sha256 " + base64.b64encode(hashlib.sha256(data).digest()).decode()
