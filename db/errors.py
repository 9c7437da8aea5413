"""Errors of the database and the file store."""


class DbError(Exception):
    """Base class of this package's errors. ``permanent`` is True if a retry cannot succeed."""

    permanent = True


class SettingsError(DbError):
    """Raised when a setting or the routes file is invalid. Names the variable or key."""


class LostClaim(DbError):
    """Raised when another worker has claimed the job. The results of this run must be dropped."""


class SignedReviewIsFinal(DbError):
    """Raised when a signed review would be changed. It can only be amended by a new review."""


class StoreFull(DbError):
    """Raised when the disk has less free space than ``SONOGATE_MIN_FREE_BYTES``."""

    permanent = False

    def __init__(self, free_bytes: int, min_free_bytes: int) -> None:
        self.free_bytes = free_bytes
        self.min_free_bytes = min_free_bytes
        super().__init__(
            f"the disk has {free_bytes} bytes free, less than SONOGATE_MIN_FREE_BYTES"
            f" ({min_free_bytes}): free some space or lower the setting"
        )


class BacklogTooLong(DbError):
    """Raised when more files wait for the indexer than ``SONOGATE_DICOM_MAX_BACKLOG_FILES``."""

    permanent = False

    def __init__(self, files: int, max_files: int) -> None:
        self.files = files
        self.max_files = max_files
        super().__init__(
            f"{files} received files wait for the indexer, and SONOGATE_DICOM_MAX_BACKLOG_FILES is"
            f" {max_files}: check that `sonogate indexer` runs and that the database answers"
        )
