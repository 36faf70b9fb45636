"""What schemathesis is told about this API beside its document: who calls, and which answers are no faults.

It runs in a process of its own (`tests.document.runs`); each request is a line of the file that DOCUMENT_LOG names.
"""

import json
import os
import re
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema_rs
import schemathesis
from schemathesis.core.failures import Failure

from services.kit.ids import new_id

_BASE = os.environ["DOCUMENT_URL"]  # noqa: TID251  # told by whoever starts this process
_ADMIN = os.environ["DOCUMENT_ADMIN"]  # noqa: TID251
_LOG = Path(os.environ["DOCUMENT_LOG"])  # noqa: TID251
_PATIENCE_S = 30
_UNAUTHORIZED, _NOT_ALLOWED, _REFUSED = 401, 405, 400
_OFFSET_BYTES = "application/offset+octet-stream"


class _Tokens:
    """The token of somebody who is logged in; who is told to log in becomes somebody new."""

    def __init__(self) -> None:
        self._token = ""

    def get(self) -> str:
        """Return a token that was good when it was last used."""
        if not self._token:
            body = json.dumps({"provider": "web", "provider_id": f"document-{new_id()}"}).encode()
            request = urllib.request.Request(  # noqa: S310  # our own mesh
                f"{_BASE}/api/v1/auth/anonymous", data=body, headers={"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:  # noqa: S310
                self._token = json.load(answer)["data"]["access_token"]
        return self._token

    def told_off(self, headers: Any) -> None:
        """Forget the token when it was the one that was refused."""
        if self._token and self._token in str(headers.get("Authorization", "")):
            self._token = ""


_tokens = _Tokens()


@schemathesis.auth(refresh_interval=None)
class _Auth:
    """Sends the token that the operation asks for; refusals of tokens are tried by the check `ignored_auth`."""

    def get(self, case: Any, context: Any) -> str:
        """Return the administrator's token for routes of administrators, a person's for all others."""
        admin = any("admin" in roles for way in case.operation.definition.raw["security"] for roles in way.values())
        return _ADMIN if admin else _tokens.get()

    def set(self, case: Any, data: str, context: Any) -> None:
        """Put the token into the request."""
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.serializer(_OFFSET_BYTES)
def _offset_bytes(context: Any, value: Any) -> Any:
    """Send the bytes of a piece as they are."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Write down what was asked and answered, in short."""
    if response.status_code == _UNAUTHORIZED:
        _tokens.told_off(response.request.headers)
    reason = ""
    if response.status_code >= _REFUSED:
        try:
            reason = json.loads(response.text)["error"]
        except (ValueError, KeyError, TypeError):
            reason = "no envelope"
    with _LOG.open("a", encoding="utf-8") as file:
        file.write(json.dumps([case.operation.label, response.status_code, reason]) + "\n")


@schemathesis.check
def declared(context: Any, response: Any, case: Any) -> None:
    """Every refusal is named for its route in the document, not only covered by `default`."""
    named = case.operation.definition.raw["responses"]
    asked = response.request.method == case.operation.method.upper()
    if asked and response.status_code != _NOT_ALLOWED and str(response.status_code) not in named:
        raise Failure(
            operation=case.operation.label,
            title="Status is not declared",
            message=f"{response.status_code} {response.text[:300]}",
        )


@schemathesis.hook
def filter_failure(context: Any, failure: Failure, case: Any, response: Any) -> bool:
    """Return whether it is a fault.

    None are: a sparse answer, if it fits but for the keys that were not asked for; a number in place of an enum's
    word, which the rules of HTTP and JSON allow; a request without a token that is refused for something else; and GET
    of an address that another operation's path answers.
    """
    kind, query = type(failure).__name__, case.query or {}
    if kind == "JsonSchemaError" and "fields" in query:
        return not _fits_sparsely(case, response)
    if kind == "MissingHeaderNotRejected":
        return bool(response.status_code < _REFUSED)
    if kind == "AcceptedNegativeData":
        return not _numbered(case)
    return not (kind in {"UnsupportedMethodResponse", "AllowHeaderMismatch"} and "/verification/" in case.path)


def _numbered(case: Any) -> bool:
    """Return whether the request says a word of an enum by its number."""
    operation, components = case.operation.definition.raw, case.operation.schema.raw_schema["components"]["schemas"]
    given = {each["name"]: (each["schema"], (case.query or {}).get(each["name"])) for each in operation["parameters"]}
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body and isinstance(case.body, dict):
        properties = components[body["schema"]["$ref"].rpartition("/")[2]]["properties"]
        given |= {name: (properties[name], value) for name, value in case.body.items() if name in properties}
    return any(
        '"enum"' in json.dumps(schema) and not isinstance(value, bool) and re.fullmatch(r"\[?-?[0-9]+\]?", str(value))
        for schema, value in given.values()
    )


def _fits_sparsely(case: Any, response: Any) -> bool:
    """Return whether the answer fits its schema when no key of it has to be there."""
    document = case.operation.schema.raw_schema
    operation = document["paths"][case.operation.path][case.operation.method.lower()]
    schema = operation["responses"][str(response.status_code)]["content"]["application/json"]["schema"]
    components = _without_required(document["components"]["schemas"])
    loose = {**_without_required(schema), "components": {"schemas": components}}
    return bool(jsonschema_rs.Draft202012Validator(loose).is_valid(json.loads(response.text)))


def _without_required(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: _without_required(each)
            for key, each in schema.items()
            if not (key == "required" and isinstance(each, list))
        }
    return [_without_required(each) for each in schema] if isinstance(schema, list) else schema
