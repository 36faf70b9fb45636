"""What can go wrong with credits, by the names the public contract uses."""

from services.kit.errors import DomainError


class InsufficientCredits(DomainError):
    """The spendable balance does not cover the price; metadata `needed` and `available` are credits."""

    reason = "INSUFFICIENT_CREDITS"


class HoldClosed(DomainError):
    """The hold was settled, released or has expired; metadata `state` says which."""

    reason = "HOLD_CLOSED"


class CreditsHeld(DomainError):
    """The credits are there, but other jobs hold them.

    Metadata: `needed`, `available`, `held` in credits, `holds` how many, `job_ids` the first of them with commas.
    """

    reason = "CREDITS_HELD"


class QuotaExceeded(DomainError):
    """The plan allows no more runs now; metadata `kind`, `plan`, `limit`, `used` in runs, `resets_at` (RFC 3339)."""

    reason = "QUOTA_EXCEEDED"


class WalletFrozen(DomainError):
    """An administrator has stopped the wallet; metadata `freeze_reason` says why, `frozen_at` since when."""

    reason = "WALLET_FROZEN"


class PriceChanged(DomainError):
    """The quoted price holds no more; metadata `kind`, `version` and `amount` are those of now."""

    reason = "PRICE_CHANGED"
