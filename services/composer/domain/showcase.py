"""Where people begin: templates that a song is started from, and banners."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from services.composer.domain.track import clean_line
from services.kit.errors import ParamInvalid

# A path of this server, whose second character no other server's name can begin with; or https.
_PLACE = re.compile(r"/(?![/\\])[!-~]*|https://[A-Za-z0-9.-]+(?::\d{1,5})?(?:[/?#][!-~]*)?|#[!-~]*")


@dataclass(frozen=True, kw_only=True)
class Template:
    """What a song can be started from."""

    template_id: str
    locale: str
    title: str
    theme: str
    style: str
    mood: str
    sort_order: int

    def cleaned(self) -> Self:
        """Return the template on one line each and without markup; raises ParamInvalid when nothing is left."""
        words = {name: clean_line(getattr(self, name)) for name in ("title", "theme", "style", "mood")}
        for name in ("title", "theme"):
            if not words[name]:
                raise ParamInvalid.of(name, "must not be empty")
        return type(self)(template_id=self.template_id, locale=self.locale, sort_order=self.sort_order, **words)


@dataclass(frozen=True, kw_only=True)
class Banner:
    """A picture with a sentence that leads somewhere, shown for a time."""

    banner_id: str
    locale: str
    title: str
    image_url: str
    link_url: str
    sort_order: int
    start_time: datetime | None = None
    end_time: datetime | None = None

    def shown(self, at: datetime) -> bool:
        """Return whether the banner is shown now."""
        return (self.start_time is None or self.start_time <= at) and (self.end_time is None or at < self.end_time)

    def cleaned(self) -> Self:
        """Return the banner on one line and without markup.

        Raises ParamInvalid for addresses that are neither https nor paths of this server, and for an end before the
        start.
        """
        title = clean_line(self.title)
        if not title:
            raise ParamInvalid.of("title", "must not be empty")
        for name in ("image_url", "link_url"):
            if getattr(self, name) and not _PLACE.fullmatch(getattr(self, name)):
                raise ParamInvalid.of(name, "must be https or a path of this server")
        if self.start_time and self.end_time and self.end_time <= self.start_time:
            raise ParamInvalid.of("end_time", "must be after start_time")
        return type(self)(**{**self.__dict__, "title": title})
