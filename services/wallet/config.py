"""The settings of Wallet."""

from dataclasses import dataclass

from services.kit.config import ConfigError, ProcessConfig, setting

_FARTHEST_H = 14.0


@dataclass(frozen=True, kw_only=True)
class Config(ProcessConfig):
    """What a Wallet process needs beyond what every process needs."""

    port: int = setting("WALLET_PORT", 50052, doc="gRPC port of Wallet")
    signup_grant_credits: int = setting(
        "SIGNUP_GRANT_CREDITS", 100, doc="credits that a new user is given once; above 0"
    )
    quota_utc_offset_h: float = setting(
        "QUOTA_UTC_OFFSET_H", 8.0, doc="hours that the zone whose midnight begins a new day of quotas is ahead of UTC"
    )
    quote_window_s: float = setting(
        "QUOTE_WINDOW_S", 900.0, doc="how long a quoted price stays good after the next one has begun"
    )
    hold_expiry_s: float = setting(
        "HOLD_EXPIRY_S", 86400.0, doc="when credits set aside go back by themselves if the caller names no date"
    )
    hold_longest_s: float = setting(
        "HOLD_LONGEST_S", 30 * 86400.0, doc="longest time credits may be set aside, all extensions together"
    )
    reconcile: str = setting(
        "RECONCILE", "nightly", doc="nightly: one process of Wallet compares books, holds and jobs; off: none does"
    )
    reconcile_grace_s: float = setting(
        "RECONCILE_GRACE_S", 600.0, doc="how long a job's last message may be on its way before it is a finding"
    )
    job_gone_s: float = setting(
        "JOB_GONE_S", 3600.0, doc="age at which credits held for a job that does not exist are given back"
    )

    def __post_init__(self) -> None:
        """Refuse a grant that gives nothing, for the ledger has no lines of zero, and times that make no sense."""
        super().__post_init__()
        wrong = []
        if self.signup_grant_credits <= 0:
            wrong.append("SIGNUP_GRANT_CREDITS must be above 0")
        if not 0 < self.hold_expiry_s <= self.hold_longest_s:
            wrong.append("HOLD_EXPIRY_S must be above 0 and not above HOLD_LONGEST_S")
        if self.quote_window_s < 0:
            wrong.append("QUOTE_WINDOW_S must not be below 0")
        if not -_FARTHEST_H <= self.quota_utc_offset_h <= _FARTHEST_H:
            wrong.append("QUOTA_UTC_OFFSET_H must lie between -14 and 14")
        if self.reconcile not in {"nightly", "off"}:
            wrong.append("RECONCILE must be nightly or off")
        if wrong:
            raise ConfigError(wrong)
