"""The building blocks of containers: RIFF chunks, ISO boxes, EBML elements, ID3 frames, FLAC blocks, Ogg pages."""

import struct


def chunk(name: bytes, data: bytes, size: int | None = None) -> bytes:
    """Return a RIFF chunk; a size that is given is stated instead of the true one."""
    return name + struct.pack("<I", len(data) if size is None else size) + data + bytes(len(data) & 1)


def wav(data: bytes, *more: bytes, code: int = 1, channels: int = 1, rate: int = 44_100, bits: int = 16) -> bytes:
    """Return a WAV file with this format and data, whatever they mean, and more chunks before the data."""
    align = max(channels * bits // 8, 0) & 0xFFFF
    head = struct.pack("<HHIIHH", code, channels & 0xFFFF, rate & 0xFFFFFFFF, rate * align & 0xFFFFFFFF, align, bits)
    body = chunk(b"fmt ", head) + b"".join(more) + chunk(b"data", data)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def box(name: bytes, *parts: bytes, size: int | None = None) -> bytes:
    """Return an ISO base media box; a size that is given is stated instead of the true one."""
    data = b"".join(parts)
    return struct.pack(">I", len(data) + 8 if size is None else size) + name + data


def full(name: bytes, *parts: bytes) -> bytes:
    """Return a box with version 0 and no flags."""
    return box(name, bytes(4), *parts)


FTYP = box(b"ftyp", b"M4A \x00\x00\x02\x00M4A isomiso2")


def m4a(dref: bytes, *, entries: int = 100, sizes: int = 64, channels: int = 2, rate: int = 44_100) -> bytes:
    """Return an M4A of PCM with this data reference, whose tables state so many entries."""
    u32 = struct.Struct(">I").pack
    sowt = box(
        b"sowt",
        bytes(6),
        b"\0\x01",
        bytes(8),
        struct.pack(">HHHHI", channels & 0xFFFF, 16, 0, 0, rate << 16 & 0xFFFFFFFF),
    )
    tables = (
        full(b"stsd", u32(1), sowt),
        full(b"stts", u32(1), u32(entries), u32(1024)),
        full(b"stsc", u32(1), u32(1), u32(entries), u32(1)),
        full(b"stsz", u32(sizes), u32(entries)),
        full(b"stco", u32(1), u32(40)),
    )
    media = box(b"minf", full(b"smhd", bytes(4)), box(b"dinf", full(b"dref", u32(1), dref)), box(b"stbl", *tables))
    mdhd = full(b"mdhd", bytes(8), u32(44_100), u32(entries * 1024 & 0xFFFFFFFF), bytes(4))
    handler = full(b"hdlr", bytes(4), b"soun", bytes(13))
    track = box(b"trak", full(b"tkhd", bytes(80)), box(b"mdia", mdhd, handler, media))
    moov = box(b"moov", full(b"mvhd", bytes(8), u32(1000), u32(2000), bytes(80)), track)
    return FTYP + box(b"mdat", bytes(8192)) + moov


def element(number: bytes, data: bytes, *, size: bytes | None = None) -> bytes:
    """Return an EBML element with an eight-byte size, or with this coded size."""
    return number + (b"\x01" + struct.pack(">Q", len(data))[1:] if size is None else size) + data


EBML = element(b"\x1a\x45\xdf\xa3", element(b"\x42\x82", b"webm"))


def id3(*frames: bytes, size: int | None = None) -> bytes:
    """Return an ID3v2.3 tag."""
    data = b"".join(frames)
    length = len(data) if size is None else size
    return b"ID3\x03\x00\x00" + bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0)) + data


def frame(name: bytes, data: bytes, size: int | None = None) -> bytes:
    """Return an ID3v2.3 frame."""
    return name + struct.pack(">I", len(data) if size is None else size) + bytes(2) + data


def flac_block(kind: int, data: bytes, *, last: bool = False, size: int | None = None) -> bytes:
    """Return a FLAC metadata block."""
    return bytes([kind | (0x80 if last else 0)]) + struct.pack(">I", len(data) if size is None else size)[1:] + data


def ogg_page(data: bytes, *, granule: int = 0, flags: int = 2, sequence: int = 0) -> bytes:
    """Return one Ogg page with its checksum (RFC 3533) for up to 255 segments."""
    lacing = bytes([255] * (len(data) // 255) + [len(data) % 255])
    head = b"OggS\0" + struct.pack("<BqIII", flags, granule, 7, sequence, 0) + bytes([len(lacing)]) + lacing
    page = bytearray(head + data)
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    page[22:26] = struct.pack("<I", crc)
    return bytes(page)
