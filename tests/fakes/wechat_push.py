"""WeChat's crypto of sessions and message push, from the vendor's side. Facts: contract page 1.4, 1.9, 1.10.

The 43 characters of an EncodingAESKey carry two stray low bits, so they are decoded leniently; the padding of a push
counts to 32 and not to AES's 16; the random start and the mini-program's id frame the message.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

if TYPE_CHECKING:
    from collections.abc import Coroutine

PUSH_BLOCK = 32
SESSION_BLOCK = 16


@dataclass(frozen=True)
class Callback:
    """Where events are pushed to, as the mini-program's console knows it; `safe` is the mode with encryption."""

    url: str
    token: str
    aes_key: str
    safe: bool = True


def signed(*parts: str) -> str:
    """Return the signature of a push: SHA-1 over the sorted parts, the token among them, in hex."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def session_signature(session_key: str, message: str = "") -> str:
    """Return what proves a session: HMAC-SHA256 under the key's text as it stands, not decoded."""
    return hmac.new(session_key.encode(), message.encode(), hashlib.sha256).hexdigest()


def raw_signature(raw_data: str, session_key: str) -> str:
    """Return the `signature` beside a user's rawData."""
    return hashlib.sha1((raw_data + session_key).encode(), usedforsecurity=False).hexdigest()


def push_key(aes_key: str) -> bytes:
    """Return the 32 bytes of an EncodingAESKey."""
    return base64.b64decode(aes_key + "=")


def sealed(message: str, *, app_id: str, aes_key: str, start: bytes = b"") -> str:
    """Return the `Encrypt` of a push; `start` are its 16 random bytes."""
    text = message.encode()
    framed = (start or secrets.token_bytes(16)) + struct.pack(">I", len(text)) + text + app_id.encode()
    key = push_key(aes_key)
    return base64.b64encode(_encrypted(framed, key=key, iv=key[:16], block=PUSH_BLOCK)).decode()


def session_sealed(plain: str, *, session_key: str, iv: str) -> str:
    """Return the `encryptedData` that a phone hands over under its session key; all three in base64."""
    key = base64.b64decode(session_key)
    return base64.b64encode(_encrypted(plain.encode(), key=key, iv=base64.b64decode(iv), block=SESSION_BLOCK)).decode()


def request_of(
    message: dict[str, object], callback: Callback, *, app_id: str, stamp: str
) -> tuple[dict[str, str], str]:
    """Return query and body of one push. In the plain mode the signature covers no body."""
    nonce = secrets.token_hex(8)
    text = json.dumps(message, ensure_ascii=False)
    query = {"signature": signed(callback.token, stamp, nonce), "timestamp": stamp, "nonce": nonce}
    if not callback.safe:
        return query, text
    encrypted = sealed(text, app_id=app_id, aes_key=callback.aes_key)
    query |= {"encrypt_type": "aes", "msg_signature": signed(callback.token, stamp, nonce, encrypted)}
    return query, json.dumps({"ToUserName": message.get("ToUserName", ""), "Encrypt": encrypted})


def _encrypted(data: bytes, *, key: bytes, iv: bytes, block: int) -> bytes:
    pad = block - len(data) % block
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(data + bytes([pad]) * pad) + encryptor.finalize()


class Pusher:
    """Pushes events: three times in all until somebody says `success` within five seconds."""

    TRIES = 3
    ANSWER_S = 5.0

    def __init__(self, *, app_id: str, pause_s: float) -> None:
        self.app_id = app_id
        self.pause_s = pause_s
        self.callback: Callback | None = None
        self.sent: list[tuple[dict[str, object], int]] = []
        self._http: aiohttp.ClientSession | None = None
        self._running: set[asyncio.Task[None]] = set()

    @property
    def http(self) -> aiohttp.ClientSession:
        """Return the session that this server asks others with."""
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.ANSWER_S))
        return self._http

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work in the background, to the end or until the server closes."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def settled(self) -> None:
        """Return when nothing runs in the background any more."""
        while self._running:
            await asyncio.wait(self._running)

    async def close(self) -> None:
        """End what runs in the background."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def check(self, callback: Callback, *, stamp: str) -> bool:
        """Return whether the address proves itself as the console asks: it gives back `echostr` and nothing else."""
        nonce, echo = secrets.token_hex(8), secrets.token_hex(8)
        query = {"signature": signed(callback.token, stamp, nonce), "timestamp": stamp, "nonce": nonce, "echostr": echo}
        try:
            async with self.http.get(callback.url, params=query) as answer:
                return answer.status == HTTPStatus.OK and await answer.text() == echo
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def push(self, message: dict[str, object], *, stamp: str) -> bool:
        """Push until it is taken, three times in all; return whether it was. Without a callback it is lost."""
        for number in range(self.TRIES if self.callback else 0):
            if number:
                await asyncio.sleep(self.pause_s)
            assert self.callback is not None
            query, body = request_of(message, self.callback, app_id=self.app_id, stamp=stamp)
            headers = {"Content-Type": "application/json; encoding=utf-8"}
            try:
                async with self.http.post(
                    self.callback.url, params=query, data=body.encode(), headers=headers
                ) as answer:
                    text, status = await answer.text(), answer.status
            except (aiohttp.ClientError, TimeoutError):
                text, status = "", 0
            self.sent.append((message, status))
            if status == HTTPStatus.OK and text in {"", "success"}:
                return True
        return False
