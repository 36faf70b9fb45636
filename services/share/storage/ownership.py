"""What belongs to people in Share."""

from services.kit.db.ownership import Owned
from services.share.domain.share import State
from services.share.storage.tables import shares

OWNED = (Owned("shares", shares, "share_id", shown=shares.c.state == State.ACTIVE.value),)
