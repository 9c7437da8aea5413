"""`key-objects`: the frames with findings as a Key Object Selection (PS3.3 A.35.4)."""

from typing import Final

from dicom.results.key_objects.build import TITLES, build_key_objects
from dicom.results.key_objects.verify import verify_key_objects
from dicom.results.result_kind import ResultKind, ResultRole

KIND: Final = ResultKind(
    name="key-objects",
    description="The frames with findings as key images",
    role=ResultRole.MARK,
    variants=tuple(TITLES),
    build=build_key_objects,
    verify=verify_key_objects,
)
