"""A mail server and a carrier of short messages of a few lines, to see what Auth sends over real sockets."""

import asyncio
import email
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default

from aiohttp import web

from tests.fakes.stand_in import Fault, StandIn, served

KEY_ID, KEY_SECRET = "AKID1", "AKSECRET1"


class Sms(StandIn):
    """Takes every message; `codes` are those that it took, by phone."""

    name = "sms"
    FAULTS = {  # noqa: RUF012  # read only
        "system_error": Fault(status=200, body={"Code": "isp.SYSTEM_ERROR", "Message": "x", "RequestId": "r"}),
        "illegal": Fault(status=200, body={"Code": "isv.MOBILE_NUMBER_ILLEGAL", "Message": "x", "RequestId": "r"}),
        "cut": Fault(cut=True),
    }

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[str, str]] = []

    def routes(self) -> list[web.RouteDef]:
        """Return its one route."""
        return [web.post("/", self._send)]

    async def _send(self, request: web.Request) -> web.Response:
        code = json.loads(request.query["TemplateParam"])["code"]
        self.taken.append((request.query["PhoneNumbers"], code))
        return web.json_response({"Code": "OK", "Message": "OK", "RequestId": "r", "BizId": f"biz-{len(self.taken)}"})

    def codes(self, phone: str) -> list[str]:
        """Return the codes that a phone got, the oldest first."""
        return [code for to, code in self.taken if to == phone]


@dataclass
class PostOffice:
    """A mail server that takes every letter; `replies` answer a command once, by its first word."""

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    replies: dict[str, list[str]] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak with one client."""
        try:
            await self._say(writer, "220 here")
            while line := (await reader.readline()).decode().strip():
                word = line.split()[0].upper()
                self.commands.append(word)
                if self.replies.get(word):
                    reply = self.replies[word].pop(0)
                    if reply == "cut":
                        return
                    await self._say(writer, reply)
                elif word == "DATA":
                    await self._say(writer, "354 go on")
                    data = await reader.readuntil(b"\r\n.\r\n")
                    if self.replies.get("."):
                        return
                    letter = email.message_from_bytes(data.removesuffix(b"\r\n.\r\n"), policy=default)
                    assert isinstance(letter, EmailMessage)
                    self.letters.append(letter)
                    await self._say(writer, "250 queued as 7")
                else:
                    await self._say(writer, "221 bye" if word == "QUIT" else "250 ok")
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _say(self, writer: asyncio.StreamWriter, line: str) -> None:
        writer.write(f"{line}\r\n".encode())
        await writer.drain()

    def to(self, mailbox: str) -> list[EmailMessage]:
        """Return the letters that a mailbox got, the oldest first."""
        return [letter for letter in self.letters if letter["To"] == mailbox]

    def codes(self, mailbox: str) -> list[str]:
        """Return the codes that a mailbox got, the oldest first."""
        return [found[0] for letter in self.to(mailbox) if (found := re.findall(r"[0-9]{6}$", letter["Subject"]))]


@dataclass(frozen=True)
class Outside:
    """Both, and how Auth finds them."""

    sms: Sms
    post: PostOffice

    @property
    def settings(self) -> dict[str, str | int]:
        """Return the settings that switch both on."""
        return {
            "sms_access_key_id": KEY_ID,
            "sms_access_key_secret": KEY_SECRET,
            "sms_sign_name": "测试签名",
            "sms_template_code": "SMS_1",
            "sms_base_url": self.sms.url,
            "smtp_host": "127.0.0.1",
            "smtp_port": self.post.port,
            "smtp_security": "none",
            "smtp_from": "Cadenza <no-reply@cadenza.test>",
        }


@asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    """Yield both, listening."""
    post = PostOffice()
    server = await asyncio.start_server(post.serve, "127.0.0.1", 0)
    post.port = server.sockets[0].getsockname()[1]
    async with served(Sms()) as sms:
        try:
            yield Outside(sms, post)
        finally:
            server.close()
            await server.wait_closed()
