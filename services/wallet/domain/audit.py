"""What an administrator did, to whom, and why."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

Input = Mapping[str, str | int | None]


class Action(StrEnum):
    """The acts of administrators; a client-made id is unique within its act."""

    ADJUST_BALANCE = "adjust_balance"
    FREEZE_WALLET = "freeze_wallet"
    UNFREEZE_WALLET = "unfreeze_wallet"
    SET_PRICE = "set_price"
    SET_QUOTA = "set_quota"
    SET_PLAN = "set_plan"
    REPAIR = "repair"


@dataclass(frozen=True)
class AdminAct:
    """One wish of an administrator: what, to which user or kind of work, with which values, by whom and why."""

    action: Action
    request_id: str
    subject: str
    operator_id: str
    reason: str
    values: Input

    @property
    def input_hash(self) -> bytes:
        """Return the 32 bytes by which a repeat is told from a reused id; who repeats does not matter."""
        plain = json.dumps([self.action.value, self.subject, self.reason, dict(self.values)], sort_keys=True)
        return hashlib.sha256(plain.encode()).digest()


@dataclass(frozen=True)
class Audit:
    """One act as it was done."""

    audit_id: str
    action: Action
    subject: str
    operator_id: str
    reason: str
    input: str
    create_time: datetime


@dataclass(frozen=True)
class Freeze:
    """A stopped wallet: why, in words for its user, and since when."""

    user_id: str
    reason: str
    freeze_time: datetime
