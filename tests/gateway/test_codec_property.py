"""The codec against `json_format`: random messages of every type, both ways, and hostile input."""

import json
import random
import zlib
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from cadenza.composer.v1.track_service_pb2 import CreateTrackRequest
from gateway.codec import Codec
from gateway.shapes import enum_of, is_map, is_well_known, map_parts, message_of, shape_of, words_of
from services.kit.errors import ParamInvalid
from tests.gateway.kinds import WIRE_TYPES, Kinds, random_message

_ROUNDS = 1000
_WIDE = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def _house(values: Any, message: Any) -> Any:
    """Return what `json_format` wrote in the spelling that the gateway promises."""
    descriptor = shape_of(message)
    if is_well_known(descriptor):
        return values
    spelled: dict[str, Any] = {}
    for field in descriptor.fields:
        if field.name not in values:
            if field.message_type is None or field.message_type.full_name != "google.protobuf.Value":
                spelled[field.name] = None
            continue
        value, held = values[field.name], getattr(message, field.name)
        if is_map(field):
            inner = map_parts(field)[1]
            typed = {str(key).lower() if isinstance(key, bool) else str(key): each for key, each in held.items()}
            spelled[field.name] = {key: _house_value(each, inner, typed[key]) for key, each in value.items()}
        elif field.is_repeated:
            pairs = zip(value, held, strict=True)
            spelled[field.name] = [_house_value(each, field, typed_each) for each, typed_each in pairs]
        else:
            spelled[field.name] = _house_value(value, field, held)
    return spelled


def _house_value(value: Any, field: FieldDescriptor, held: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_ENUM:
        return words_of(enum_of(field))[held]
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _house(value, held) if not is_well_known(message_of(field)) else value
    return int(value) if field.cpp_type in _WIDE else value


@pytest.mark.point(10)
@pytest.mark.parametrize("cls", [Kinds, *WIRE_TYPES], ids=lambda cls: cls.DESCRIPTOR.full_name)
def test_a_thousand_random_messages_go_both_ways_as_json_format_says(cls: type[Message]) -> None:
    """Encoding equals json_format's in our spelling, and decoding either spelling gives the message back."""
    codec, chance = Codec(), random.Random(zlib.crc32(cls.DESCRIPTOR.full_name.encode()))
    for turn in range(_ROUNDS if cls.DESCRIPTOR.fields else 1):
        message = random_message(cls, chance, turn % 2 if cls is Kinds else 3)
        ours = codec.encode(message)
        theirs = json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        assert ours == _house(theirs, message)
        raw = orjson.dumps(ours)
        assert _bytes(codec.decode(raw, cls)) == _bytes(message)
        camel = json_format.MessageToJson(message, indent=None).encode()
        assert _bytes(codec.decode(camel, cls)) == _bytes(message)


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

    Stricter on purpose: enums take no booleans and fractions, messages no lists, bytes no foreign letters.
    """
    codec = Codec()
    for value in _ODD:
        raw = json.dumps({field: value}).encode()
        values = {field: _canonical(value, field)}
        try:
            expected: bytes | None = _bytes(json_format.ParseDict(values, Kinds()))
        except Exception:  # noqa: BLE001  # json_format raises half a dozen kinds
            expected = None
        if _stricter(field, value):
            expected = None
        try:
            read: bytes | None = _bytes(codec.decode(raw, Kinds))
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
