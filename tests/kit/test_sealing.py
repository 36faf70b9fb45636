"""Secrets at rest."""

import pytest

from services.kit.sealing import CannotOpen, Sealer

KEY, OTHER = "ab" * 32, "cd" * 32


def test_sealed_secrets_open_only_in_their_place() -> None:
    """A secret opens under its key and place, not in another place, damaged, or under another key."""
    sealer = Sealer.from_hex(KEY)
    sealed = sealer.seal(b"secret", "here")
    assert sealer.open(sealed, "here") == b"secret"
    assert sealer.seal(b"secret", "here") != sealed
    flipped = sealed[:-9] + ("A" if sealed[-9] != "A" else "B") + sealed[-8:]
    for text, place in ((sealed, "there"), (flipped, "here"), (sealed[:30], "here"), ("", "here"), ("v1.x.y", "here")):
        with pytest.raises(CannotOpen):
            sealer.open(text, place)
    with pytest.raises(CannotOpen):
        Sealer.from_hex(OTHER).open(sealed, "here")


def test_encryption_keys_can_change() -> None:
    """What an old key sealed opens while that key is still listed; new secrets use the new key."""
    old = Sealer.from_hex(KEY)
    both = Sealer.from_hex(OTHER, f" {KEY} ,")
    assert both.open(old.seal(b"secret", "here"), "here") == b"secret"
    assert Sealer.from_hex(OTHER).open(both.seal(b"new", "here"), "here") == b"new"
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer.from_hex("abcd")
