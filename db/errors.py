"""What can go wrong with rows and the files they point to."""


class RowsError(Exception):
    """Base of every error of this package; ``permanent`` says that a retry cannot help."""

    permanent = True


class SettingsError(RowsError):
    """A setting or the routes file is wrong; the text names the variable or key and the remedy."""


class LostClaim(RowsError):
    """Another worker holds the job by now; whatever this one made must not be written."""


class SignedReviewIsFinal(RowsError):
    """A signed review is never changed; amend it with a new review that names it."""


class StoreFull(RowsError):
    """The disk has less free space than the watermark; receiving pauses until there is room."""

    permanent = False

    def __init__(self, free_bytes: int, watermark_bytes: int) -> None:
        self.free_bytes = free_bytes
        self.watermark_bytes = watermark_bytes
        super().__init__(
            f"only {free_bytes} bytes are free and SONOGATE_MIN_FREE_BYTES keeps"
            f" {watermark_bytes}: free some space or lower the watermark"
        )
