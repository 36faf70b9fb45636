"""What can go wrong with a login, by the names the public contract uses."""

from services.kit.errors import DomainError


class AuthProviderError(DomainError):
    """The outside identity provider did not vouch; metadata `provider` and `cause` say who and why.

    `cause` is `refused`, `blocked`, `unreachable` or `not_configured`.
    """

    reason = "AUTH_PROVIDER_ERROR"


class AccountDisabled(DomainError):
    """The account was switched off by an operator."""

    reason = "ACCOUNT_DISABLED"


class AccountLocked(DomainError):
    """Too many failures; metadata `retry_after_s` says when a password is looked at again."""

    reason = "ACCOUNT_LOCKED"


class CredentialsInvalid(DomainError):
    """No account has this name and this password; which of the two is wrong is told to nobody."""

    reason = "CREDENTIALS_INVALID"


class CodeInvalid(DomainError):
    """The code is wrong, was used, or was never sent for this."""

    reason = "CODE_INVALID"


class CodeExpired(DomainError):
    """The code has run out or was tried too often; only another one helps."""

    reason = "CODE_EXPIRED"


class IdentityInUse(DomainError):
    """The way to log in is another account's; metadata `provider` says which door it is."""

    reason = "IDENTITY_IN_USE"


class LastIdentity(DomainError):
    """Without this way to log in nobody could come in any more."""

    reason = "LAST_IDENTITY"


class PasswordWeak(DomainError):
    """The password breaks a rule; metadata `rule` is `too_short`, `too_long`, `common` or `account`."""

    reason = "PASSWORD_WEAK"


class MessageNotSent(DomainError):
    """A code or letter did not leave; metadata `cause` is the carrier's own word for why."""

    reason = "MESSAGE_NOT_SENT"


class TargetRefused(DomainError):
    """The phone or mailbox does not exist or takes nothing; metadata `cause` is the carrier's own word."""

    reason = "TARGET_REFUSED"
