"""What a file is by its first bytes, whatever its name and announced type say.

The answer forces the demuxer later, so that a playlist or script which ffmpeg would follow
to other files or hosts is never opened as such. Signatures: RFC 2361 and 3003 neighbours,
ISO 14496-12 (ftyp), RFC 3533 (Ogg), RFC 9559 (Matroska), RFC 9639 (FLAC), RFC 4867 (AMR),
ISO 11172-3 and 13818-7 (frame headers), Apple's CAF and AIFF-C specifications.
"""

from dataclasses import dataclass

# All signatures lie within; enough for the first frame header after a short junk-free start.
HEAD_BYTES = 4096


@dataclass(frozen=True)
class Format:
    """A kind of file: our name, its content type, the usual extension and ffmpeg's demuxer."""

    name: str
    content_type: str
    extension: str
    demuxer: str = ""
    # What the demuxer cannot read from the file itself.
    options: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether ffmpeg may open it for its sound."""
        return bool(self.demuxer)


MP3 = Format("mp3", "audio/mpeg", "mp3", "mp3")
_AAC = Format("aac", "audio/aac", "aac", "aac")
WAV = Format("wav", "audio/wav", "wav", "wav")
_M4A = Format("m4a", "audio/mp4", "m4a", "mov")
_3GP = Format("3gp", "audio/3gpp", "3gp", "mov")
_OGG = Format("ogg", "audio/ogg", "ogg", "ogg")
_WEBM = Format("webm", "audio/webm", "webm", "matroska")
_FLAC = Format("flac", "audio/flac", "flac", "flac")
_AMR = Format("amr", "audio/amr", "amr", "amr")
_CAF = Format("caf", "audio/x-caf", "caf", "caf")
_AIFF = Format("aiff", "audio/aiff", "aiff", "aiff")
PNG = Format("png", "image/png", "png")
JPEG = Format("jpeg", "image/jpeg", "jpg")
WEBP = Format("webp", "image/webp", "webp")
GIF = Format("gif", "image/gif", "gif")
MIDI = Format("midi", "audio/midi", "mid")
ZIP = Format("zip", "application/zip", "zip")

_PREFIXES = (
    (b"OggS", _OGG),
    (b"\x1a\x45\xdf\xa3", _WEBM),
    (b"fLaC", _FLAC),
    (b"#!AMR", _AMR),
    (b"caff\x00\x01", _CAF),
    (b"ID3", MP3),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"MThd", MIDI),
    (b"PK\x03\x04", ZIP),
)
_REFUSED_PREFIXES = (
    (b"%PDF", "pdf"),
    (b"#EXTM3U", "playlist"),
    (b"ffconcat", "playlist"),
    (b"[playlist]", "playlist"),
    (b"GIF8", "picture"),
    (b"MZ", "program"),
    (b"\x7fELF", "program"),
    (b"\x1f\x8b", "gzip"),
    (b"FLV\x01", "video"),
    (b"\x00\x00\x01\xba", "video"),
    (b"\x00\x00\x01\xb3", "video"),
)


def sniff(head: bytes) -> Format | None:
    """Return the kind of file that begins with these bytes, or None for one that is not taken."""
    for prefix, found in _PREFIXES:
        if head.startswith(prefix):
            return found
    if head[:4] in {b"RIFF", b"RF64"}:
        return {b"WAVE": WAV, b"WEBP": WEBP}.get(head[8:12])
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return _AIFF
    if head[4:8] == b"ftyp":
        return _3GP if head[8:11] in {b"3gp", b"3g2"} else _M4A
    return _frame_header(head)


def describe(head: bytes) -> str:
    """Return one word for a file that is not taken, to tell its owner what was found."""
    if not head:
        return "empty"
    known = sniff(head)
    if known:
        return known.name if known.is_sound or known is ZIP else known.content_type.partition("/")[0]
    for prefix, word in _REFUSED_PREFIXES:
        if head.lstrip(b"\xef\xbb\xbf").startswith(prefix):
            return word
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return "video"
    # Text has no NUL and decodes, up to a character that the window cut in two.
    if b"\0" not in head:
        text = head.decode("utf-8", "ignore")
        if len(text.encode()) >= len(head) - 3:
            return "text"
    return "unknown"


def missing_bytes(head: bytes, size_bytes: int) -> int:
    """Return how many bytes a WAV or CAF file lacks by its own header; 0 when it does not say.

    libavformat takes the length of these two from the file's size, so it cannot see a lost end.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        stated = int.from_bytes(head[4:8], "little") + 8
        # Recorders that cannot go back to the header leave 0 or the largest number there.
        return 0 if stated in {8, 0xFFFFFFFF + 8} else max(stated - size_bytes, 0)
    if head[:4] != b"caff":
        return 0
    at = 8
    while at + 12 <= len(head):
        length = int.from_bytes(head[at + 4 : at + 12], "big", signed=True)
        if head[at : at + 4] == b"data":
            return max(at + 12 + length - size_bytes, 0) if length >= 0 else 0
        if length < 0:
            return 0
        at += 12 + length
    return 0


def _frame_header(head: bytes) -> Format | None:
    """Return MP3 or AAC when the bytes begin with a sound frame followed by another one of its length."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:  # noqa: PLR2004  # the eleven sync bits
        return None
    if head[1] & 0xF6 == 0xF0:  # noqa: PLR2004  # ADTS: twelve sync bits, layer 0
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return _AAC if _repeats(head, length) else None
    return MP3 if _repeats(head, _mpeg_frame_bytes(head)) else None


def _repeats(head: bytes, length: int) -> bool:
    """Return whether a frame of this length is followed by the same sync, or reaches beyond the window."""
    if length < 7:  # noqa: PLR2004  # no frame is shorter than its header
        return False
    following = head[length : length + 2]
    return not following or (following[0] == 0xFF and following[1:2] in {b"", head[1:2]})  # noqa: PLR2004


# ISO 11172-3 and 13818-3: kbit/s by bitrate index, layers I, II and III of version 1, then versions 2 and 2.5.
_RATES_V1 = {
    3: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_RATES_V2_LAYER1 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_RATES_V2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_LAYER_1, _LAYER_3, _VERSION_1 = 3, 1, 3


def _mpeg_frame_bytes(head: bytes) -> int:
    """Return the length of the MPEG audio frame that starts here; 0 for a header that cannot be."""
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate_index, sample_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version not in _SAMPLES or layer == 0 or rate_index in {0, 15} or sample_index == 3:  # noqa: PLR2004
        return 0
    if version == _VERSION_1:
        rate = _RATES_V1[layer][rate_index]
    else:
        rate = (_RATES_V2_LAYER1 if layer == _LAYER_1 else _RATES_V2)[rate_index]
    samples_s = _SAMPLES[version][sample_index]
    if layer == _LAYER_1:
        return (12_000 * rate // samples_s + padding) * 4
    per_frame = 72_000 if layer == _LAYER_3 and version != _VERSION_1 else 144_000
    return per_frame * rate // samples_s + padding
