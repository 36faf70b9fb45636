"""Time as a person tells it."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.kit.errors import ParamInvalid


def zone(name: str) -> str:
    """Return a zone of the IANA database by its name, empty for none; ParamInvalid for what is no zone."""
    if name and _known(name) is None:
        raise ParamInvalid.of("time_zone", "is no zone of the IANA database")
    return name


def spoken(moment: datetime, name: str) -> str:
    """Return a moment in words, to the minute, in a zone; in UTC for a zone that is not known here."""
    known = _known(name) if name else None
    here = moment.astimezone(known or UTC)
    return f"{here:%Y-%m-%d %H:%M} {name if known else 'UTC'}"


def _known(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
