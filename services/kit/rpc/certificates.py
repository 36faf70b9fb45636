"""The certificates of a process, read again when they change on disk."""

from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True)
class Bundle:
    """One process's certificate and key, and the authority it trusts, all as PEM."""

    authority: bytes
    certificate: bytes
    key: bytes


class Certificates:
    """Reads `ca.pem`, `<name>.pem` and `<name>-key.pem` of one folder."""

    def __init__(self, directory: Path, name: str) -> None:
        """Read the files; FileNotFoundError names the one that is missing."""
        self._files = (directory / "ca.pem", directory / f"{name}.pem", directory / f"{name}-key.pem")
        self._stamp = self._stamp_now()
        self.bundle = self._read()

    def refresh(self) -> bool:
        """Return whether the files have changed since the last call; `bundle` is then the new one.

        A change caught half-way (a file missing) counts as none: the next call sees it whole.
        """
        try:
            stamp = self._stamp_now()
            if stamp == self._stamp:
                return False
            self.bundle, self._stamp = self._read(), stamp
        except OSError:
            return False
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
