"""What a checker of content may say of a file that somebody brought."""

from dataclasses import dataclass
from enum import StrEnum

from services.kit.errors import BusinessRule


class Standing(StrEnum):
    """What a checker thinks of a file; one that a person should look at is taken, for only its owner sees it."""

    PASS = "pass"  # noqa: S105  # no password
    REVIEW = "review"
    RISKY = "risky"


class ContentRejected(BusinessRule):
    """A checker will not have the file."""

    reason = "CONTENT_REJECTED"


@dataclass(frozen=True)
class Verdict:
    """What a checker found, with a word for what it is."""

    standing: Standing
    label: str = ""

    def check(self) -> None:
        """Raise ContentRejected for a file that is not to be kept."""
        if self.standing is Standing.RISKY:
            message = "the content was refused"
            raise ContentRejected(message, field="file", label=self.label)
