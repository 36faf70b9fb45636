"""JSON that must be refused: what is no JSON, what is too much, and every kind of value where it does not belong."""

from collections.abc import Iterator
from pathlib import Path

import orjson

# `grammar` is whole texts; `wrong` is values that fields of a kind must refuse, alone and in a list.
_TEXTS = orjson.loads(Path(__file__).with_name("hostile.json").read_bytes())
_BYTES = (
    b"\xff",
    b"\xc3\x28",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xe2\x82",
    b"\x80",
    b"\xf4\x90\x80\x80",
)
_PAIRS = (
    '"one_string":"a","one_string":"b"',
    '"one_string":"a","one_string":"a"',
    '"one_string":"a","oneString":"a"',
    '"one_string":"a","one_strin\\u0067":"b"',
    '"one_string":null,"one_string":"a"',
    '"one_string":null,"oneString":null',
    '"one_string":":","one_string":"b"',
    '"one_string" : "a" , "one_string" : "b"',
    '"nothing":1,"nothing":1',
)
_PLACES = ("{%s}", '{"one_message":{%s}}', '{"many_message":[{},{%s}]}', '{"map_string_message":{"a":{%s}}}')


def hostile() -> Iterator[bytes]:
    """Yield texts that no message of type `Kinds` may be read from."""
    yield from (text.encode() for text in _TEXTS["grammar"])
    yield from (b'{"one_string":"a' + wrong + b'"}' for wrong in _BYTES)
    yield from (b'{"a' + wrong + b'":1}' for wrong in _BYTES)
    yield from ('{"one_string":"é"}'.encode(coding) for coding in ("utf-16", "utf-32", "latin-1"))
    yield from _too_much()
    yield from ((place % pair).encode() for place in _PLACES for pair in _PAIRS)
    yield b'{"map_string_string":{"a":"b","a":"c"}}'
    yield b'{"one_struct":{"a":1,"a":1}}'
    yield b'{"map_string_string":{"a":"b"},"mapStringString":{"c":"d"}}'
    for kind, values in _TEXTS["wrong"].items():
        for value in values:
            yield f'{{"one_{kind}":{value}}}'.encode()
            yield f'{{"many_{kind}":[{value}]}}'.encode()
        for value in ("{}", "1", "[null]"):
            yield f'{{"many_{kind}":{value}}}'.encode()


def _too_much() -> Iterator[bytes]:
    """Yield what is too deep, too long, or too many."""
    yield b'{"one_message":' * 40 + b"{}" + b"}" * 40
    yield b'{"one_message":' * 5000 + b"{}" + b"}" * 5000
    yield b'{"one_listvalue":' + b"[" * 40 + b"]" * 40 + b"}"
    yield b'{"one_listvalue":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield b'{"one_value":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}"
    yield b'{"many_int32":[' + b"1," * 20_001 + b"1]}"
    yield b'{"one_struct":{' + b",".join(b'"%d":1' % number for number in range(20_001)) + b"}}"
    yield b'{"one_int32":' + b"1" * 5000 + b"}"
    yield b'{"one_int64":"' + b"1" * 5000 + b'"}'
    yield b'{"one_double":' + b"1" * 400 + b"}"
    yield b"[" * 100_000
    yield b'{"a":' * 100_000
