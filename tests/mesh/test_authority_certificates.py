"""The private authority: names, permissions, renewal, rotation, and that TLS really accepts its work."""

import datetime as dt
import socket
import ssl
import stat
import threading
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.kit.clock import now
from services.mesh.ca import LEAF_DAYS, NAMES, SERVICES, Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority on an empty home, everything issued."""
    made = Authority(tmp_path / "authority", tmp_path / "tls")
    assert made.ensure() == list(NAMES)
    return made


def _certificate(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "tls" / f"{name}.pem").read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_each_certificate_names_its_service(authority: Authority, tmp_path: Path, name: str) -> None:
    """The SAN holds the SPIFFE id, localhost, the service's name and 127.0.0.1, for both sides of TLS."""
    certificate = _certificate(tmp_path, name)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://cadenza/{name}"]
    served = SERVICES if name == "mesh" else ()
    assert names.get_values_for_type(x509.DNSName) == ["localhost", name, *served]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    key = load_pem_private_key((tmp_path / "tls" / f"{name}-key.pem").read_bytes(), password=None)
    assert key.public_key() == certificate.public_key()


def test_only_we_can_read_a_key(authority: Authority, tmp_path: Path) -> None:
    """Every private key has mode 0600, and the authority's own is not among the services' files."""
    keys = [*(tmp_path / "tls").glob("*-key.pem"), tmp_path / "authority" / "ca-key.pem"]
    assert len(keys) == len(NAMES) + 1
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert not (tmp_path / "tls" / "ca-key.pem").exists()


def test_a_second_look_changes_nothing(authority: Authority, tmp_path: Path) -> None:
    """Certificates that are good stay byte for byte."""
    before = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert authority.ensure() == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()} == before


def test_what_ends_within_thirty_days_is_renewed(authority: Authority, tmp_path: Path) -> None:
    """A certificate with 31 days left is kept, with 29 days left it is replaced."""
    for left, renewed in ((31, 0), (29, len(NAMES))):
        at = now() + dt.timedelta(days=LEAF_DAYS - left)
        later = Authority(
            tmp_path / "authority", tmp_path / "tls", clock=partial(dt.datetime.fromtimestamp, at.timestamp(), dt.UTC)
        )
        assert len(later.ensure()) == renewed


@pytest.mark.parametrize("damage", ["missing", "garbage", "swapped key"])
def test_a_damaged_certificate_is_replaced_alone(authority: Authority, tmp_path: Path, damage: str) -> None:
    """A missing, unreadable or mismatched pair is issued anew and the others are left alone."""
    tls = tmp_path / "tls"
    if damage == "missing":
        (tls / "media.pem").unlink()
    elif damage == "garbage":
        (tls / "media.pem").write_text("nonsense")
    else:
        (tls / "media-key.pem").write_bytes((tls / "share-key.pem").read_bytes())
    assert authority.ensure() == ["media"]


def test_rotation_gives_new_keys_that_mutual_tls_accepts(authority: Authority, tmp_path: Path) -> None:
    """After rotation every serial is new and two services still trust each other."""
    before = {name: _certificate(tmp_path, name).serial_number for name in NAMES}
    authority.rotate()
    assert all(_certificate(tmp_path, name).serial_number != before[name] for name in NAMES)
    assert _handshake(tmp_path / "tls", tmp_path / "tls") == "spiffe://cadenza/composer"


def test_a_new_authority_is_trusted_beside_the_old_one(authority: Authority, tmp_path: Path) -> None:
    """A process still holding the old certificates is accepted by one that has reloaded the new ones."""
    stale = tmp_path / "stale"
    stale.mkdir()
    for path in (tmp_path / "tls").iterdir():
        (stale / path.name).write_bytes(path.read_bytes())
    authority.rotate_authority()
    server, client = tmp_path / "tls", stale
    (client / "ca.pem").write_bytes((server / "ca.pem").read_bytes())
    assert _handshake(server, client) == "spiffe://cadenza/composer"


def test_a_certificate_of_another_home_is_refused(authority: Authority, tmp_path: Path) -> None:
    """The same names signed by another authority do not get in."""
    stranger = tmp_path / "stranger"
    Authority(stranger / "authority", stranger / "tls").ensure()
    with pytest.raises(ssl.SSLError):
        _handshake(tmp_path / "tls", stranger / "tls")


def _handshake(server_files: Path, client_files: Path) -> str:
    """Run one mutual TLS handshake on loopback, Wallet serving Composer; return the URI the server saw."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(server_files / "wallet.pem", server_files / "wallet-key.pem")
    serving.load_verify_locations(server_files / "ca.pem")
    serving.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.create_default_context(cafile=str(client_files / "ca.pem"))
    calling.load_cert_chain(client_files / "composer.pem", client_files / "composer-key.pem")
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                accepted, _ = listener.accept()
                with serving.wrap_socket(accepted, server_side=True) as connection:
                    peer = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
                    names = peer.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
                    seen.extend(names.get_values_for_type(x509.UniformResourceIdentifier))
                    connection.sendall(b"ok")
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=5) as raw,
                calling.wrap_socket(raw, server_hostname="wallet") as connection,
            ):
                assert connection.recv(2) == b"ok"
        finally:
            thread.join(timeout=5)
    return seen[0]
