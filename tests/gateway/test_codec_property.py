"""The codec against `json_format`: random messages of every type, both ways, and hostile input."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from cadenza.composer.v1.track_service_pb2 import CreateTrackRequest
from gateway.codec import Codec
from gateway.shapes import shape_of
from services.kit.errors import ParamInvalid
from tests.gateway.codecs import bytes_of, conformance, differences, taken, wrongly_taken
from tests.gateway.conformance import DIFFERENT
from tests.gateway.hostile import hostile
from tests.gateway.kinds import WIRE_TYPES, Kinds

_ROUNDS = 100
_MUTANTS = 3000


@pytest.mark.point(10)
@pytest.mark.parametrize("cls", [Kinds, *WIRE_TYPES], ids=lambda cls: cls.DESCRIPTOR.full_name)
def test_random_messages_go_both_ways_as_json_format_says(cls: type[Message]) -> None:
    """Encoding equals json_format's in our spelling, and decoding either spelling gives the message back."""
    assert differences(cls, rounds=_ROUNDS) == []


@pytest.mark.point(10)
def test_the_cases_of_protobufs_own_suite_come_out_as_it_says() -> None:
    """Every case of the official conformance suite is answered as it demands, but for those named with a reason."""
    assert {name for name, passed in conformance() if not passed} == set(DIFFERENT)


@pytest.mark.point(10, 11)
def test_hostile_texts_are_refused_and_none_is_taken() -> None:
    """A thousand texts that are no JSON, too much, doubled, or of a wrong kind are PARAM_INVALID, each one."""
    assert taken() == []
    assert len(list(hostile())) > 1000


@pytest.mark.point(11)
def test_what_json_format_refuses_is_never_taken_whatever_is_broken() -> None:
    """Valid JSON with a few bytes changed is read as json_format reads it, or refused."""
    assert wrongly_taken(rounds=_MUTANTS) == []


_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.0,
    1.5,
    1e300,
    2**31,
    2**63,
    2**64,
    10**30,
    "",
    "1",
    "1.0",
    " 1",
    "abc",
    "true",
    "NaN",
    "Infinity",
    "2026-01-01T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "MOOD_OF_DAY_CALM",
    "calm",
    "QUJD",
    [],
    {},
    [None],
    [1],
    ["a"],
    [[1]],
    {"a": None},
    {"a": 1},
    {"true": "x"},
    {"1": 1},
)


@pytest.mark.parametrize("field", [field.name for field in shape_of(Kinds).fields])
def test_an_odd_value_is_accepted_exactly_when_json_format_accepts_it(field: str) -> None:
    """Each of the odd values in each kind of field is judged as json_format judges it, and read alike.

    Stricter on purpose: enums take no booleans and fractions, messages no lists, bytes no foreign letters, and
    numbers neither booleans nor spaces.
    """
    codec = Codec()
    for value in _ODD:
        raw = json.dumps({field: value}).encode()
        values = {field: _canonical(value, field)}
        try:
            expected: bytes | None = bytes_of(json_format.ParseDict(values, Kinds()))
        except Exception:  # noqa: BLE001  # json_format raises half a dozen kinds
            expected = None
        if _stricter(field, value):
            expected = None
        if field == "many_value" and value is None:
            expected = b""  # null means an empty list everywhere; json_format stumbles over this one
        try:
            read: bytes | None = bytes_of(codec.decode(raw, Kinds))
            named = field
        except ParamInvalid as refusal:
            read, named = None, refusal.violations[0].field
        assert (read, named[: len(field)]) == (expected, field), value


def _canonical(value: Any, field: str) -> Any:
    """Return the value as json_format spells the one enum word among the odd values."""
    enum = field.endswith("_enum")
    if isinstance(value, list):
        return [_canonical(each, field) for each in value]
    return "MOOD_OF_DAY_CALM" if enum and value == "calm" else value


def _stricter(field: str, value: Any) -> bool:
    inner = value[0] if isinstance(value, list) and value else value
    if isinstance(value, dict) and value and field.startswith("map_"):
        inner = next(iter(value.values()))
    if field.endswith("message"):
        if field.startswith("map_") or (field.startswith("many_") and value == []):
            return inner in ([], "") and inner is not value
        return inner in ([], "")
    if field.endswith("enum"):
        return isinstance(inner, bool | float)
    if field.endswith(("double", "float")):
        return isinstance(inner, bool) or inner == " 1"
    if field.endswith("bytes"):
        return inner in ("1.0", " 1", "2026-01-01T00:00:00Z", "2026-13-01T00:00:00Z")  # a list cannot be hashed
    return False


@pytest.mark.point(11)
@pytest.mark.parametrize(
    ("raw", "field", "word"),
    [
        (b"", "body", "not valid JSON"),
        (b"{", "body", "not valid JSON"),
        (b'{"title": NaN}', "body", "not valid JSON"),
        (b'{"title": Infinity}', "body", "not valid JSON"),
        (b'{"title": "\xff\xfe"}', "body", "not valid JSON"),
        (b'{"title": "\\ud800"}', "body", "not valid JSON"),
        (b'{"title": "a",}', "body", "not valid JSON"),
        (b'{"title": "a"} x', "body", "not valid JSON"),
        (b"[]", "body", "object"),
        (b'"text"', "body", "object"),
        (b"null", "body", "object"),
        (b"12", "body", "object"),
        (b'{"title": "a", "title": "b"}', "title", "twice"),
        (b'{"title": "a", "title" : "a"}', "title", "twice"),
        (b'{"title" :"a","title":"b","style":"x:"}', "title", "twice"),
        (b'{"title"\n:"a","title":"b","style":"x:"}', "title", "twice"),
        (b'{"title":"a","title":"b","style":"\\":"}', "title", "twice"),
        (b'{"asset_id": "x", "assetId": "x"}', "asset_id", "twice"),
        (b'{"titel": "a"}', "titel", "not a field"),
        (b'{"title": 5}', "title", "must be text"),
        (b'{"title": ["a"]}', "title", "must be text"),
        (b'{"title": {"a": "b"}}', "title", "must be text"),
        (b'{"duration_s": "x"}', "duration_s", "whole number"),
        (b'{"durationS": 1.5}', "duration_s", "whole number"),
        (b'{"duration_s": true}', "duration_s", "whole number"),
        (b'{"duration_s": 99999999999}', "duration_s", "whole number"),
        (b'{"seed": 1e99}', "seed", "whole number"),
        (b'{"voice_gender": "loud"}', "voice_gender", "male, female, duet, any, none"),
        (b'{"voice_gender": true}', "voice_gender", "male, female, duet, any, none"),
        (b'{"title": "a\\u0000b"}', "title", "U+0000"),
        (b'{"seed": ' + b"9" * 6000 + b"}", "body", "not valid JSON"),
        (b'{"title":' * 33 + b"1" + b"}" * 33, "body", "deeper than 32"),
        (b"[" * 900 + b"]" * 900, "body", "deeper than 32"),
        (b"[" * 5000 + b"]" * 5000, "body", "not valid JSON"),
        (b"[" + b"[]," * 20001 + b"[]]", "body", "more than 20000"),
    ],
)
def test_hostile_json_is_refused_with_the_field_and_without_inside_words(raw: bytes, field: str, word: str) -> None:
    """Broken, doubled, deep, huge and mistyped JSON is PARAM_INVALID that names its place in plain words."""
    with pytest.raises(ParamInvalid) as refusal:
        Codec().decode(raw, CreateTrackRequest)
    (violation,) = refusal.value.violations
    assert violation.field == field
    assert word in violation.description
    assert "object at" not in violation.description
    assert "descriptor" not in violation.description.lower()


def test_a_list_names_the_element_that_is_wrong() -> None:
    """The path leads to the innermost value, through lists and messages."""
    with pytest.raises(ParamInvalid) as refusal:
        Codec().decode(b'{"many_message": [{}, {"one_message": {"many_int32": [1, "x"]}}]}', Kinds)
    assert refusal.value.violations[0].field == "many_message[1].one_message.many_int32[1]"


@pytest.mark.point(10)
def test_numbers_zeros_words_and_nulls_are_printed_as_promised() -> None:
    """64-bit counts are numbers, zeros and falses stay, enums are words, unset messages are null."""
    values = Codec().encode(Kinds(one_int64=2**62, one_enum=7))
    assert values["one_int64"] == 2**62
    assert values["one_uint64"] == 0
    assert values["one_bool"] is False
    assert values["many_int32"] == []
    assert values["one_enum"] == "wild_one"
    assert values["one_message"] is None
    assert values["maybe_int64"] is None
    assert values["one_timestamp"] is None


@pytest.mark.point(34)
def test_an_enum_value_that_is_newer_than_the_gateway_stays_a_number() -> None:
    """A service may be newer than the gateway: an unknown number passes through both ways."""
    message = Kinds.FromString(Kinds(one_enum=99).SerializeToString())
    values = Codec().encode(message)
    assert values["one_enum"] == 99
    assert Codec().decode(b'{"one_enum": 99}', Kinds).one_enum == 99


def test_colons_in_texts_do_not_count_as_doubled_keys() -> None:
    """The check for doubled keys counts colons and must not be fooled by those inside of texts."""
    read = Codec().decode('{"title": "a:b::c", "style": "古风"}'.encode(), CreateTrackRequest)
    assert (read.title, read.style) == ("a:b::c", "古风")
