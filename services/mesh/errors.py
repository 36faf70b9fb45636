"""Failures of the embedded runtime that a person can do something about.

They are apart from the services' errors because they are shown on a terminal, never sent over the wire: each carries
what is wrong and, in a second sentence, what to do next.
"""


class CannotStart(Exception):
    """A part of the mesh cannot start; ``advice`` tells the person at the terminal what to do about it."""

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(f"{problem} {advice}".strip())
        self.problem = problem
        self.advice = advice
