"""The certificates of a process, read again when they change on disk."""

import errno
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key


@dataclass(frozen=True)
class Bundle:
    """One process's certificate and key, and the authority it trusts, all as PEM."""

    authority: bytes
    certificate: bytes
    key: bytes


class Certificates:
    """Reads `ca.pem`, `<name>.pem` and `<name>-key.pem` of one folder."""

    def __init__(self, directory: Path, name: str) -> None:
        """Read the files; FileNotFoundError names the one that is missing, or the key that is not the certificate's."""
        self._files = (directory / "ca.pem", directory / f"{name}.pem", directory / f"{name}-key.pem")
        self._stamp: object = self._stamp_now()
        self.bundle = self._read()
        if not _match(self.bundle):
            raise FileNotFoundError(errno.ENOENT, "no key of this certificate", str(self._files[2]))

    def refresh(self) -> bool:
        """Return whether the files have changed since the last call; `bundle` is then the new one.

        A change caught half-way counts as none, and the next call sees it whole: a file that is missing, and a new key
        beside the old certificate. What the authority says is taken at once, because others may have its new ones.
        """
        try:
            stamp = self._stamp_now()
            if stamp == self._stamp:
                return False
            found = self._read()
        except OSError:
            return False
        if _match(found):
            self.bundle, self._stamp = found, stamp
            return True
        if found.authority == self.bundle.authority:
            return False
        self.bundle = replace(self.bundle, authority=found.authority)
        return True

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return credentials that demand a client certificate and follow changes by themselves."""

        def configuration() -> grpc.ServerCertificateConfiguration:
            bundle = self.bundle
            return grpc.ssl_server_certificate_configuration(
                [(bundle.key, bundle.certificate)], root_certificates=bundle.authority
            )

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            # Asked at every handshake; None keeps what is in use.
            return configuration() if self.refresh() else None

        return grpc.dynamic_ssl_server_credentials(
            configuration(),
            fetch,  # type: ignore[arg-type]  # None means no change, which the stubs do not know
            require_client_authentication=True,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return credentials with the present certificate; a channel keeps them for its life."""
        bundle = self.bundle
        return grpc.ssl_channel_credentials(
            root_certificates=bundle.authority,
            private_key=bundle.key,
            certificate_chain=bundle.certificate,
        )

    def _stamp_now(self) -> tuple[tuple[int, int], ...]:
        statuses = [path.stat() for path in self._files]
        return tuple((status.st_mtime_ns, status.st_ino) for status in statuses)

    def _read(self) -> Bundle:
        authority, certificate, key = (path.read_bytes() for path in self._files)
        return Bundle(authority, certificate, key)


def _match(bundle: Bundle) -> bool:
    """Return whether the key is that of the certificate; what cannot be read matches nothing."""
    try:
        key = load_pem_private_key(bundle.key, password=None)
        certificate = x509.load_pem_x509_certificate(bundle.certificate)
    except ValueError:
        return False
    return key.public_key() == certificate.public_key()
