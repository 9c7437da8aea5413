"""What can go wrong with a DICOM object, in words a person can act on.

No text here carries patient data or a UID from the network: these texts reach logs and pages.
"""

from typing import ClassVar


class DicomError(Exception):
    """Base of every error of this package.

    `code` is stable and shown to people; `permanent` says that trying the same bytes again
    cannot help.
    """

    code: ClassVar[str] = "dicom-error"
    permanent: ClassVar[bool] = True


class NotDicom(DicomError):
    code = "not-dicom"

    def __init__(self) -> None:
        super().__init__("The file is not DICOM (no DICM prefix). Send DICOM Part 10 files.")


class TruncatedFile(DicomError):
    code = "truncated-file"

    def __init__(self) -> None:
        super().__init__("The file ends before its data does. Send the object again.")


class NoPixelData(DicomError):
    code = "no-pixels"

    def __init__(self) -> None:
        super().__init__("The object has no image pixels, so there is nothing to analyze.")


class UndecodableFrame(DicomError):
    """`frame` is 0-based; `reason` is our own word, never the decoder's quotation of the file."""

    code = "undecodable-frame"

    def __init__(self, frame: int, reason: str = "its pixel data is damaged") -> None:
        super().__init__(f"Frame {frame + 1} cannot be decoded: {reason}.")
        self.frame = frame
        self.reason = reason


class UnsupportedTransferSyntax(DicomError):
    code = "unsupported-transfer-syntax"

    def __init__(self, uid: str, name: str = "an unknown transfer syntax") -> None:
        super().__init__(
            f"The pixels are encoded as {name}, which Sonogate keeps but cannot decode."
        )
        self.uid = uid


class InvalidHeader(DicomError):
    """`keyword` is the attribute's DICOM keyword; `problem` never quotes its value."""

    code = "invalid-header"

    def __init__(self, keyword: str, problem: str) -> None:
        super().__init__(f"The header's {keyword} is {problem}.")
        self.keyword = keyword
        self.problem = problem


class InvalidResult(DicomError):
    """A result that cannot be said in DICOM, for instance a mask of another size than its image."""

    code = "invalid-result"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The result cannot be written as DICOM: {problem}.")
        self.problem = problem


class UnknownResult(DicomError, ValueError):
    """A result that a destination asks for and that is not made here."""

    code = "unknown-result"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class ReadBackMismatch(DicomError):
    """What was written is not what is on disk. Not permanent: writing again may heal it."""

    code = "read-back-mismatch"
    permanent = False

    def __init__(self, what: str) -> None:
        super().__init__(f"The object on disk differs from what was written: {what}.")
        self.what = what
