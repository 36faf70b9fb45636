"""Multipart uploads: streamed, limited, and refused with a number for every way a form can be wrong."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from tests.gateway.conftest import ALICE, Gateway
from tests.gateway.services import ASSET, Fakes

PATH = "/api/v1/assets/audio/upload"
MEBIBYTE = 1024 * 1024
FORM = {**ALICE, "Content-Type": "multipart/form-data; boundary=border"}


def form(content: bytes, *, name: str = "file", filename: str = "hum.wav", closed: bool = True) -> bytes:
    """Return a form with one file."""
    head = f'--border\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'.encode()
    return head + b"Content-Type: audio/wav\r\n\r\n" + content + (b"\r\n--border--\r\n" if closed else b"")


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """Yield the data in pieces, so that no length is announced."""
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]


async def send(http: ClientSession, data: Any, path: str = PATH, **headers: str) -> tuple[int, Any]:
    """Return status and JSON of an upload."""
    async with http.post(path, data=data, headers={**FORM, **headers}) as response:
        return response.status, orjson.loads(await response.read())


async def test_a_form_arrives_as_header_and_pieces(http: ClientSession, fakes: Fakes) -> None:
    """Name, type and idempotency key travel in the header, the bytes in pieces of at most 256 KiB."""
    content = bytes(700_000)
    status, body = await send(http, pieces(form(content, filename="晨.wav")), PATH, **{"Idempotency-Key": "once"})
    assert (status, body["data"]["asset_id"]) == (201, ASSET)
    assert body["data"]["asset"]["size_bytes"] == len(content)
    header = fakes.assets.header
    assert (header.filename, header.content_type, header.request_id) == ("晨.wav", "audio/wav", "once")
    assert max(fakes.assets.sizes) <= 256 * 1024


async def test_what_a_form_cannot_say(http: ClientSession, fakes: Fakes) -> None:
    """A client that cannot set a type in its form says it in the query; other parameters are none of ours."""
    path = f"{PATH}?content_type=audio/pcm;rate%3D16000&scene=hum"
    status, _ = await send(http, pieces(form(b"abc", filename="take.pcm")), path)
    assert (status, fakes.assets.header.content_type) == (201, "audio/pcm;rate=16000")


async def test_fields_before_the_file_are_read_over(http: ClientSession, fakes: Fakes) -> None:
    """Mini-programs add fields of their own to the form."""
    extra = b'--border\r\nContent-Disposition: form-data; name="scene"\r\n\r\nhum\r\n'
    status, _ = await send(http, pieces(extra + form(b"abc")))
    assert (status, fakes.assets.received) == (201, 3)


@pytest.mark.point(31)
async def test_a_large_file_is_never_held_in_memory(http: ClientSession, fakes: Fakes) -> None:
    """While the service takes nothing the client is stopped by its socket, and 30 MB pass in a few."""

    async def slowly() -> AsyncIterator[bytes]:
        head, tail = form(b"").split(b"\r\n\r\n", 1)
        yield head + b"\r\n\r\n"
        for _ in range(30):
            yield bytes(MEBIBYTE)
            sent.append(1)
        yield tail

    sent: list[int] = []
    fakes.assets.gate.clear()
    tracemalloc.start()
    try:
        sending = asyncio.create_task(send(http, slowly()))
        await asyncio.sleep(0.5)
        held_back = len(sent)
        fakes.assets.gate.set()
        status, _ = await sending
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_back < 20
    assert (status, fakes.assets.received) == (201, 30 * MEBIBYTE)
    assert peak < 16 * MEBIBYTE


@pytest.mark.point(12)
@pytest.mark.parametrize(("platform", "limit_mb"), [("web", 50), ("wxmp", 10)])
async def test_a_file_over_the_limit_is_refused_before_it_is_read(
    http: ClientSession, fakes: Fakes, platform: str, limit_mb: int
) -> None:
    """The announced length alone is enough for 413 / 30001, which names the limit and the other way."""
    headers = {"X-Platform": platform, "Content-Length": str((limit_mb + 1) * MEBIBYTE)}
    async with http.post(PATH, data=pieces(form(b"x")), headers={**FORM, **headers}) as response:
        body = orjson.loads(await response.read())
    assert (response.status, body["code"]) == (413, 30001)
    assert body["details"]["metadata"]["limit_mb"] == str(limit_mb)
    assert "presigned" in body["details"]["description"]
    assert fakes.assets.header is None


async def test_a_file_that_turns_out_too_large_is_cut_off_upstream(gateway: Gateway, fakes: Fakes) -> None:
    """Without an announced length the bytes are counted, and the service's call is cancelled at the limit."""
    http = await gateway(upload_limit_mb=1)
    status, body = await send(http, pieces(form(bytes(2 * MEBIBYTE))))
    assert (status, body["code"]) == (413, 30001)
    async with asyncio.timeout(1):
        await fakes.assets.cancelled.wait()
    assert fakes.assets.received <= MEBIBYTE


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code", "field"),
    [
        (b"{}", "application/json", 415, 10010, None),
        (b"abc", "", 415, 10010, None),
        (b"abc", "multipart/form-data", 400, 10001, "body"),
        (b"abc", "multipart/form-data; boundary=border", 400, 10001, "body"),
        (form(b"abc", name="sound"), "multipart/form-data; boundary=border", 400, 10001, "file"),
        (b"--border--\r\n", "multipart/form-data; boundary=border", 400, 10001, "file"),
        (form(b"abc", closed=False), "multipart/form-data; boundary=border", 422, 30004, None),
        (form(b"a" * 300_000, closed=False), "multipart/form-data; boundary=border", 422, 30004, None),
        (form(bytes(70_000), name="big"), "multipart/form-data; boundary=border", 400, 10001, "big"),
    ],
)
async def test_a_form_that_is_wrong_has_its_number(
    http: ClientSession, data: bytes, content_type: str, status: int, code: int, field: str | None
) -> None:
    """No form, no boundary, no file and a form that breaks off are all told apart."""
    headers = {**ALICE, "Content-Type": content_type}
    async with http.post(PATH, data=pieces(data), headers=headers) as response:
        body = orjson.loads(await response.read())
    assert (response.status, body["code"]) == (status, code)
    if field is not None:
        assert body["details"]["fields"][0]["field"] == field


async def test_a_form_that_breaks_off_leaves_nothing_running(http: ClientSession, fakes: Fakes) -> None:
    """The service's half of the call is cancelled, so it can throw away what it has."""
    await send(http, pieces(form(b"a" * 600_000, closed=False)))
    async with asyncio.timeout(1):
        await fakes.assets.cancelled.wait()


async def test_a_client_that_hangs_up_cancels_the_upload(http: ClientSession, fakes: Fakes) -> None:
    """The service sees the end of a client that went away in the middle."""
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield form(b"", closed=False)
        while True:
            yield bytes(65536)
            started.set()
            await asyncio.sleep(0.01)

    sending = asyncio.create_task(send(http, endless()))
    await started.wait()
    async with asyncio.timeout(2):
        while not fakes.assets.received:  # noqa: ASYNC110  # the fake counts, it does not signal
            await asyncio.sleep(0.01)
    sending.cancel()
    async with asyncio.timeout(1):
        await fakes.assets.cancelled.wait()


async def test_a_refusal_of_the_service_arrives_while_the_client_still_sends(http: ClientSession, fakes: Fakes) -> None:
    """Media may see from the first bytes that a file is no sound; the client is told so and not a broken pipe."""
    fakes.assets.refuse_after = 100_000
    status, body = await send(http, pieces(form(bytes(4 * MEBIBYTE))))
    assert (status, body["code"]) == (415, 30002)


async def test_an_upload_without_a_token_is_401(http: ClientSession) -> None:
    """Identity comes first, and the envelope is the same as everywhere."""
    headers = {"Content-Type": FORM["Content-Type"]}
    async with http.post(PATH, data=pieces(form(b"abc")), headers=headers) as response:
        assert (response.status, orjson.loads(await response.read())["code"]) == (401, 20001)
