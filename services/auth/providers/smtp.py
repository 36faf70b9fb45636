"""Letters by SMTP, over TLS from the first byte or from STARTTLS on.

The standard library's client in threads of its own: a letter takes a second and there are few. A server that refuses
with 4xx may take the letter later, with 5xx it will not. Once the text was sent, an answer that does not come leaves
open whether the letter was taken.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from typing import Final

from services.auth.domain.errors import MessageNotSent, TargetRefused
from services.auth.providers import Mail, NotCarried
from services.kit.clock import Clock

_THREADS: Final = 4
_FIRST_LASTING: Final = 500
_TAKEN: Final = (250, 251)
# The mailbox does not exist, is elsewhere, is full, or has a name that cannot be.
_NO_MAILBOX: Final = frozenset({550, 551, 552, 553})


class Smtp:
    """The mail server of one sender."""

    def __init__(
        self,
        clock: Clock,
        *,
        host: str,
        port: int,
        security: str,
        user: str,
        password: str,
        sender: str,
        timeout_s: float,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """Send through the server; `security` is `tls`, `starttls` or `none`, `sender` may have a name."""
        self._clock = clock
        self._host = host
        self._port = port
        self._security = security
        self._user = user
        self._password = password
        self._name, self._address = parseaddr(sender)
        self._timeout_s = timeout_s
        self._trust = trust or ssl.create_default_context()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="smtp")

    async def send(self, mail: Mail) -> str:
        """Return what the server said when it took the letter; raises NotCarried."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._send, mail)

    def close(self) -> None:
        """End the threads; letters that wait are given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _send(self, mail: Mail) -> str:
        """Hand one letter over, in a thread."""
        letter = self._letter(mail)
        with _not_yet_sent():
            client = self._connect()
        try:
            with _not_yet_sent():
                client.ehlo_or_helo_if_needed()
                if self._user:
                    client.login(self._user, self._password)
                _check(*client.mail(self._address), to_target=False)
                _check(*client.rcpt(mail.to), to_target=True)
            return self._data(client, letter)
        finally:
            client.close()

    def _connect(self) -> smtplib.SMTP:
        if self._security == "tls":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=self._trust)
        client = smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        if self._security == "starttls":
            try:
                client.starttls(context=self._trust)
            except BaseException:
                client.close()
                raise
        return client

    def _data(self, client: smtplib.SMTP, letter: bytes) -> str:
        try:
            code, said = client.data(letter)
        except smtplib.SMTPDataError as error:
            raise _refused(error.smtp_code, to_target=False) from None
        except (smtplib.SMTPException, OSError) as error:
            lost = MessageNotSent("the mail server's answer was lost", cause=type(error).__name__)
            raise NotCarried(lost, certain=False, again=False) from None
        if code not in _TAKEN:
            raise _refused(code, to_target=False)
        return said.decode("utf-8", "replace")[:200]

    def _letter(self, mail: Mail) -> bytes:
        try:
            letter = EmailMessage(policy=SMTP_POLICY)
            letter["From"] = Address(self._name, addr_spec=self._address)
            letter["To"] = Address(addr_spec=mail.to)
            letter["Subject"] = mail.subject
            letter["Date"] = format_datetime(self._clock())
            letter["Message-ID"] = f"<{mail.message_id}@{self._address.rpartition('@')[2]}>"
            letter["Auto-Submitted"] = "auto-generated"
            letter.set_content(mail.text, cte="base64")
            return letter.as_bytes()
        except (MessageError, ValueError, IndexError):
            # An address or subject that would break out of its header.
            raise NotCarried(TargetRefused("the address cannot be written to"), certain=True, again=False) from None


@contextmanager
def _not_yet_sent() -> Iterator[None]:
    """Turn what goes wrong before the text is sent into a failure after which the letter surely was not taken."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise _refused(error.smtp_code, to_target=False, step="login_") from None
    except smtplib.SMTPResponseException as error:
        raise _refused(error.smtp_code, to_target=False) from None
    except ssl.SSLCertVerificationError:
        untrusted = MessageNotSent("the mail server's certificate is not trusted", cause="certificate")
        raise NotCarried(untrusted, certain=True, again=False) from None
    except smtplib.SMTPNotSupportedError:
        unable = MessageNotSent("the mail server cannot do what is configured", cause="not_supported")
        raise NotCarried(unable, certain=True, again=False) from None
    except (smtplib.SMTPException, OSError) as error:
        away = MessageNotSent("the mail server cannot be reached", cause=type(error).__name__)
        raise NotCarried(away, certain=True, again=True) from None


def _check(code: int, said: bytes, *, to_target: bool) -> None:
    """Return when the server agrees; NotCarried when not."""
    del said  # may hold the address
    if code not in _TAKEN:
        raise _refused(code, to_target=to_target)


def _refused(code: int, *, to_target: bool, step: str = "") -> NotCarried:
    """Return the failure for an answer of the server, by its number alone."""
    cause = f"{step}{code}"
    if to_target and code in _NO_MAILBOX:
        return NotCarried(TargetRefused("there is no such mailbox", cause=cause), certain=True, again=False)
    error = MessageNotSent("the mail server did not take the letter", cause=cause)
    return NotCarried(error, certain=True, again=code < _FIRST_LASTING)
