"""Samples without a header, WeChat's RecorderManager's format PCM, which only their sender can describe.

16 bits, the lower byte first, is what it records; rate and channels come as parameters of the content
type, as RFC 2586 has them for its L16: `audio/pcm;rate=16000;channels=1`.
"""

from services.media.domain.sound import Format, describe, sniff

_TYPES = frozenset({"audio/pcm", "audio/x-pcm", "audio/raw"})
# The recorder's own settings go from 8,000 to 48,000; some boards record higher.
_RATES_HZ = range(8_000, 192_001)
_CHANNELS = range(1, 3)
# What our clients record with, for a sender who says nothing.
_RATE_HZ, _ONE_CHANNEL = 44_100, 1


def announced_raw(content_type: str, filename: str) -> Format | None:
    """Return how to read raw samples when the type or the name's ending says that a file holds some, else None.

    A number that is no rate or no number of channels makes it no sound that could be read: None as well.
    """
    kind, *parameters = (part.strip() for part in content_type.lower().replace(",", ";").split(";"))
    if kind not in _TYPES and not filename.lower().endswith(".pcm"):
        return None
    stated = dict(part.partition("=")[::2] for part in parameters)
    try:
        rate_hz = int(stated.get("rate", _RATE_HZ))
        channels = int(stated.get("channels", _ONE_CHANNEL))
    except ValueError:
        return None
    if rate_hz not in _RATES_HZ or channels not in _CHANNELS:
        return None
    described = f"audio/pcm;rate={rate_hz};channels={channels}"
    return Format("pcm", described, "pcm", "s16le", ("-ar", str(rate_hz), "-ac", str(channels)))


def recognise(head: bytes, raw: Format | None) -> Format | None:
    """Return what a file is by its first bytes; `raw` only for what looks like nothing that is known, text included."""
    found = sniff(head)
    return raw if found is None and describe(head) == "unknown" else found
