"""`presentation-state`: the outlines as a Softcopy Presentation State (PS3.3 A.33)."""

from typing import Final

from dicom.results.presentation_state.build import build_presentation_states
from dicom.results.presentation_state.verify import verify_presentation_state
from dicom.results.result_kind import ResultKind, ResultRole

KIND: Final = ResultKind(
    name="presentation-state",
    description="The outlines as graphics over the image",
    role=ResultRole.MARK,
    variants=("softcopy",),
    build=build_presentation_states,
    verify=verify_presentation_state,
)
