"""Containers that name other files: data references, reference movies, linked segments, pictures by address."""

import struct
from collections.abc import Iterator

from tests.media.hostile import EITHER, REFUSED, Hostile, Lure
from tests.media.hostile.boxes import EBML, FTYP, box, chunk, element, flac_block, frame, full, id3, m4a, wav
from tests.media.recordings import sound


def files(lure: Lure) -> Iterator[Hostile]:
    """Yield containers with every kind of reference to both lures."""
    for way, target in (("file", lure.path), ("http", lure.address)):
        text = target.encode()
        for name, data in _movies(text):
            # Their own bytes may be played; what they point at may not.
            yield Hostile(f"{way}-{name}", data, EITHER)
        yield from (Hostile(f"{way}-{name}", data, EITHER) for name, data in _tags(text))
        yield Hostile(f"{way}-linked.mkv", _linked(text), REFUSED)
        yield Hostile(f"{way}-index.avi", b"RIFF\x00\x04\x00\x00AVI LIST" + text + bytes(900), REFUSED)


def _movies(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield movies whose sound lies elsewhere."""
    alias = (
        bytes(150)
        + struct.pack(">hh", 2, len(text))
        + text
        + struct.pack(">hh", 18, len(text))
        + text
        + b"\xff\xff\0\0"
    )
    yield "alis.mov", m4a(full(b"alis", alias))
    yield "alis-flagged.mov", m4a(box(b"alis", b"\0\0\0\x02", alias))
    yield "url.m4a", m4a(full(b"url ", text, b"\0"))
    yield "urn.m4a", m4a(full(b"urn ", b"x\0", text, b"\0"))
    yield "rsrc.mov", m4a(full(b"rsrc", alias))
    rdrf = full(b"rdrf", b"url ", struct.pack(">I", len(text)), text)
    yield "reference.mov", FTYP + box(b"moov", box(b"rmra", box(b"rmda", rdrf)))
    yield (
        "meta.m4a",
        FTYP + box(b"meta", bytes(4), full(b"hdlr", bytes(4), b"mdir", bytes(13)), box(b"uri ", text)) + m4a(b""),
    )


def _tags(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield good sounds whose tags name the lure."""
    mp3 = sound("take.mp3")
    bare = mp3[mp3.index(b"\xff\xfb") :]
    for name, tag in {
        "wxxx": frame(b"WXXX", b"\0\0" + text),
        "link": frame(b"LINK", b"APIC" + text + b"\0"),
        "picture": frame(b"APIC", b"\0-->\0\x03\0" + text),
        "audio": frame(b"WOAF", text),
        "private": frame(b"GEOB", b"\0text/html\0x\0y\0<script src=" + text + b">"),
    }.items():
        yield f"{name}.mp3", id3(tag) + bare
    flac = sound("take.flac")
    address = (
        struct.pack(">I", 3)
        + struct.pack(">I", 3)
        + b"-->"
        + bytes(4)
        + bytes(16)
        + struct.pack(">I", len(text))
        + text
    )
    # Behind STREAMINFO, which is the first block and has 34 bytes.
    yield "picture.flac", flac[:4] + b"\0" + flac[5:42] + flac_block(6, address) + flac[42:]
    cue = bytes(396) + text
    yield "cue.flac", flac[:4] + b"\0" + flac[5:42] + flac_block(5, cue) + flac[42:]
    yield "info.wav", wav(bytes(88_200 * 2), chunk(b"LIST", b"INFO" + chunk(b"IART", text)))
    yield "link.wav", wav(bytes(88_200 * 2), chunk(b"link", b"<LINK><FILENAME>" + text + b"</FILENAME></LINK>"))


def _linked(text: bytes) -> bytes:
    """Return a Matroska segment that says its sound is in the file before it."""
    info = element(
        b"\x15\x49\xa9\x66",
        element(b"\x3c\x83\xab", text) + element(b"\x3e\x83\xbb", text) + element(b"\x3c\xb9\x23", bytes(16)),
    )
    attached = element(b"\x46\x6e", text) + element(b"\x46\x60", b"text/plain") + element(b"\x46\x5c", text)
    attachments = element(b"\x19\x41\xa4\x69", element(b"\x61\xa7", attached))
    return EBML + element(b"\x18\x53\x80\x67", info + attachments)
