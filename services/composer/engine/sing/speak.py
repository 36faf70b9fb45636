"""Speaking a few syllables with espeak-ng, the only place that holds its global state.

espeak-ng is a formant synthesiser: what it says has no singer and no recording behind it. It comes as a library with
its data and is called by ctypes; a lock keeps its one voice to one caller at a time.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import espeakng_loader
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPEECH_RATE = 22_050
"""Samples per second of what espeak-ng says."""

Language = Literal["zh", "en"]

_VOICES = {"zh": "cmn", "en": "en-us"}
_SYNCHRONOUS = 2
_PHONEME_EVENTS = 1
_TEXT_IS_UTF8 = 1
_TEXT_HAS_PHONEMES = 0x100
_RATE, _PITCH, _RANGE = 1, 3, 4
_LAST, _PHONEME = 0, 7


@dataclass(frozen=True, slots=True)
class Phone:
    """One sound of what was said, in espeak-ng's own spelling without stress marks; `|` parts Chinese syllables."""

    name: str
    start_s: float


@dataclass(frozen=True)
class Speech:
    """What was said: mono float64 at `SPEECH_RATE`, its sounds in order, and the moment at which the last one ends."""

    sound: NDArray[np.float64]
    phones: tuple[Phone, ...]
    end_s: float


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("unique", ctypes.c_uint), ("text_position", ctypes.c_int), ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int), ("sample", ctypes.c_int), ("user_data", ctypes.c_void_p), ("id", _Name),
    )  # fmt: skip


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)  # fmt: skip


class _Mouth:
    """The library, started, and what it has said of the text at hand."""

    def __init__(self) -> None:
        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        if self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS) != SPEECH_RATE:
            message = "espeak-ng cannot be started"
            raise RuntimeError(message)
        self._heard: list[NDArray[np.int16]] = []
        self._events: list[tuple[int, str]] = []
        self._hear = _Callback(self._take)  # kept, for the library keeps only its address
        self._library.espeak_SetSynthCallback(self._hear)

    def say(self, text: str, language: Language, *, rate: int, variant: str) -> Speech:
        self._heard, self._events = [], []
        voice = _VOICES[language] + (f"+{variant}" if variant else "")
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            message = f"espeak-ng has no voice {voice}"
            raise RuntimeError(message)
        for parameter, value in ((_RATE, rate), (_PITCH, 50), (_RANGE, 0)):
            self._library.espeak_SetParameter(parameter, value, 0)
        said = text.encode() + b"\0"
        flags = _TEXT_IS_UTF8 | _TEXT_HAS_PHONEMES
        self._library.espeak_Synth(said, len(said), 0, 1, 0, flags, None, None)
        self._library.espeak_Synchronize()
        return self._speech()

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if count > 0:
            self._heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        place = 0
        while events[place].type != _LAST:
            if events[place].type == _PHONEME:
                name = bytes(events[place].id.string).split(b"\0")[0].decode(errors="replace")
                self._events.append((events[place].audio_ms, name))
            place += 1
        return 0

    def _speech(self) -> Speech:
        heard = np.concatenate(self._heard) if self._heard else np.zeros(0, dtype=np.int16)
        phones: list[Phone] = []
        end_ms = round(1000 * len(heard) / SPEECH_RATE)
        for at_ms, name in self._events:
            if name.startswith("("):
                continue  # it tells of another language and is no sound
            plain = name.strip("',%=")
            if plain in {"_:", "_"}:
                end_ms = min(end_ms, at_ms) if phones else end_ms
            elif plain:
                phones.append(Phone("|" if plain == "_|" else plain, at_ms / 1000.0))
        return Speech(heard.astype(np.float64) / 32768.0, tuple(phones), end_ms / 1000.0)


_lock = threading.Lock()


@lru_cache(maxsize=1)
def _mouth() -> _Mouth:
    return _Mouth()


def speak(text: str, language: Language, *, rate: int = 130, variant: str = "") -> Speech:
    """Return `text` spoken at one pitch, `rate` words a minute; sounds may be given as `[[...]]`.

    `variant` is one of the voices that espeak-ng derives from its own, such as `f2`; another name changes nothing.
    Raises RuntimeError when the library or its data cannot be used.
    """
    with _lock:
        return _mouth().say(text, language, rate=rate, variant=variant)
