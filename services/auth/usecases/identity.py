"""Identities: under which hashes a way to log in is found, and what of it is kept sealed."""

import json
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.pepper import Pepper
from services.auth.domain.target import Channel, Target
from services.auth.domain.user import Identity, Provider, identity_hash
from services.auth.storage import user as storage
from services.kit.sealing import CannotOpen, Sealer

_ADDRESSED = {Provider.PHONE: Channel.SMS, Provider.EMAIL: Channel.EMAIL}


class Identities:
    """What is known of ways to log in."""

    def __init__(self, pepper: Pepper, sealer: Sealer) -> None:
        """Keep the keys."""
        self._pepper = pepper
        self._sealer = sealer

    def hashes(self, provider: Provider, provider_id: str) -> tuple[bytes, ...]:
        """Return the hashes under which an identity may be kept, the one to write first."""
        if provider in _ADDRESSED:
            return self._pepper.hashes("identity", provider.value, provider_id)
        return (identity_hash(provider, provider_id),)

    def sealed(self, target: Target, identity_id: str) -> str:
        """Return the address of a phone or mailbox as it is kept with its identity."""
        return self._sealer.seal(json.dumps({"address": target.address}).encode(), _place(identity_id))

    def target_of(self, identity: Identity, sealed: str) -> Target | None:
        """Return the phone or mailbox behind an identity; None for other doors and for what cannot be opened."""
        channel = _ADDRESSED.get(identity.provider)
        if channel is None:
            return None
        try:
            return Target(channel, json.loads(self._sealer.open(sealed, _place(identity.identity_id)))["address"])
        except CannotOpen:
            return None

    def open_id_in(self, digest: bytes, sealed: str) -> str:
        """Return the open id of an identity with WeChat; empty for what cannot be opened."""
        try:
            return str(json.loads(self._sealer.open(sealed, f"auth.identities:{digest.hex()}"))["open_id"])
        except (CannotOpen, ValueError, KeyError):
            return ""

    def labelled(self, identity: Identity, sealed: str) -> Identity:
        """Return an identity with what its owner knows it by."""
        target = self.target_of(identity, sealed)
        return identity if target is None else replace(identity, label=target.label)

    async def mailbox_of(self, tx: AsyncConnection, user_id: str) -> str:
        """Return the mailbox that letters about an account go to, empty when it has none."""
        for identity, sealed in await storage.list_identities(tx, user_id):
            target = self.target_of(identity, sealed)
            if target is not None and target.channel is Channel.EMAIL:
                return target.address
        return ""


def _place(identity_id: str) -> str:
    return f"auth.identities:{identity_id}"
