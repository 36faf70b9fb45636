"""Takes at the offline engine before and after a song is asked for: heard at once, and changed as their singer says."""

import json

import numpy as np

from services.composer.engine.listen.record import analysis_to_json
from services.composer.engine.music import ANALYSIS_RATE
from services.composer.providers import Order
from services.composer.providers.offline import OfflineProvider
from tests.composer.hand_made import analysis_of
from tests.composer.recorded import hummed, recorded
from tests.composer.singer import speak

ENGINE = OfflineProvider(soundfont="", ffmpeg="")


async def test_hearing_at_once_is_hearing_step_by_step() -> None:
    """One question brings what three steps of a job find; a take that is refused for its speech shows its curve."""
    whole = await ENGINE.hear(hummed(), lambda: False)
    heard = await ENGINE.listen(hummed(), lambda: False)
    speech = await ENGINE.hear(recorded(speak(8.0, 1)), lambda: False)
    silence = await ENGINE.hear(recorded(np.zeros(8 * ANALYSIS_RATE)), lambda: False)

    assert whole["refused"] == ""
    assert whole["check"] == await ENGINE.check(hummed(), lambda: False)
    assert whole["analysis"] == await ENGINE.pick(heard, lambda: False)
    assert (speech["refused"], silence["refused"]) == ("speech", "silent")
    assert max(speech["analysis"]["f0_hz"]) > 0
    assert silence["analysis"] is None


async def test_key_and_metre_are_those_that_are_named() -> None:
    """A named key and metre replace what was heard before the tune is transposed, and no note moves for them."""
    heard = json.loads(json.dumps(analysis_to_json(analysis_of("twinkle"))))
    change = {"key": "G minor", "beats_per_bar": 3, "transpose_semitones": 2}
    changed = await ENGINE.change(heard, change, lambda: False)

    assert changed["key"] == {"tonic": 9, "mode": "minor"}
    assert (heard["beats_per_bar"], changed["beats_per_bar"], changed["compound"]) == (4, 3, False)
    assert [note["pitch"] - 2 for note in changed["melody"]] == [note["pitch"] for note in heard["melody"]]
    assert [note["beat"] for note in changed["melody"]] == [note["beat"] for note in heard["melody"]]
    six = {**heard, "compound": True, "swing": 1 / 6}
    assert not (await ENGINE.change(six, {"beats_per_bar": 4}, lambda: False))["compound"]
    assert (await ENGINE.change(six, {"transpose_semitones": 1}, lambda: False))["compound"]
    order = Order(label="A", analysis=changed, title="", style="pop", mood="", duration_s=30.0, seed=1)
    made = await ENGINE.make(order, lambda _percent, _what: None, lambda: False)
    assert made.key == "A minor"
