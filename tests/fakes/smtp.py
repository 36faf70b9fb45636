"""A mail server that keeps what it takes. Facts: contract page (CN) section 5.4.

What it keeps of the mail services of China: a login before anything else (530, 535 when it is wrong), a sender in the
envelope that is the account (501), a `From` in the letter that is it too (550), mailboxes that are not there (550, any
in a domain under `.invalid`), a largest letter (552), and the difference between 4xx, which may be tried again, and
5xx. SMTP itself is aiosmtpd's; it speaks STARTTLS when it is given a certificate.
"""

from __future__ import annotations

import asyncio
import logging
import smtplib
import socket
import time
import warnings
from email import message_from_bytes, policy
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from services.kit.clock import Clock, now
from tests.fakes.stand_in import Ask, Fault, Reply, Seen, StandIn

if TYPE_CHECKING:
    import ssl

    from aiohttp import web

ACCOUNT = "no-reply@sandbox.example"
PASSWORD = "sandboxcode00000"
LARGEST = 10 * 1024 * 1024
LOOPBACK = "127.0.0.1"
# Its log tells whole letters.
logging.getLogger("mail.log").setLevel(logging.ERROR)
_CLIENT_S = 5.0


class Smtp(StandIn):
    """A mail server on a port of its own; every letter that it takes is shown above."""

    name = "smtp"
    FAULTS = {  # noqa: RUF012  # read only
        "greylisted": Fault(status=451, body="4.7.1 Greylisted, please try again later", on="RCPT"),
        "no_mailbox": Fault(status=550, body="5.1.1 Mailbox not found", on="RCPT"),
        "full": Fault(status=552, body="5.2.2 Mailbox full", on="RCPT"),
        "spam": Fault(status=554, body="5.7.1 Spam", on="DATA"),
        "blocked": Fault(status=454, body="4.7.1 Temporarily blocked", on="DATA"),
        "slow": Fault(delay_s=20.0, on="DATA"),
        # The letter was taken, and the answer that says so is lost.
        "cut": Fault(cut=True, on="DATA"),
    }

    def __init__(self, *, clock: Clock = now, trust: ssl.SSLContext | None = None) -> None:
        super().__init__(clock=clock)
        self.port = 0
        self._tls = trust
        self._server: asyncio.Server | None = None
        self._began = time.perf_counter()

    def settings(self) -> dict[str, str]:
        """Return what has letters sent here."""
        return {
            "SMTP_HOST": LOOPBACK,
            "SMTP_PORT": str(self.port),
            "SMTP_SECURITY": "starttls" if self._tls else "none",
            "SMTP_USER": ACCOUNT,
            "SMTP_PASSWORD": PASSWORD,
            "SMTP_FROM": f"Cadenza <{ACCOUNT}>",
        }

    def routes(self) -> list[web.RouteDef]:
        """Return no routes: letters do not come over HTTP."""
        return []

    async def open(self) -> None:
        """Listen for letters: beside the HTTP port, so that the address stays when the process is started again."""
        beside = int(self.url.rpartition(":")[2].partition("/")[0] or 0) + 1 if self.url else 0
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._session, LOOPBACK, beside)
        except OSError:
            self._server = await loop.create_server(self._session, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            # Connections that a client has left end by themselves in their next turn of the loop.
            await asyncio.sleep(0)

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Log in and send one letter."""
        return [await asyncio.to_thread(send, self.port, PASSWORD if good_key else "wrong")]

    def refused(self, reply: Reply) -> bool:
        """Return whether it is 535."""
        return reply.status == 535

    def _session(self) -> SMTP:
        """Return the protocol of one connection."""
        with warnings.catch_warnings():
            # That logins go without TLS is meant: it is loopback, and the password is worthless.
            warnings.simplefilter("ignore")
            return SMTP(
                _Letters(self),
                hostname="sandbox.example",
                data_size_limit=LARGEST,
                enable_SMTPUTF8=True,
                auth_required=True,
                auth_require_tls=self._tls is not None,
                authenticator=self._known,
                tls_context=self._tls,
                loop=asyncio.get_running_loop(),
            )

    def _known(self, server: SMTP, session: Session, _envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        del server, session
        self._began = time.perf_counter()
        good = isinstance(data, LoginPassword) and data == LoginPassword(ACCOUNT.encode(), PASSWORD.encode())
        if not good:
            self.note(f"AUTH {mechanism}", "", 535)
        return AuthResult(success=good, handled=False, message="535 5.7.8 Error: authentication failed")

    def note(self, command: str, body: str, status: int) -> None:
        """Note how a letter or a login ended."""
        self.calls[command.partition(" ")[0]] += 1
        self.seen.append(Seen("SMTP", command, {}, {}, body, status, time.perf_counter() - self._began))

    async def failing(self, command: str) -> Fault | None:
        """Return the fault that is to happen at this command, its delay behind it."""
        fault = next((each for each in self.faults if each.on in command), None)
        if fault is not None:
            self._count(fault)
            await asyncio.sleep(fault.delay_s)
        return fault


class _Letters:
    """What happens at each command of a session."""

    def __init__(self, server: Smtp) -> None:
        self._server = server

    async def handle_MAIL(  # noqa: N802  # the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take the account as sender, nobody else."""
        if address != ACCOUNT:
            self._server.note("MAIL", address, 501)
            return "501 5.1.7 Mail from address must be same as authorization user"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  # the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a mailbox that is there."""
        fault = await self._server.failing("RCPT")
        if fault is not None and fault.status:
            self._server.note("RCPT", address, fault.status)
            return f"{fault.status} {fault.body}"
        if address.rpartition("@")[2].lower().endswith(".invalid"):
            self._server.note("RCPT", address, 550)
            return "550 5.1.1 Mailbox not found"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  # the library's name
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Take the letter if its own sender is the account, and show it."""
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        letter = message_from_bytes(raw, policy=policy.default)
        to = ", ".join(envelope.rcpt_tos)
        fault = await self._server.failing("DATA")
        if fault is not None and fault.status:
            self._server.note("DATA", to, fault.status)
            return f"{fault.status} {fault.body}"
        if parseaddr(str(letter["From"]))[1] != ACCOUNT:
            self._server.note("DATA", to, 550)
            return '550 The "From" header is missing or invalid'
        part = letter.get_body(("plain", "html"))
        text = part.get_content() if part is not None else ""
        self._server.bring("mail", to, str(letter["Subject"] or ""), str(text).strip())
        self._server.note("DATA", raw.decode("utf-8", "replace"), 0 if fault is not None and fault.cut else 250)
        if fault is not None and fault.cut and server.transport is not None:
            server.transport.close()
        return "250 2.0.0 OK: queued"


def send(port: int, password: str = PASSWORD, *, to: str = "reader@example.org", sender: str = ACCOUNT) -> Reply:
    """Send one letter as a client without any of our own code does, and return the number of the last answer."""
    letter = f"From: {sender}\r\nTo: {to}\r\nSubject: walk\r\n\r\nhello\r\n".encode()
    try:
        with smtplib.SMTP(LOOPBACK, port, timeout=_CLIENT_S) as client:
            client.login(ACCOUNT, password)
            client.mail(ACCOUNT)
            code, said = client.rcpt(to)
            if code >= 400:
                return Reply(code, body=said)
            return Reply(*_told(client.data(letter)))
    except smtplib.SMTPResponseException as error:
        return Reply(error.smtp_code)
    except (smtplib.SMTPException, OSError, socket.timeout):  # noqa: UP041  # what smtplib may raise
        return Reply(0)


def _told(answer: tuple[int, bytes]) -> tuple[int, dict[str, str], bytes]:
    return answer[0], {}, answer[1]
