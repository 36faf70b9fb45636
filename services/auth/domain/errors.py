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
