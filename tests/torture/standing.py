"""Who stood when: the workers that ran unfrozen and the servers that could be reached, moment by moment."""

from collections.abc import Set as AbstractSet


class Standing:
    """The history of a set of names."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._history: list[tuple[float, frozenset[str]]] = []

    def note(self, at: float, names: AbstractSet[str]) -> None:
        """Note that from `at` on, which is not before what was noted last, exactly these names stand."""
        if not self._history or self._history[-1][1] != names:
            self._history.append((at, frozenset(names)))

    def throughout(self, since: float, until: float) -> frozenset[str]:
        """Return the names that stood from `since` to `until` without a break; none before the history begins."""
        stood: frozenset[str] | None = None
        before: frozenset[str] = frozenset()
        for at, names in self._history:
            if at > until:
                break
            if at > since:
                stood = (before if stood is None else stood) & names
            before = names
        return before if stood is None else stood
