"""The mail server's stand-in: who may send what, and that our own adapter gets on with it."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.auth.providers import Mail, NotCarried
from services.auth.providers.smtp import Smtp as Carrier
from services.kit.clock import now
from tests.fakes.smtp import ACCOUNT, LOOPBACK, PASSWORD, Smtp, send
from tests.fakes.stand_in import served


@pytest.fixture
async def smtp() -> AsyncIterator[Smtp]:
    """Yield a running mail server."""
    async with served(Smtp()) as vendor:
        yield vendor


def _carrier(smtp: Smtp, *, security: str = "none", trust: ssl.SSLContext | None = None) -> Carrier:
    return Carrier(
        now,
        host=LOOPBACK,
        port=smtp.port,
        security=security,
        user=ACCOUNT,
        password=PASSWORD,
        sender=f"Cadenza <{ACCOUNT}>",
        timeout_s=3.0,
        trust=trust,
    )


def _mail(to: str = "reader@example.org", subject: str = "验证码") -> Mail:
    return Mail(to=to, subject=subject, text="您的验证码是 123456。", message_id="m-1")


async def test_a_letter_is_kept(smtp: Smtp) -> None:
    """Our own adapter's letter is taken, and stands there with its Chinese subject and text."""
    carrier = _carrier(smtp)
    await carrier.send(_mail())
    carrier.close()
    (letter,) = smtp.letters
    assert (letter.to, letter.subject, letter.text) == ("reader@example.org", "验证码", "您的验证码是 123456。")


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"password": "wrong"}, 535),
        ({"to": "somebody@nowhere.invalid"}, 550),
        ({"sender": "boss@example.org"}, 550),
        ({}, 250),
    ],
)
async def test_who_may_send_what(smtp: Smtp, wish: dict[str, str], status: int) -> None:
    """A wrong code, a mailbox that is not there and a letter in another's name are refused by number."""
    reply = await asyncio.to_thread(lambda: send(smtp.port, **wish))
    assert reply.status == status
    assert bool(smtp.letters) is (status == 250)


@pytest.mark.parametrize(
    ("fault", "certain", "again"),
    [("greylisted", True, True), ("blocked", True, True), ("spam", True, False), ("cut", False, False)],
)
async def test_our_adapter_understands_its_faults(smtp: Smtp, fault: str, *, certain: bool, again: bool) -> None:
    """4xx may be tried again and 5xx may not; after a lost answer nobody knows, and the letter was taken."""
    carrier = _carrier(smtp)
    smtp.fail(fault)
    with pytest.raises(NotCarried) as refused:
        await carrier.send(_mail())
    carrier.close()
    assert (refused.value.certain, refused.value.again) == (certain, again)
    assert bool(smtp.letters) is (fault == "cut")


async def test_it_speaks_starttls(tmp_path: Path) -> None:
    """With a certificate a login wants STARTTLS first, and a client that trusts it gets its letter through."""
    certificate, key = _self_signed(tmp_path)
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(certificate, key)
    async with served(Smtp(trust=ours)) as vendor:
        assert (await asyncio.to_thread(send, vendor.port)).status != 250
        carrier = _carrier(vendor, security="starttls", trust=ssl.create_default_context(cafile=str(certificate)))
        await carrier.send(_mail())
        carrier.close()
        assert len(vendor.letters) == 1


def _self_signed(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for loopback and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOOPBACK)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - dt.timedelta(days=1))
        .not_valid_after(now() + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private
