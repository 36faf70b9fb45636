"""The offline music engine: a hum or words in, two arranged songs out, with no model, no network and no state.

A library of numpy and pure Python that could be published as it stands. Each stage is a function from
one frozen value to the next: `listen` turns a take into an `Analysis`, `compose` an `Analysis` and a
`Brief` into a `Score`, `sing` sets words to music and gives them a voice, `render` turns a `Score` into a mastered
stereo signal, `judge` measures the result. It reads no files but the soundfont it is given and the data of the
packages it uses, and imports nothing of the services around it.
"""

VERSION = "3"
"""Raised by every change that makes another song of the same analysis, brief and seed."""
