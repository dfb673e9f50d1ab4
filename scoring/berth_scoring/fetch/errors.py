class FetchError(Exception):
    """An artifact could not be brought; the message is for the user and holds no secret."""

    cause = "FetchFailed"
    """The end of the reason in the status; what was fetched (`Model` or `Code`) comes before it."""


class DigestMismatchError(FetchError):
    """The bytes are not those that the manifest pins."""

    cause = "DigestMismatch"


class ArchiveUnsafeError(FetchError):
    """An archive holds a member that must not be unpacked."""

    cause = "ArchiveUnsafe"


class ArchiveDamagedError(FetchError):
    """An archive cannot be read to its end."""

    cause = "ArchiveDamaged"
