"""Rules about the contract itself, read from the descriptors as the gateway and the interceptors read them."""

import re
from collections.abc import Iterator

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from cadenza.auth.v1 import (
    code_service_pb2,
    identity_service_pb2,
    login_service_pb2,
    merge_service_pb2,
    notification_service_pb2,
    password_service_pb2,
    session_service_pb2,
    user_service_pb2,
)
from cadenza.composer.v1 import (
    bill_service_pb2,
    dead_letter_service_pb2,
    export_service_pb2,
    job_service_pb2,
    lyrics_service_pb2,
    moderation_service_pb2,
    showcase_service_pb2,
    take_service_pb2,
    track_service_pb2,
    webhook_service_pb2,
)
from cadenza.composer.v1 import ownership_service_pb2 as composer_ownership_service_pb2
from cadenza.media.v1 import (
    asset_service_pb2,
    image_service_pb2,
    resumable_upload_service_pb2,
    slice_service_pb2,
    waveform_service_pb2,
)
from cadenza.media.v1 import ownership_service_pb2 as media_ownership_service_pb2
from cadenza.options.v1 import options_pb2
from cadenza.share.v1 import ownership_service_pb2 as share_ownership_service_pb2
from cadenza.share.v1 import report_service_pb2, share_service_pb2
from cadenza.wallet.v1 import admin_service_pb2, credit_service_pb2
from cadenza.wallet.v1 import ownership_service_pb2 as wallet_ownership_service_pb2
from tests.contract.generate import PROTO

FILES = (
    bill_service_pb2,
    session_service_pb2,
    user_service_pb2,
    code_service_pb2,
    identity_service_pb2,
    login_service_pb2,
    merge_service_pb2,
    notification_service_pb2,
    password_service_pb2,
    composer_ownership_service_pb2,
    media_ownership_service_pb2,
    share_ownership_service_pb2,
    wallet_ownership_service_pb2,
    credit_service_pb2,
    admin_service_pb2,
    take_service_pb2,
    track_service_pb2,
    job_service_pb2,
    export_service_pb2,
    dead_letter_service_pb2,
    lyrics_service_pb2,
    moderation_service_pb2,
    showcase_service_pb2,
    webhook_service_pb2,
    asset_service_pb2,
    resumable_upload_service_pb2,
    image_service_pb2,
    slice_service_pb2,
    waveform_service_pb2,
    report_service_pb2,
    share_service_pb2,
)
SERVICES = ("auth", "wallet", "composer", "media", "share")
CALLERS = {*SERVICES, "gateway", "edge"}


def methods() -> list[MethodDescriptor]:
    """Return every method of every service of the contract."""
    return [
        method for file in FILES for service in file.DESCRIPTOR.services_by_name.values() for method in service.methods
    ]


def option(method: MethodDescriptor, extension: object) -> object:
    """Return what the method says of one extension."""
    return method.GetOptions().Extensions[extension]  # type: ignore[index]


def paths(method: MethodDescriptor) -> Iterator[tuple[str, str]]:
    """Yield the HTTP verb and path of each binding."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    for each in (rule, *rule.additional_bindings):
        verb = each.WhichOneof("pattern")
        if verb:
            yield verb, getattr(each, verb)


EVERY_METHOD = pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)


def test_every_service_file_is_covered() -> None:
    """The rules below see every service file there is."""
    on_disk = {path.relative_to(PROTO).as_posix() for path in PROTO.glob("cadenza/*/v1/*_service.proto")}

    assert on_disk == {file.DESCRIPTOR.name for file in FILES}


@EVERY_METHOD
def test_access(method: MethodDescriptor) -> None:
    """Every method says who may call it, and an internal one names services that exist."""
    access = option(method, options_pb2.access)
    callers = set(option(method, options_pb2.callers))  # type: ignore[call-overload]

    assert access != options_pb2.ACCESS_UNSPECIFIED
    assert bool(callers) == (access == options_pb2.ACCESS_INTERNAL)
    assert callers <= CALLERS


@EVERY_METHOD
def test_route(method: MethodDescriptor) -> None:
    """A method has an HTTP rule exactly when it is not internal, with plain fields that the request has."""
    internal = option(method, options_pb2.access) == options_pb2.ACCESS_INTERNAL
    found = list(paths(method))

    assert bool(found) != internal
    for _, path in found:
        assert re.fullmatch(r"(/([a-z][A-Za-z0-9-]*|\{[a-z_]+\}|v1))+", path), path
        for name in re.findall(r"\{([a-z_]+)\}", path):
            assert name in method.input_type.fields_by_name


@EVERY_METHOD
def test_verb_fits_idempotency(method: MethodDescriptor) -> None:
    """GET changes nothing, and whatever changes nothing is GET."""
    level = method.GetOptions().idempotency_level
    safe = level == MethodOptions.NO_SIDE_EFFECTS

    for verb, _ in paths(method):
        assert (verb == "get") == safe


def _request_id(message: Descriptor, depth: int = 0) -> bool:
    if "request_id" in message.fields_by_name:
        return True
    return depth == 0 and any(
        field.message_type is not None and _request_id(field.message_type, 1) for field in message.fields
    )


@EVERY_METHOD
def test_repeat(method: MethodDescriptor) -> None:
    """A method is safe to repeat by nature or carries a request id that makes it so."""
    by_nature = method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN

    assert by_nature != _request_id(method.input_type)


@pytest.mark.parametrize(
    "method",
    # The price table is one short page.
    [method for method in methods() if method.name.startswith("List") and method.name != "ListPrices"],
    ids=lambda method: method.full_name,
)
def test_paging(method: MethodDescriptor) -> None:
    """A list method takes a page size and a token, and answers with its results first and the next token."""
    asked, answer = method.input_type.fields_by_name, method.output_type

    assert {"page_size", "page_token"} <= set(asked)
    assert "next_page_token" in answer.fields_by_name
    assert answer.fields_by_number[1].is_repeated


@pytest.mark.parametrize(
    "method", [method for method in methods() if method.name.startswith("Watch")], ids=lambda method: method.full_name
)
def test_watch(method: MethodDescriptor) -> None:
    """A watch stream resumes by `after_sequence`, and each of its messages carries its sequence."""
    assert method.server_streaming
    assert "after_sequence" in method.input_type.fields_by_name
    assert "sequence" in method.output_type.fields_by_name


@EVERY_METHOD
def test_own_messages(method: MethodDescriptor) -> None:
    """Every method has a request and a response of its own."""
    assert method.input_type.name == f"{method.name}Request"
    assert method.output_type.name == f"{method.name}Response"


def _fields() -> list[tuple[str, str, object]]:
    seen: dict[str, Descriptor] = {}

    def visit(message: Descriptor) -> None:
        if message.full_name.startswith("cadenza.") and message.full_name not in seen:
            seen[message.full_name] = message
            for field in message.fields:
                if field.message_type is not None:
                    visit(field.message_type)

    for method in methods():
        visit(method.input_type)
        visit(method.output_type)
    return [(name, field.name, field) for name, message in sorted(seen.items()) for field in message.fields]


@pytest.mark.parametrize(
    ("message", "name", "field"), _fields(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_field(message: str, name: str, field: object) -> None:
    """A token is marked secret, a time is named so, a request's text is bounded, and credits are whole numbers."""
    options = field.GetOptions()  # type: ignore[attr-defined]
    kind = field.message_type.full_name if field.message_type else ""  # type: ignore[attr-defined]

    if name in {"access_token", "refresh_token", "upload_url", "code"} and message.startswith("cadenza.auth"):
        assert options.debug_redact
    if kind == "google.protobuf.Timestamp":
        assert name.endswith("_time")
    if name.endswith("_credits"):
        assert field.type == field.TYPE_INT64  # type: ignore[attr-defined]
    if message.endswith("Request") and field.type == field.TYPE_STRING:  # type: ignore[attr-defined]
        assert "[buf.validate.field]" in str(options), "text from outside has a limit"
