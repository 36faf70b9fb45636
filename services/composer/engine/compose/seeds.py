"""Where all chance of the composer comes from, so that the same brief gives the same song on every machine.

Each purpose draws from its own stream: a change in how fills are chosen must not move the drums.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, label: str, purpose: str) -> np.random.Generator:
    """Return the random stream of one purpose (`drums`, `fills` ...) of version `label` of a song."""
    digest = hashlib.blake2b(f"{seed}/{label}/{purpose}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
