"""The forms of a share's page, which work without scripts: the door of one with a password, and complaints.

The ticket that the password gives is kept in a cookie that goes to the page of that share alone, is out of reach of
scripts, and is sent to no other site's frame.
"""

from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from gateway.bodies import read_body
from gateway.caller import CALLER
from services.kit.errors import ParamInvalid

COOKIE: Final = "share_ticket"

# A thousand Chinese characters, each escaped to nine.
_LARGEST_FORM: Final = 12_000
_FORM_S: Final = 10.0
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


async def form_of(http: web.Request) -> dict[str, str]:
    """Return the fields of the form, the first of each name; raises BodyTooLarge, and ParamInvalid for no form."""
    data = await read_body(http, limit=_LARGEST_FORM, deadline_s=_FORM_S)
    try:
        fields = parse_qs(data.decode(), max_num_fields=8, errors="strict")
    except ValueError as error:
        raise ParamInvalid.of("form", "cannot be read") from error
    return {name: values[0] for name, values in fields.items()}


async def password_in(http: web.Request) -> str:
    """Return the password of the form; raises as `form_of`, and ParamInvalid when it has none that can be."""
    password = (await form_of(http)).get("password", "")
    if not 0 < len(password) <= _LONGEST_PASSWORD:
        raise ParamInvalid.of("password", f"must have 1 to {_LONGEST_PASSWORD} characters")
    return password
