"""The whole of `google.api.http` that is served, tried on a contract made for it: paths, fields, bodies, answers."""

from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from yarl import URL

from gateway.app import build
from gateway.config import Config
from gateway.openapi import document
from gateway.templates import TemplateError, parse
from tests.gateway.asking import JSON, ask
from tests.gateway.conftest import Gateway
from tests.gateway.lab import ALIAS, RULES, add_lab, lab_bindings
from tests.gateway.services import Fakes

_FOREIGN: tuple[str, ...] = (
    "",
    "/",
    "x",
    "/x/",
    "//x",
    "/x//y",
    "/*",
    "/x/**",
    "/{a}{b}",
    "/{a",
    "/a}",
    "/{a=*}x",
    "/{A}",
    "/{a..b}",
)
_FOREIGN += ("/x:", "/:x", "/{a=**}/b", "/{a=**}:b", "/{a=b/}", "/{a}/{a}", "/{a={b}}", "/x:y:z", "/x:y/z", "/{a=}")
_FOREIGN += ("/x y", "/x%20y", "/ä")


@pytest.fixture
async def lab(gateway: Gateway, fakes: Fakes) -> ClientSession:
    """Return the client of a gateway whose contract is the laboratory's."""
    add_lab(fakes)
    return await gateway(lab_bindings())


async def told(http: ClientSession, method: str, path: str, **options: Any) -> tuple[str, Any]:
    """Return which method answered a path sent exactly as it stands, and what it was asked."""
    status, body, _ = await ask(http, method, URL(path, encoded=True), **options)
    assert status == 200, body
    return body["data"]["method"], body["data"]["asked"]


@pytest.mark.point(1)
@pytest.mark.parametrize(
    ("method", "path", "name", "field", "value"),
    [
        ("GET", "/lab/v1/things/7", "Get", "name", "7"),
        ("GET", "/lab/v1/shelves/a/things/b", "Find", "name", "shelves/a/things/b"),
        ("GET", "/lab/v1/tree/a/b/c", "Tree", "name", "a/b/c"),
        ("GET", "/lab/v1/tree/a/", "Tree", "name", "a/"),
        ("GET", "/lab/v1/tree", "Tree", "name", ""),
        ("GET", "/lab/v1/inner/x", "Inner", "thing", {"name": "x"}),
        ("POST", "/lab/v1/things/7:cancel", "Cancel", "name", "7"),
        ("GET", "/lab/v1/things:batch", "Batch", "name", ""),
    ],
)
async def test_every_form_of_a_path_fills_its_field(
    lab: ClientSession, method: str, path: str, name: str, field: str, value: Any
) -> None:
    """One segment, several, all that is left, an inner field, and a verb with and without a variable."""
    found, asked = await told(lab, method, path)
    assert found == name
    held = asked[field]
    assert (held if isinstance(held, str) else {key: held[key] for key in value}) == value


@pytest.mark.point(1)
@pytest.mark.parametrize(
    "text",
    _FOREIGN,
)
def test_a_path_that_is_not_served_is_told_from_one_that_is(text: str) -> None:
    """What the grammar does not have, and wildcards that would drop what the client said, are refused when read."""
    with pytest.raises(TemplateError):
        parse(text)


@pytest.mark.point(2)
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/lab/v1/things/a%2Fb", "a/b"),
        ("/lab/v1/things/a%252Fb", "a%2Fb"),
        ("/lab/v1/things/a%3Acancel", "a:cancel"),
        ("/lab/v1/things/%7Bx%7D", "{x}"),
        ("/lab/v1/things/a+b", "a+b"),
        ("/lab/v1/things/%E5%A4%9C", "夜"),
        ("/lab/v1/thin%67s/%61", "a"),
        ("/lab/v1/things/%3F%23", "?#"),
        ("/lab/v1/shelves/a%2Fb/things/c", "shelves/a%2Fb/things/c"),
        ("/lab/v1/shelves/a%2fb/things/%E5%A4%9C", "shelves/a%2fb/things/夜"),
        ("/lab/v1/tree/a%2Fb/c%20d", "a%2Fb/c d"),
    ],
)
async def test_a_segment_is_decoded_whole_and_a_longer_value_keeps_its_escaped_slashes(
    lab: ClientSession, path: str, value: str
) -> None:
    """Everything is decoded once; only in a value of several segments `%2F` stays what it is (http.proto)."""
    _, asked = await told(lab, "GET", path)
    assert asked["name"] == value


@pytest.mark.point(2)
@pytest.mark.parametrize("text", ["%ff", "%c3%28", "a%", "a%2", "a%zz", "%ed%a0%80", "%00"])
async def test_a_broken_escape_is_refused_by_the_name_of_its_field(lab: ClientSession, text: str) -> None:
    """Half escapes, bytes that are no UTF-8, surrogates and U+0000 reach no service."""
    for path, field in ((f"things/{text}", "name"), (f"tree/a/{text}", "name"), (f"inner/{text}", "thing.name")):
        status, body, _ = await ask(lab, "GET", URL(f"/lab/v1/{path}", encoded=True))
        assert (status, body["details"]["fields"][0]["field"]) == (400, field)


@pytest.mark.point(3)
@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/lab/v1/things/mine", "Mine"),
        ("GET", "/lab/v1/things/mines", "Get"),
        ("GET", "/lab/v1/things/7:cancel", "Get"),
        ("POST", "/lab/v1/things/7:cancel", "Cancel"),
        ("POST", "/lab/v1/things/a:b:cancel", "Cancel"),
        ("POST", "/lab/v1/things/7:keep", "Post"),
        ("POST", "/lab/v1/things/7%3Acancel", "Post"),
        ("GET", "/lab/v1/tree/a/leaf", "Leaf"),
        ("GET", "/lab/v1/tree/a/b/leaf", "Tree"),
    ],
)
async def test_the_most_exact_path_answers(lab: ClientSession, method: str, path: str, name: str) -> None:
    """A literal comes before a variable, that before all that is left, a verb before what could swallow it.

    An id with a colon is still an id where no verb fits.
    """
    assert (await told(lab, method, path))[0] == name


@pytest.mark.point(4)
async def test_a_path_tells_every_method_that_it_takes(lab: ClientSession) -> None:
    """405 names the methods of all templates that fit; a path that fits none is 404; HEAD and OPTIONS answer."""
    path = "/lab/v1/things/7"
    status, body, headers = await ask(lab, "DELETE", path)
    assert (status, body["code"], headers["Allow"]) == (405, 10004, "GET, HEAD, OPTIONS, PATCH, POST, PUT")
    status, _, headers = await ask(lab, "OPTIONS", path)
    assert (status, headers["Allow"]) == (204, "GET, HEAD, OPTIONS, PATCH, POST, PUT")
    assert (await ask(lab, "HEAD", path))[0] == 200
    for nothing in (
        "/lab/v1/things",
        "/lab/v1/things/",
        "/lab/v1/things/a/b",
        "/lab/v1/things:other",
        "/lab/v2/things/7",
    ):
        assert (await ask(lab, "GET", nothing))[0] == 404


@pytest.mark.point(5)
@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("GET", "/lab/v1/things/7?name=8", "name"),
        ("GET", "/lab/v1/things/7?colour=red", "colour"),
        ("POST", "/lab/v1/things/7?thing.title=x", "thing.title"),
        ("POST", "/lab/v1/things/7:cancel?size=1", "size"),
        ("GET", "/lab/v1/inner/7?thing.name=8", "thing.name"),
    ],
)
async def test_a_field_has_one_source(lab: ClientSession, method: str, path: str, field: str) -> None:
    """What path or body fill is no parameter, not even with an equal value; an unknown one is refused by name."""
    status, body, _ = await ask(lab, method, path)
    assert (status, body["details"]["fields"][0]["field"]) == (400, field)


@pytest.mark.point(5)
async def test_path_query_and_body_meet_in_one_request(lab: ClientSession) -> None:
    """With a field as its body the rest comes from the query, inner fields with dots and beside a bound one too."""
    data = orjson.dumps({"title": "x", "tags": ["a"]})
    name, asked = await told(lab, "POST", "/lab/v1/things/7?size=3&kinds.oneInt32=5", data=data, headers=JSON)
    assert (name, asked["name"], asked["size"], asked["kinds"]["one_int32"]) == ("Post", "7", 3, 5)
    assert (asked["thing"]["title"], asked["thing"]["tags"]) == ("x", ["a"])
    _, asked = await told(lab, "GET", "/lab/v1/inner/7?thing.title=x&thing.tags=a&thing.tags=b")
    assert (asked["thing"]["name"], asked["thing"]["title"], asked["thing"]["tags"]) == ("7", "x", ["a", "b"])


@pytest.mark.point(6)
async def test_a_body_that_is_a_field_is_read_and_judged_in_its_place(lab: ClientSession) -> None:
    """Its faults are named from the top of the request; the whole request is no body there; none leaves it unset."""
    for raw, field in (
        (b'{"titel": 1}', "thing.titel"),
        (b'{"tags": [1]}', "thing.tags[0]"),
        (b'{"thing": {}}', "thing.thing"),
    ):
        status, body, _ = await ask(lab, "POST", "/lab/v1/things/7", data=raw, headers=JSON)
        assert (status, body["details"]["fields"][0]["field"]) == (400, field)
    status, body, _ = await ask(lab, "POST", "/lab/v1/things/7", data=b"{", headers=JSON)
    assert (status, body["details"]["fields"][0]["field"]) == (400, "body")
    assert (await told(lab, "POST", "/lab/v1/things/7"))[1]["thing"] is None
    status, body, _ = await ask(lab, "GET", "/lab/v1/things/7", data=b"{}", headers=JSON)
    assert (status, body["details"]["fields"][0]["field"]) == (400, "body")


@pytest.mark.point(6)
@pytest.mark.parametrize(
    ("query", "raw", "paths"),
    [
        ("", b'{"title": "x"}', "title"),
        ("", b'{"title": null, "tags": ["a"]}', "tags,title"),
        ("", b'{"innerThing": {"title": "x", "tags": []}}', "innerThing.tags,innerThing.title"),
        ("", b'{"inner_thing": {}}', "innerThing"),
        ("", b"{}", ""),
        ("?update_mask=title", b'{"title": "x", "tags": ["a"]}', "title"),
        ("?updateMask=title,inner_thing.title", b"{}", "title,innerThing.title"),
    ],
)
async def test_a_patch_says_what_it_gives_by_its_mask_or_else_by_its_keys(
    lab: ClientSession, query: str, raw: bytes, paths: str
) -> None:
    """Without an `update_mask` the keys of the body are the mask, null among them, which clears a field."""
    name, asked = await told(lab, "PATCH", f"/lab/v1/things/7{query}", data=raw, headers=JSON)
    assert (name, asked["thing"]["name"], asked["update_mask"] or "") == ("Update", "7", paths)


@pytest.mark.point(7)
async def test_one_field_can_be_the_whole_answer(lab: ClientSession) -> None:
    """`response_body` makes a message, a list or a number the data; `fields` chooses only where there are keys."""
    status, body, _ = await ask(lab, "PUT", "/lab/v1/things/7?fields=name,size")
    assert (status, body["data"]) == (200, {"name": "7", "size": 0})
    assert (await ask(lab, "GET", "/lab/v1/tags"))[1]["data"] == ["a", "b"]
    assert (await ask(lab, "GET", "/lab/v1/count"))[1]["data"] == 2**40
    status, body, _ = await ask(lab, "GET", "/lab/v1/count?fields=count")
    assert (status, body["details"]["fields"][0]["field"]) == (400, "fields")


@pytest.mark.point(8, 30)
async def test_every_binding_is_served_and_documented_by_the_same_rules(lab: ClientSession) -> None:
    """An additional binding answers like the first, and both stand in the document, with its parameters and answer."""
    assert (await ask(lab, "GET", ALIAS))[1]["data"] == ["a", "b"]
    made = orjson.loads(document(lab_bindings(), server="http://x"))
    assert len([1 for path in made["paths"].values() for _ in path]) == len(RULES) + 1
    tags = made["paths"][ALIAS]["get"]
    assert tags["deprecated"]
    data = tags["responses"]["200"]["content"]["application/json"]["schema"]["allOf"][1]["properties"]["data"]
    assert (data["type"], data["items"]) == ("array", {"type": "string"})
    post = made["paths"]["/lab/v1/things/{name}"]["post"]
    assert {each["name"] for each in post["parameters"]} >= {"name", "size", "update_mask"}
    assert "thing" not in {each["name"] for each in post["parameters"]}
    assert post["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/lab.Thing.Request")


@pytest.mark.point(9)
@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("oneEnum=wild_one", "one_enum", "wild_one"),
        ("one_enum=MOOD_OF_DAY_CALM", "one_enum", "calm"),
        ("one_bool=true", "one_bool", True),
        ("one_bytes=_-8%3D", "one_bytes", "/+8="),
        ("one_timestamp=2026-01-31T12:00:00%2B08:00", "one_timestamp", "2026-01-31T04:00:00Z"),
        ("one_duration=1.5s", "one_duration", "1.500s"),
        ("one_fieldmask=a,bC", "one_fieldmask", "a,bC"),
        ("one_int64value=0", "one_int64value", "0"),
        ("one_uint64=18446744073709551615", "one_uint64", 2**64 - 1),
        ("many_int32=1&many_int32=2", "many_int32", [1, 2]),
        ("one_message.one_message.one_string=deep+%2B", "one_message", "deep +"),
    ],
)
async def test_a_parameter_of_each_kind_arrives_as_its_value(
    lab: ClientSession, query: str, field: str, value: Any
) -> None:
    """Enums, truth, bytes, times, lengths of time, masks, wrappers, wide numbers, lists and inner fields."""
    _, asked = await told(lab, "GET", "/lab/v1/things:batch?" + "&".join(f"kinds.{each}" for each in query.split("&")))
    found = asked["kinds"][field]
    assert (found["one_message"]["one_string"] if field == "one_message" else found) == value


@pytest.mark.point(9)
@pytest.mark.parametrize(
    "query", ["choice_text=a&kinds.choice_whole=1", "map_string_string=a", "one_struct=%7B%7D", "one_message=%7B%7D"]
)
async def test_what_a_parameter_cannot_say_is_refused(lab: ClientSession, query: str) -> None:
    """Two members of one choice, maps, structs and whole messages."""
    status, body, _ = await ask(lab, "GET", URL(f"/lab/v1/things:batch?kinds.{query}", encoded=True))
    assert (status, body["code"]) == (400, 10001)


@pytest.mark.point(36)
async def test_a_route_is_named_by_its_template(config: Config, fakes: Fakes) -> None:
    """What metrics call a route is the contract's own text, whatever the path is."""
    add_lab(fakes)
    app = await build(config, fakes.mesh.peers("gateway"), bindings=lab_bindings())
    named = {resource.canonical for resource in app.router.resources()}
    assert {path for _, _, path, _ in RULES} | {ALIAS} <= named
