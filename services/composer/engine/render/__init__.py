"""Rendering: a `Score` and a soundfont become a mastered stereo song, one dry stem at a time."""
