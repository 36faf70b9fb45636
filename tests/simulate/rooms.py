"""Everything that is stored in a simulated world, in one place for those who judge it."""

from dataclasses import dataclass, field

from tests.simulate.database import Table
from tests.simulate.job_rows import MemoryJobs
from tests.simulate.ledger_rows import MemoryLedger
from tests.simulate.terms_rows import MemoryTerms
from tests.simulate.track_rows import MemoryTracks


@dataclass(frozen=True)
class Rooms:
    """The tables of all services."""

    jobs: MemoryJobs = field(default_factory=lambda: MemoryJobs("composer"))
    tracks: MemoryTracks = field(default_factory=MemoryTracks)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    terms: MemoryTerms = field(init=False)
    # What handlers leave behind, by job.
    effects: Table = field(default_factory=lambda: Table("effects"))

    def __post_init__(self) -> None:
        """Let the terms look at the ledger's holds."""
        object.__setattr__(self, "terms", MemoryTerms(self.ledger))

    def furnish(self, kind: str, price: int, steps: tuple[tuple[str, int], ...] = ()) -> None:
        """Put in what migrations put in: a price, with what is owed of it for finished steps."""
        self.terms.set_price(kind, price, steps=steps)
