"""What belongs to people in Share."""

from sqlalchemy import case, func

from services.kit.db.ownership import Owned
from services.share.domain.share import State
from services.share.storage.tables import shares

OWNED = (
    Owned(
        "shares",
        shares,
        "share_id",
        shown=shares.c.state == State.ACTIVE.value,
        left=lambda at: {
            "state": case((shares.c.state == State.ACTIVE.value, State.REVOKED.value), else_=shares.c.state),
            "revoke_time": func.coalesce(shares.c.revoke_time, at),
            "listed": False,
            "category": "",
        },
    ),
)
