"""The UIDs that identify an encoded instance, read without a parser."""

from dataclasses import dataclass
from typing import Final

from dicom.data_set_walk import RawValue, ReadAt, WalkLimits, walk_data_set
from dicom.errors import InvalidHeader
from dicom.images.header import is_uid

_KEYWORDS: Final = {
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
    0x00080018: "SOPInstanceUID",
    0x00080016: "SOPClassUID",
}


@dataclass(frozen=True)
class InstanceIdentity:
    """The class of an instance, and where it belongs."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


def read_identity(
    read: ReadAt, transfer_syntax_uid: str, limits: WalkLimits | None = None
) -> InstanceIdentity:
    """Check that a data set is whole and return its UIDs.

    Raises the errors of `walk_data_set`, and InvalidHeader for a missing or malformed UID.
    """
    walked = walk_data_set(read, transfer_syntax_uid, _KEYWORDS, limits)
    return InstanceIdentity(
        *(_parse_uid(keyword, walked.values.get(tag)) for tag, keyword in _KEYWORDS.items())
    )


def _parse_uid(keyword: str, raw: RawValue | None) -> str:
    uid = raw.value.decode("ascii", "replace").strip("\0 ") if raw else ""
    if not uid:
        raise InvalidHeader(keyword, "missing")
    if not is_uid(uid):
        raise InvalidHeader(keyword, "not a UID (PS3.5 9.1)")
    return uid
