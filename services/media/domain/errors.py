"""What can be wrong with an upload or an asset, in the words of the public error list."""

from typing import Self

from services.kit.errors import BusinessRule, Conflict, FieldViolation, NotFound, ParamInvalid, RateLimited


class AssetNotFound(NotFound):
    """The asset does not exist, was deleted, or belongs to somebody else."""


class AssetNotReady(Conflict):
    """The asset cannot be played yet, or its file was refused."""

    reason = "ASSET_NOT_READY"


class AssetInUse(Conflict):
    """A job that has not ended reads the asset."""

    reason = "ASSET_IN_USE"


class IllegalMove(Conflict):
    """The asset cannot go from the state it is in to the one asked for."""


class TooManyOpen(RateLimited):
    """The person has as many unfinished uploads as one person may have."""


class _UploadRefused(BusinessRule):
    """An upload that broke one rule; names the field that broke it."""

    @classmethod
    def at(cls, field: str, description: str, **metadata: str | int) -> Self:
        """Return the error for one field of the request; the field also stands in the metadata."""
        error = cls(f"{field}: {description}", field=field, **metadata)
        error.violations = (FieldViolation(field, cls.reason.lower(), description),)
        return error


class UploadTooLarge(_UploadRefused):
    """The file is larger than this way of uploading accepts."""

    reason = "UPLOAD_TOO_LARGE"


class UploadFormatInvalid(_UploadRefused):
    """The content is not a sound file of a known kind."""

    reason = "UPLOAD_FORMAT_INVALID"


class UploadDurationInvalid(_UploadRefused):
    """The sound is shorter or longer than allowed."""

    reason = "UPLOAD_DURATION_INVALID"


class UploadIncomplete(_UploadRefused):
    """The bytes that arrived are not those that were announced."""

    reason = "UPLOAD_INCOMPLETE"


class PartsLost(UploadIncomplete):
    """The object store has lost what had come of a file; it begins again."""


class HeaderMissing(ParamInvalid):
    """A client stream began without its header or brought a second one."""


class OffsetWrong(Conflict):
    """The bytes of an append do not go on where the file stops."""

    reason = "UPLOAD_OFFSET_WRONG"


class UploadLocked(Conflict):
    """Somebody else appends to the file just now."""

    reason = "UPLOAD_LOCKED"


class ChecksumWrong(ParamInvalid):
    """Other bytes came than the checksum speaks of."""

    reason = "UPLOAD_CHECKSUM_WRONG"


class ChecksumUnknown(ParamInvalid):
    """The checksum is of no known algorithm, or no digest."""
