"""A report: somebody complains about what is shown."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.share.domain.share import Share


class Reason(StrEnum):
    """What can be wrong with a share."""

    COPYRIGHT = "copyright"
    ABUSE = "abuse"
    SEXUAL = "sexual"
    SPAM = "spam"
    PRIVACY = "privacy"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Report:
    """One complaint."""

    reason: Reason
    message: str
    create_time: datetime


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A share with the number of places that complain about it, and the newest complaints."""

    share: Share
    count: int
    reports: tuple[Report, ...]
