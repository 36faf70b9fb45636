"""The door of a share with a password: a form that works without scripts, and a cookie that holds the ticket.

The cookie goes to the page of that share alone, is out of reach of scripts, and is sent to no other site's frame.
"""

from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from gateway.caller import CALLER
from services.kit.errors import BodyTooLarge, ParamInvalid

COOKIE: Final = "share_ticket"

_LARGEST_FORM: Final = 2048
_LONGEST_TICKET: Final = 128
_LONGEST_PASSWORD: Final = 64


def ticket_of(http: web.Request) -> str:
    """Return the ticket that came along, "" for none and for what cannot be one."""
    ticket = http.cookies.get(COOKIE, "")
    return ticket if len(ticket) <= _LONGEST_TICKET else ""


def keep_ticket(http: web.Request, response: web.Response, *, path: str, ticket: str, seconds: int) -> None:
    """Let the browser bring the ticket along to the page at *path* for so many seconds."""
    response.set_cookie(
        COOKIE, ticket, path=path, max_age=seconds, httponly=True, samesite="Lax", secure=http[CALLER].secure
    )


async def password_in(http: web.Request) -> str:
    """Return the password of the form; raises BodyTooLarge, and ParamInvalid when the form has none that can be."""
    data = await http.content.read(_LARGEST_FORM + 1)
    if len(data) > _LARGEST_FORM or not http.content.at_eof():
        raise BodyTooLarge("the form is too large", limit_bytes=_LARGEST_FORM)
    try:
        password = parse_qs(data.decode(), max_num_fields=8, errors="strict").get("password", [""])[0]
    except ValueError as error:
        raise ParamInvalid.of("password", "cannot be read") from error
    if not 0 < len(password) <= _LONGEST_PASSWORD:
        raise ParamInvalid.of("password", f"must have 1 to {_LONGEST_PASSWORD} characters")
    return password
