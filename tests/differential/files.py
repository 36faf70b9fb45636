"""Random files to be uploaded, as the messages of a stream and as what a page sends."""

import base64
import hashlib
import io
import random
import wave
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
from google.protobuf.message import Message
from PIL import Image

from gateway.routes import Binding
from gateway.shapes import shape_of

_NAMES = ("take.wav", "../../etc/passwd", "夜曲.mp3", "a b.png", 'say "hi".jpg')
_KINDS = ("audio/wav", "audio/webm; codecs=opus", "image/png", "text/plain", "application/octet-stream")
_PIECES = 3
_KEY = "Idempotency-Key"


def _tone() -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(range(256)) * 40)
    return made.getvalue()


def _picture(side: int) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (side, side), (200, 120, side % 256)).save(made, "PNG")
    return made.getvalue()


_CONTENTS = (b"", b"x", b"no sound at all\n" * 20, _tone(), _tone()[:200], _picture(9), _picture(80)[:60], bytes(5000))


def file_wish(request: Any, chance: random.Random) -> tuple[Message, ...]:
    """Return the messages of an upload that begins with `request`, whose random fields stay where they can be.

    What its way over HTTP always says, name and content type, is said here too.
    """
    content = chance.choice(_CONTENTS)
    if "header" in shape_of(request).fields_by_name:
        request.header.SetInParent()
        request.header.filename, request.header.content_type = chance.choice(_NAMES), chance.choice(_KINDS)
        if getattr(request.header, "size_bytes", 0) and chance.random() < 0.8:
            request.header.size_bytes = len(content)
        if chance.random() < 0.7:
            request.header.request_id = chance.choice(("", "", "one-upload", "another"))
    else:
        request.chunk, request.offset_bytes = b"", chance.choice((0, 0, 0, 1, 320, 5000))
        digest = hashlib.sha256(chance.choice((content, b"other"))).digest()
        request.checksum = chance.choice(("", "", "sha256 " + base64.b64encode(digest).decode(), "crc99 AAAA"))
    cuts = sorted(chance.randrange(len(content) + 1) for _ in range(chance.randrange(_PIECES)))
    parts = [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    return request, *(type(request)(chunk=part) for part in parts if part)


def as_http(binding: Binding, messages: Sequence[Message]) -> tuple[str, Mapping[str, str], dict[str, Any]]:
    """Return path, headers and the other arguments with which aiohttp sends an upload."""
    first: Any = messages[0]
    content = b"".join(each.chunk for each in messages[1:])  # type: ignore[attr-defined]  # what comes after is chunks
    if not hasattr(first, "header"):
        headers = {"Upload-Offset": str(first.offset_bytes), "Content-Type": "application/offset+octet-stream"}
        if first.checksum:
            headers["Upload-Checksum"] = first.checksum
        return binding.path.replace("{asset_id}", quote(first.asset_id, safe="")), headers, {"data": content}
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", content, filename=first.header.filename, content_type=first.header.content_type)
    headers = {_KEY: first.header.request_id} if first.header.request_id else {}
    said = {"filename", "content_type", "request_id"}
    query = {each.name: str(value) for each, value in first.header.ListFields() if each.name not in said}
    return binding.path, headers, {"data": form, "params": query}
