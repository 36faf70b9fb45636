"""Which key an untuned, drifting singer meant, and which note of it each sung pitch stands for.

Key, tuning offset and linear drift are found together: each alone can be mistaken for the others (a take that sinks
by 70 cents is in two keys at once if the drift is ignored). Phrases that come back are heard together. The note
profiles are those of David Temperley, "Music and Probability" (MIT Press 2007), counted from the Essen folk song
collection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.listen.motif import companions
from services.composer.engine.music import HeardNote, Key, Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MAJOR = (0.184, 0.001, 0.155, 0.003, 0.191, 0.109, 0.005, 0.214, 0.001, 0.078, 0.004, 0.055)
_MINOR = (0.192, 0.005, 0.149, 0.179, 0.002, 0.144, 0.002, 0.201, 0.038, 0.012, 0.053, 0.022)
_LAST_MAJOR = {0: 0.74, 4: 0.09, 7: 0.1, 2: 0.04, 9: 0.02}
_LAST_MINOR = {0: 0.82, 3: 0.05, 7: 0.08, 2: 0.03}
_RARE = 0.005
_OFFSETS = np.arange(-50.0, 50.0, 5.0) / 100.0
_SLOPES = np.linspace(-8.0, 8.0, 21) / 100.0  # semitones per second
_SLOPE_SPREAD = 0.025
_SPREAD = 0.3  # semitones, of single notes
_FREEDOM = 4.0
_MINOR_PRIOR = 0.35
_DURATION_LIMIT_S = 1.2
_SNAP_SPREAD = 0.4  # semitones, of a single note against what was meant
_MOST_TRIES = 3
_LEAPS = (0.2, 0.13, 0.27, 0.11, 0.08, 0.09, 0.008, 0.05, 0.012, 0.015, 0.006, 0.002, 0.02, 0.005)
_LEAP_GAIN = 0.5 * np.log(_LEAPS)  # by semitones; half, since the key's profile has said some of it


@dataclass(frozen=True, slots=True)
class HeardKey:
    """The key of a take, how sure it is, and how the singer's tuning lies and moves against 440 Hz."""

    key: Key
    margin: float
    """Log-likelihood lead over the next key, per note."""
    tuning_cents: float
    """Offset at the middle of the take."""
    drift_cents_per_s: float


def find_key(notes: Sequence[HeardNote]) -> HeardKey:
    """Return the most likely key of the notes by maximum likelihood over 24 keys, 20 offsets and 21 drifts.

    Asked twice: once the drift is known, phrases that come back are found, and their notes are averaged. Raises
    `ValueError` when there are no notes.
    """
    if not notes:
        raise ValueError("no notes to find a key in")
    pitches = np.array([note.sung_pitch for note in notes])
    heard = _likeliest_key(notes, pitches)
    shift = _shift(notes, heard)
    level = pitches - shift
    again = companions(notes, level)
    if not any(again):
        return heard
    averaged = [float(np.mean([level[index], *level[others]])) for index, others in enumerate(again)]
    return _likeliest_key(notes, np.array(averaged) + shift)


def _likeliest_key(notes: Sequence[HeardNote], pitches: NDArray[np.float64]) -> HeardKey:
    middles = np.array([(note.start_s + note.end_s) / 2 for note in notes])
    durations = np.clip([note.end_s - note.start_s for note in notes], 0.1, _DURATION_LIMIT_S)
    weights = np.sqrt(durations / durations.mean())
    centre = float(middles.mean())
    scores = np.empty((len(_SLOPES), len(_OFFSETS), 24))
    for row, slope in enumerate(_SLOPES):
        for column, offset in enumerate(_OFFSETS):
            classes = _class_likelihoods(pitches - offset - slope * (middles - centre))
            scores[row, column] = weights @ np.log(classes @ _PROFILES.T) + np.log(classes[-1] @ _LAST.T)
    scores -= 0.5 * (_SLOPES[:, None, None] / _SLOPE_SPREAD) ** 2
    scores[:, :, 12:] += np.log(_MINOR_PRIOR)
    scores[:, :, :12] += np.log(1.0 - _MINOR_PRIOR)
    row, column, best = (int(place) for place in np.unravel_index(int(scores.argmax()), scores.shape))
    per_key = scores.max(axis=(0, 1))
    # A tuning just under half a semitone makes the same take a semitone higher: no other key, another name.
    rivals = np.delete(scores[row, column], best)
    margin = float(per_key[best] - rivals.max()) / len(notes)
    key = Key(best % 12, Mode.MAJOR if best < 12 else Mode.MINOR)
    return HeardKey(key, max(margin, 0.0), float(_OFFSETS[column]) * 100.0, float(_SLOPES[row]) * 100.0)


def _shift(notes: Sequence[HeardNote], heard: HeardKey) -> NDArray[np.float64]:
    """Return by how many semitones the singer's tuning stands off at each note."""
    middles = np.array([(note.start_s + note.end_s) / 2 for note in notes])
    return np.asarray(heard.tuning_cents / 100.0 + heard.drift_cents_per_s / 100.0 * (middles - middles.mean()))


def key_clarity(notes: Sequence[HeardNote]) -> float:
    """Return how far the best key of snapped notes leads the next one, in log-likelihood per note; cheap."""
    counts = np.bincount([note.pitch % 12 for note in notes], minlength=12)
    best = np.sort(np.log(_PROFILES) @ counts)[-2:]
    return float(best[1] - best[0]) / max(1, len(notes))


def snap_notes(notes: Sequence[HeardNote], heard: HeardKey) -> tuple[HeardNote, ...]:
    """Return the notes with `pitch` set to what was meant: near the sung pitch, in the key, with a steady voice.

    A path search over the three nearest semitones of each note. What is left over must change little from one note
    to the next, because a voice that is flat now will be flat in a second; small steps are likelier than leaps; and
    where a phrase comes back, each of its notes must fit all tries at it.
    """
    if not notes:
        return ()
    meant = np.array([note.sung_pitch for note in notes]) - _shift(notes, heard)
    again = companions(notes, meant)
    middle = np.array([float(np.mean([meant[index], *meant[others]])) for index, others in enumerate(again)])
    candidates = np.round(middle)[:, None].astype(np.intp) + np.arange(-1, 2)[None, :]
    left_over = meant[:, None] - candidates
    row = _PROFILES[heard.key.tonic + (12 if heard.key.mode is Mode.MINOR else 0)]
    gain = 1.1 * np.log(row[candidates % 12]) - _t_cost(left_over / _SNAP_SPREAD)
    for index, others in enumerate(again):
        for other in others[:_MOST_TRIES]:
            gain[index] -= _t_cost((meant[other] - candidates[index]) / _SNAP_SPREAD)
    total, came_from = gain[0], np.zeros((len(notes), 3), dtype=np.intp)
    for index in range(1, len(notes)):
        step = left_over[index][:, None] - left_over[index - 1][None, :]
        leap = np.abs(candidates[index][:, None] - candidates[index - 1][None, :])
        ways = total[None, :] - _t_cost(step / 0.7) + _LEAP_GAIN[np.minimum(leap, len(_LEAP_GAIN) - 1)]
        came_from[index] = ways.argmax(axis=1)
        total = ways.max(axis=1) + gain[index]
    state = int(total.argmax())
    snapped: list[HeardNote] = []
    for index in range(len(notes) - 1, -1, -1):
        snapped.append(replace(notes[index], pitch=int(candidates[index, state])))
        state = int(came_from[index, state])
    return tuple(reversed(snapped))


def _t_cost(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return minus the log density of Student's t, up to a constant."""
    return np.asarray(0.5 * (_FREEDOM + 1.0) * np.log1p(distance**2 / _FREEDOM), dtype=np.float64)


def _class_likelihoods(pitches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (notes, 12): how likely each sung pitch is if its pitch class was meant."""
    distance = np.abs((pitches[:, None] - np.arange(12)[None, :] + 6.0) % 12.0 - 6.0) / _SPREAD
    return np.asarray(np.exp(-_t_cost(distance)), dtype=np.float64)


def _rotated(profile: Sequence[float]) -> NDArray[np.float64]:
    """Return the profile for each of the twelve tonics, floored and of unit sum."""
    floored = np.maximum(np.array(profile), _RARE)
    return np.stack([np.roll(floored / floored.sum(), tonic) for tonic in range(12)])


_PROFILES = np.concatenate([_rotated(_MAJOR), _rotated(_MINOR)])
_LAST = np.concatenate(
    [_rotated([shares.get(step, _RARE) for step in range(12)]) for shares in (_LAST_MAJOR, _LAST_MINOR)]
)
