"""Errors of DICOM objects.

Their texts reach logs and web pages, so they contain no patient data and no UID of an object.
"""

from typing import ClassVar


class DicomError(Exception):
    """Base class of the errors of this package.

    `code` is stable and appears in the user interface. A `permanent` error cannot be resolved by
    processing the same bytes again.
    """

    code: ClassVar[str] = "dicom-error"
    permanent: ClassVar[bool] = True


class NotDicom(DicomError):
    code = "not-dicom"

    def __init__(self) -> None:
        super().__init__(
            "The file has no DICM prefix, so it is not a DICOM file. Send DICOM Part 10 files."
        )


class TruncatedFile(DicomError):
    code = "truncated-file"

    def __init__(self) -> None:
        super().__init__("The file is truncated. Send the object again.")


class NoPixelData(DicomError):
    code = "no-pixels"

    def __init__(self) -> None:
        super().__init__("The object has no pixel data. Send an image.")


class UndecodableFrame(DicomError):
    """Raised when a frame cannot be decoded.

    `frame` is 0-based. `reason` never contains the decoder's message, which may quote the file.
    """

    code = "undecodable-frame"

    def __init__(self, frame: int, reason: str = "its pixel data is damaged") -> None:
        super().__init__(f"Frame {frame + 1} cannot be decoded: {reason}.")
        self.frame = frame
        self.reason = reason


class FrameSizeMismatch(UndecodableFrame):
    """Raised when a compressed frame declares another size than its object's header."""

    code = "frame-size-mismatch"

    def __init__(self, frame: int) -> None:
        super().__init__(frame, "its size differs from the header")


class FrameTimeout(UndecodableFrame):
    """Raised when a frame is not decoded in time, for instance because its decoder hangs."""

    code = "frame-timeout"

    def __init__(self, frame: int) -> None:
        super().__init__(frame, "it takes too long")


class DecoderCrashed(UndecodableFrame):
    """Raised when the process that decodes a frame dies."""

    code = "decoder-crashed"

    def __init__(self, frame: int) -> None:
        super().__init__(frame, "its decoder crashed")


class FrameTooLarge(DicomError):
    """Raised for an object whose frames are larger than the limit, before one is decoded."""

    code = "frame-too-large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A decoded frame would be larger than the limit of {limit} bytes.")
        self.limit = limit


class ImageTooLarge(DicomError):
    """Raised for an image whose frames together are larger than the limit."""

    code = "image-too-large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The decoded frames would be larger than the limit of {limit} bytes.")
        self.limit = limit


class UnsupportedTransferSyntax(DicomError):
    code = "unsupported-transfer-syntax"

    def __init__(self, uid: str, name: str = "an unknown transfer syntax") -> None:
        super().__init__(
            f"The pixel data is encoded in {name}, which Sonogate can store but not decode."
        )
        self.uid = uid


class InvalidHeader(DicomError):
    """Raised for an invalid attribute. `problem` never quotes its value."""

    code = "invalid-header"

    def __init__(self, keyword: str, problem: str) -> None:
        super().__init__(f"The header's {keyword} is {problem}.")
        self.keyword = keyword
        self.problem = problem


class LimitExceeded(DicomError):
    """Raised for a data set with more of something than is read. `what` is a plural noun."""

    code = "limit-exceeded"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"The object has more {what} than the limit of {limit}.")
        self.what = what
        self.limit = limit


class InvalidResult(DicomError):
    """Raised for a result that DICOM cannot represent, such as a mask not of its image's size."""

    code = "invalid-result"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The result cannot be written as DICOM: {problem}.")
        self.problem = problem


class UnknownResult(DicomError, ValueError):
    """Raised when a destination requests a result kind or variant that does not exist."""

    code = "unknown-result"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class UnknownProfile(DicomError, ValueError):
    """Raised when a destination names a profile that does not exist."""

    code = "unknown-profile"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class ReadBackMismatch(DicomError):
    """Raised when an object on disk differs from the one written. Writing it again may help."""

    code = "read-back-mismatch"
    permanent = False

    def __init__(self, difference: str) -> None:
        super().__init__(f"The object on disk differs from the object written: {difference}.")
        self.difference = difference
