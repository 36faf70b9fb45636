"""A checker of the operator's own, asked over HTTP: a virus scanner, a model, a vendor behind a small program.

It is sent the bytes by POST with their Content-Type and, where a secret is set, `Authorization: Bearer`. It answers
with JSON: `suggest` is `pass`, `review` or `risky`, as WeChat's checks have it, and `label` a word of up to 64 letters.
"""

from typing import Final

from services.kit.errors import Unavailable
from services.kit.http import HttpClient, Limits
from services.media.domain.content import Standing, Verdict

NAME: Final = "content_hook"
_OK: Final = 200
_LONGEST_LABEL: Final = 64
_LIMITS: Final = Limits(total_s=20.0, body_bytes=64 * 1024)


class ContentHook:
    """Asks one address."""

    def __init__(self, url: str, secret: str) -> None:
        """Ask this address, which may be a private one; nobody is asked yet."""
        self._url = url
        self._headers = {"authorization": f"Bearer {secret}"} if secret else {}
        self._http = HttpClient(NAME, limits=_LIMITS, private_allowed=True)

    async def judge(self, content_type: str, data: bytes) -> Verdict:
        """Return what the hook says; raises Unavailable for no answer, and for one that makes no sense."""
        headers = {**self._headers, "content-type": content_type}
        # It judges and changes nothing, so it may be asked again.
        answer = await self._http.request("POST", self._url, data=data, headers=headers, idempotent=True)
        try:
            said = answer.json() if answer.status == _OK else {}
            standing = Standing(said["suggest"])
            label = str(said.get("label", ""))[:_LONGEST_LABEL]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"the check of content answered with {answer.status} and no verdict"
            raise Unavailable(message, dependency=NAME) from error
        return Verdict(standing, label)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()
