"""A slice: which stretch of a sound is cut out, how it begins and ends, and how loud it becomes."""

from dataclasses import dataclass

from services.kit.errors import ParamInvalid

SHORTEST_S = 0.1
# A length is known to the millisecond, so half of one is no mistake of whoever asks.
_SLACK_S = 0.0005


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A stretch in seconds from the beginning of a sound, its fades, and its loudness in LUFS unless it stays."""

    start_s: float
    end_s: float
    fade_in_s: float = 0.0
    fade_out_s: float = 0.0
    loudness_lufs: float | None = None

    @property
    def length_s(self) -> float:
        """How long the stretch lasts."""
        return self.end_s - self.start_s

    def check(self, duration_ms: int, longest_ms: int) -> None:
        """Raise ParamInvalid, with the field, unless the stretch and its fades fit into a sound of this length."""
        duration_s = duration_ms / 1000
        if self.start_s >= duration_s:
            raise ParamInvalid.of("start_s", f"must lie before the end of the sound, at {duration_s:g} s")
        if self.end_s <= self.start_s:
            raise ParamInvalid.of("end_s", "must lie behind start_s")
        if self.end_s > duration_s + _SLACK_S:
            raise ParamInvalid.of("end_s", f"must not lie beyond the end of the sound, at {duration_s:g} s")
        if self.length_s < SHORTEST_S - _SLACK_S:
            raise ParamInvalid.of("end_s", f"must lie at least {SHORTEST_S:g} s behind start_s")
        if self.length_s > longest_ms / 1000 + _SLACK_S:
            raise ParamInvalid.of("end_s", f"must lie at most {longest_ms / 1000:g} s behind start_s")
        if self.fade_in_s > self.length_s + _SLACK_S:
            raise ParamInvalid.of("fade_in_s", f"must be no longer than the stretch, {self.length_s:g} s")
        if self.fade_in_s + self.fade_out_s > self.length_s + _SLACK_S:
            raise ParamInvalid.of("fade_out_s", "must fit into the stretch behind fade_in_s")
