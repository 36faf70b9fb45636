"""What Composer refuses, each with its public reason."""

from services.composer.domain.usage import ModelUsage
from services.kit.errors import BusinessRule, Conflict, DomainError, NotFound


class TrackNotFound(NotFound):
    """No living track of this user has the id."""


class SourceNotUsable(BusinessRule):
    """The tune of this track was not kept, so that another song of it needs the recording again."""


class RecipeMissing(NotFound):
    """It is not known what the track was made of: another provider made it, or an earlier version of ours."""


class EngineChanged(BusinessRule):
    """The song was made by a version of the engine that is not here any more, so that it cannot be made again."""


class ExportNotFound(NotFound):
    """This user has no export of this id."""


class VariantNotFound(NotFound):
    """The track has no variant of this id."""


class TakeMissing(NotFound):
    """The recording that the track is made from is not there any more, or cannot be played."""


class AssetNotReady(Conflict):
    """The recording is still on its way, or has failed."""

    reason = "ASSET_NOT_READY"


class GenerateBusy(DomainError):
    """As many songs are in the making as this person, or everybody together, may have."""

    reason = "GENERATE_BUSY"


class ProviderFailed(DomainError):
    """Whoever makes the music gave no usable answer; what exactly went wrong stands in the log."""

    reason = "GENERATE_PROVIDER_ERROR"


class VendorFailed(ProviderFailed):
    """One try at one vendor gave no usable answer; *kind* is our word for why.

    `again` says whether the same vendor may do better at once, `wait_s` how long it wants to be left alone before, and
    `usage` what the try took all the same.
    """

    def __init__(
        self, kind: str, message: str, *, again: bool, wait_s: float = 0.0, usage: ModelUsage | None = None
    ) -> None:
        super().__init__(message, kind=kind)
        self.kind = kind
        self.again = again
        self.wait_s = wait_s
        self.usage = usage or ModelUsage()


class LyricsNotFound(NotFound):
    """No living lyrics of this user have the id."""


class LyricsUnavailable(DomainError):
    """Nobody could write the words; the credits go back, and `usage` is what the models took all the same."""

    reason = "LYRICS_UNAVAILABLE"
    usage = ModelUsage()


class LyricsRefused(DomainError):
    """A model will not write about this; the credits go back, and `usage` is what it took to say so."""

    reason = "LYRICS_REFUSED"
    usage = ModelUsage()


class TrackNotReady(BusinessRule):
    """The track has no variants to choose from yet."""


class WebhookNotFound(NotFound):
    """This user has no webhook, or the webhook no delivery, of this id."""


class WebhookLimitReached(BusinessRule):
    """The user has as many webhooks as allowed."""

    reason = "WEBHOOK_LIMIT_REACHED"


class WebhookUrlRefused(DomainError):
    """Events may not be sent to this address."""

    reason = "WEBHOOK_URL_REFUSED"


class WebhookPaused(Conflict):
    """Nothing is sent to the webhook until it is let go on."""

    reason = "WEBHOOK_PAUSED"


class WebhookDeliveryPending(Conflict):
    """The delivery is tried again by itself."""

    reason = "WEBHOOK_DELIVERY_PENDING"
