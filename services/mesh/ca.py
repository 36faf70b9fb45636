"""A private certificate authority for the processes of one home.

Mutual TLS is on in the embedded mode too (a mesh that is only secure in production is not tested), so ``make up`` needs
certificates without asking anybody. Names are SPIFFE ids in the URI SAN; the RPC layer checks them per method.
"""

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.kit.clock import Clock, now

SERVICES = ("auth", "wallet", "composer", "media", "share")
# The co-located mesh answers for all five services on one port and so bears their names besides its own.
MESH = "mesh"
NAMES = (*SERVICES, "gateway", "worker", "edge", MESH)
AUTHORITY_DAYS = 3650
LEAF_DAYS = 90
RENEW_BEFORE_DAYS = 30
BACKDATE = dt.timedelta(minutes=5)  # Clocks in containers and laptops differ a little.


@dataclass(frozen=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Authority:
    """Issues and renews the certificates of a home.

    The authority's own key stays in ``directory``; processes read only ``tls``: ``ca.pem`` and, per name,
    ``<name>.pem`` and ``<name>-key.pem``.
    """

    def __init__(self, directory: Path, tls: Path, *, clock: Clock = now) -> None:
        self._directory = directory
        self._tls = tls
        self._clock = clock

    def ensure(self) -> list[str]:
        """Issue what is missing, foreign, unreadable or due within 30 days; return the names issued."""
        for folder in (self._directory, self._tls):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority = self._load_authority()
        if authority is None:
            authority = self._make_authority()
        due = [name for name in NAMES if self._is_due(name, authority)]
        for name in due:
            self._issue(name, authority)
        return due

    def rotate(self) -> None:
        """Replace every service's key and certificate; running processes pick them up on their own."""
        self.ensure()
        authority = self._load_authority()
        if authority is not None:
            for name in NAMES:
                self._issue(name, authority)

    def rotate_authority(self) -> None:
        """Start a new authority and reissue everything.

        The old authority stays trusted in ``ca.pem`` until it is rotated out by the next call, so connections between
        processes that have and have not reloaded keep working.
        """
        self.ensure()
        old = self._load_authority()
        authority = self._make_authority(also_trusted=old.certificate if old else None)
        for name in NAMES:
            self._issue(name, authority)

    def _load_authority(self) -> _Pair | None:
        pair = _load(self._directory / "ca.pem", self._directory / "ca-key.pem")
        if pair is None or _ends_within(pair.certificate, self._clock(), LEAF_DAYS):
            return None
        trusted = self._tls / "ca.pem"
        if not trusted.exists():
            _write(trusted, _pem(pair.certificate), mode=0o644)
        return pair

    def _make_authority(self, also_trusted: x509.Certificate | None = None) -> _Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        start = self._clock() - BACKDATE
        name = _name("Cadenza private authority")
        usage = _key_usage(signs_certificates=True)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + dt.timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        pair = _Pair(certificate, key)
        _write(self._directory / "ca-key.pem", _key_pem(key), mode=0o600)
        _write(self._directory / "ca.pem", _pem(certificate), mode=0o644)
        bundle = _pem(certificate) + (_pem(also_trusted) if also_trusted else b"")
        _write(self._tls / "ca.pem", bundle, mode=0o644)
        return pair

    def _is_due(self, name: str, authority: _Pair) -> bool:
        pair = _load(self._tls / f"{name}.pem", self._tls / f"{name}-key.pem")
        if pair is None or _ends_within(pair.certificate, self._clock(), RENEW_BEFORE_DAYS):
            return True
        try:
            pair.certificate.verify_directly_issued_by(authority.certificate)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the cure is a new one
            return True
        return pair.key.public_key() != pair.certificate.public_key()

    def _issue(self, name: str, authority: _Pair) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        start = self._clock() - BACKDATE
        names = x509.SubjectAlternativeName(
            [
                x509.UniformResourceIdentifier(f"spiffe://cadenza/{name}"),
                x509.DNSName("localhost"),
                *(x509.DNSName(each) for each in (name, *(SERVICES if name == MESH else ()))),
                x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")),
            ]
        )
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
        both_sides = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(authority.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + dt.timedelta(days=LEAF_DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(both_sides, critical=False)
            .add_extension(names, critical=False)
            .add_extension(identifier, critical=False)
            .sign(authority.key, hashes.SHA256())
        )
        # The certificate goes last: a reader that reloads on its change finds the matching key in place.
        _write(self._tls / f"{name}-key.pem", _key_pem(key), mode=0o600)
        _write(self._tls / f"{name}.pem", _pem(certificate), mode=0o644)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _ends_within(certificate: x509.Certificate, at: dt.datetime, days: int) -> bool:
    return certificate.not_valid_after_utc <= at + dt.timedelta(days=days)


def _load(certificate: Path, key: Path) -> _Pair | None:
    try:
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        pair = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError, TypeError):
        return None
    return _Pair(pair, loaded) if isinstance(loaded, ec.EllipticCurvePrivateKey) else None


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Replace a file at once and durably; it never exists with more permissions than ``mode``."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(path)
