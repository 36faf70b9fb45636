"""The route table: what the contracts annotate, and what the gateway refuses to start with."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from google.api import annotations_pb2, httpbody_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import MethodDescriptor

from cadenza.options.v1 import options_pb2
from gateway.app import build
from gateway.config import Config
from gateway.routes import _bindings_of, _clashes, public_bindings
from gateway.uploads import check_upload
from services.kit.rpc.method import ContractError
from tests.gateway.services import Fakes

_numbers = itertools.count()
assert httpbody_pb2  # its file is loaded before those that depend on it


def make_method(change: Callable[[Any, Any], None]) -> MethodDescriptor:
    """Return a method `Get` of a message with a text, a list and a message, annotated as the test wants."""
    number = next(_numbers)
    package = f"bad{number}.svc.v1"
    file = descriptor_pb2.FileDescriptorProto(name=f"tests/bad{number}.proto", package=package, syntax="proto3")
    file.dependency.extend(
        ["google/api/annotations.proto", "google/api/httpbody.proto", "cadenza/options/v1/options.proto"]
    )
    field = descriptor_pb2.FieldDescriptorProto
    message = file.message_type.add(name="Request")
    message.field.add(name="name", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    message.field.add(name="names", number=2, type=field.TYPE_STRING, label=field.LABEL_REPEATED)
    message.field.add(
        name="inner", number=3, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL, type_name=f".{package}.Request"
    )
    method = file.service.add(name="Service").method.add(
        name="Get", input_type=f".{package}.Request", output_type=f".{package}.Request"
    )
    method.options.Extensions[options_pb2.access] = options_pb2.ACCESS_PUBLIC
    change(method, method.options.Extensions[annotations_pb2.http])
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    found: MethodDescriptor = pool.FindServiceByName(f"{package}.Service").methods_by_name["Get"]
    return found


def rule(verb: str, path: str, **more: Any) -> Callable[[Any, Any], None]:
    """Return the change that annotates with one rule."""

    def change(_method: Any, http: Any) -> None:
        setattr(http, verb, path)
        for name, value in more.items():
            setattr(http, name, value)

    return change


def streaming(verb: str, *, client: bool, server: bool, **more: Any) -> Callable[[Any, Any], None]:
    """Return the change that makes a stream."""

    def change(method: Any, http: Any) -> None:
        method.client_streaming, method.server_streaming = client, server
        rule(verb, "/x", **more)(method, http)

    return change


def unannotated(method: Any, _http: Any) -> None:
    """Leave the rule out."""
    method.options.ClearExtension(annotations_pb2.http)


def internal(method: Any, http: Any) -> None:
    """Open an internal method to the world."""
    http.get = "/x"
    method.options.Extensions[options_pb2.access] = options_pb2.ACCESS_INTERNAL


def raw_bytes(method: Any, http: Any) -> None:
    """Answer with bytes of any kind."""
    http.get = "/x"
    method.output_type = ".google.api.HttpBody"


def nested(_method: Any, http: Any) -> None:
    """Bind within a binding."""
    http.get = "/x"
    http.additional_bindings.add(get="/y").additional_bindings.add(get="/z")


@pytest.mark.point(1, 6, 31)
@pytest.mark.parametrize(
    "change",
    [
        rule("get", "/x/*"),
        rule("get", "/x/**"),
        rule("get", "/x/{name=}"),
        rule("get", "/x/{name={names}}"),
        rule("get", "/x/{name=**}/y"),
        rule("get", "/x/{name=**}:cancel"),
        rule("get", "/x/{name=a**}"),
        rule("get", "/x/{name}/{name}"),
        rule("get", "/x/{name}s"),
        rule("get", "/x/y:"),
        rule("get", "/x/{inner.names}"),
        rule("get", "/x/{inner.inner}"),
        rule("get", "/x/{names.name}"),
        rule("get", "/x/{inner.}"),
        rule("get", ""),
        rule("get", "/x?y=1"),
        rule("get", "/x/{other}"),
        rule("get", "/x/{names}"),
        rule("get", "/x/{inner}"),
        rule("get", "x"),
        rule("get", "/x/"),
        rule("get", "/x", body="*"),
        rule("delete", "/x", body="*"),
        rule("post", "/x", body="name"),
        rule("post", "/x", body="other"),
        rule("get", "/x", response_body="other"),
        rule("post", "/x", body="inner.name"),
        raw_bytes,
        lambda _method, http: http.custom.MergeFrom(type(http.custom)(kind="LINK", path="/x")),
        unannotated,
        internal,
        nested,
        streaming("post", client=True, server=True, body="*"),
        streaming("put", client=True, server=False, body="*"),
        streaming("post", client=False, server=True, body="*"),
    ],
)
def test_an_annotation_that_cannot_be_served_as_it_stands_stops_the_start(change: Callable[[Any, Any], None]) -> None:
    """Wildcards, verbs, foreign fields, bodies in the wrong place and unbound methods are refused by name."""
    with pytest.raises(ContractError, match=r"bad\d+\.svc\.v1\.Service"):
        list(_bindings_of(make_method(change)))


def test_a_body_may_be_one_field_and_the_rest_comes_from_the_query() -> None:
    """`body: "inner"` binds that message field."""
    (binding,) = _bindings_of(make_method(rule("post", "/x/{name}", body="inner")))
    assert (binding.verb, binding.body, [each.name for each in binding.variables]) == ("POST", "inner", ["name"])
    assert binding.taken == {"name", "inner"}


@pytest.mark.point(3)
def test_two_methods_cannot_answer_one_request() -> None:
    """The names of variables do not tell routes apart."""
    one = list(_bindings_of(make_method(rule("get", "/x/{name}"))))
    two = list(_bindings_of(make_method(rule("get", "/x/{name}"))))
    assert len(list(_clashes(one + two))) == 1
    wide = list(_bindings_of(make_method(rule("get", "/{name=x/*}"))))
    assert len(list(_clashes(one + wide))) == 1
    other_verb = list(_bindings_of(make_method(rule("delete", "/x/{name}"))))
    assert list(_clashes(one + other_verb)) == []


def test_a_path_must_not_swallow_the_verb_of_another() -> None:
    """The router tries the longer literal beginning first: `/x/a/{name}` would take `/x/{inner.name}/{name}:cancel`."""
    plain = list(_bindings_of(make_method(rule("post", "/x/a/{name}", body="*"))))
    verb = list(_bindings_of(make_method(rule("post", "/x/{inner.name}/{name}:cancel", body="*"))))
    assert len(list(_clashes(plain + verb))) == 1
    apart = list(_bindings_of(make_method(rule("post", "/x/{inner.name}/b:cancel", body="*"))))
    assert list(_clashes(list(_bindings_of(make_method(rule("post", "/x/a/c", body="*")))) + apart)) == []


def test_an_upload_must_be_a_header_and_chunks() -> None:
    """A client stream of another shape cannot be filled from a form."""
    (binding,) = _bindings_of(make_method(streaming("post", client=True, server=False, body="*")))
    with pytest.raises(ContractError, match="no upload"):
        check_upload(binding)


async def test_every_public_route_of_the_contracts_is_served(config: Config, fakes: Fakes) -> None:
    """The older paths are there, internal methods are not, and the application answers on every route."""
    bindings = public_bindings()
    routes = {(each.verb, each.path) for each in bindings}
    assert {
        ("POST", "/api/auth/wechat-auth"),
        ("POST", "/api/music/generate"),
        ("GET", "/api/music/{job_id}/status"),
        ("POST", "/api/file/upload"),
        ("POST", "/api/v1/assets/audio/presign"),
        ("DELETE", "/api/v1/shares/{share_code}"),
    } <= routes
    assert not {each.method.name for each in bindings} & {"Hold", "Settle", "ResolveTrack", "StoreAsset"}
    app = await build(config, fakes.mesh.peers("gateway"))
    served = [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource]
    assert routes <= set(served)
    assert len(served) == len(set(served))
