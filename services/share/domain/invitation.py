"""An invitation into the mini-program: a code to scan and a link to tap for one share.

A code never ends, so it is made once. A link lives for thirty days at most and is made anew before its end. While
WeChat does not give one, the tries grow apart; a share is not worth more than a day's quota.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

PAGE: Final = "pages/share/index"
RENEW: Final = timedelta(days=2)
MOST_TRIES: Final = 12
_FIRST_PAUSE: Final = timedelta(seconds=2)
_LONGEST_PAUSE: Final = timedelta(hours=6)


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """What is wanted and what there is; `making_id` is another one whenever something is wanted anew."""

    share_id: str
    user_id: str
    share_code: str
    wants_wxcode: bool = False
    wants_scheme: bool = False
    wxcode_asset_id: str = ""
    scheme_url: str = ""
    scheme_expire_time: datetime | None = None
    tries: int = 0
    making_id: str = ""

    @property
    def lacks_wxcode(self) -> bool:
        """Whether a code is wanted that is not there."""
        return self.wants_wxcode and not self.wxcode_asset_id

    def lacks_scheme(self, at: datetime) -> bool:
        """Return whether a link is wanted that is not there, or ends soon."""
        ends = self.scheme_expire_time
        return self.wants_scheme and (not self.scheme_url or (ends is not None and ends - RENEW <= at))


def literal_scheme(share_code: str) -> str:
    """Return the link of a share where no mini-program is configured."""
    return f"weixin://dl/business/?t={share_code}"


def pause_after(tries: int) -> timedelta | None:
    """Return how long is waited before the next try, None when there have been enough."""
    return None if tries >= MOST_TRIES else min(_FIRST_PAUSE * 2**tries, _LONGEST_PAUSE)
