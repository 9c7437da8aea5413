"""Builds presentation states (PS3.3 A.33), which show the outlines of lesions over an image."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Final

from highdicom import PresentationLUTTransformation
from highdicom.color import CIELabColor
from highdicom.pr import (
    ColorSoftcopyPresentationState,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from pydicom.dataset import Dataset

from dicom.equipment import MANUFACTURER, RESULT_MODEL
from dicom.results.graphic_data import closed_outline
from dicom.results.model import ImageResult, LesionResult, StudyResult
from dicom.results.provenance import add_provenance, serial_number
from dicom.results.result_kind import BuildInputs
from dicom.results.source_image import (
    SourceImage,
    name_true_classes,
    one_frame_stand_in,
    read_source,
)
from dicom.uids import derived_uid

FIRST_SERIES_NUMBER: Final = 9701
SERIES_DESCRIPTION: Final = "AI outlines drawn (UNVERIFIED)"
_RED: Final = CIELabColor(53.2, 80.1, 67.2)
_ICC_HEADER_BYTES: Final = 128
_ICC_CLASSES: Final = (b"scnr", b"spac")
_GRAY: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})
# without these, a state would change the gray levels of the image
_GRAYSCALE_TRANSFORMATIONS: Final = (
    "ModalityLUTSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
)


def build_presentation_states(inputs: BuildInputs) -> Iterator[Dataset]:
    """Build one presentation state for each image with outlined lesions.

    It is a Grayscale Softcopy state for a gray image, and a Color Softcopy state for any other,
    including palette color. Each outline is a graphic annotation on its frame, with the name of
    the lesion. Raises the errors of `dicom.images.header.read_header` for a source that cannot be
    read.
    """
    result = inputs.result
    outlined = [
        image for image in result.images if any(len(lesion.contour) > 2 for lesion in image.lesions)
    ]
    for series_number, image in enumerate(outlined, start=FIRST_SERIES_NUMBER):
        source = read_source(image.source)
        state = _build_state(result, image, source, series_number)
        name_true_classes(state, {source.header.sop_instance_uid: source})
        state.SeriesDescription = SERIES_DESCRIPTION
        state.Laterality = source.header.laterality or None
        add_provenance(state, source, result)
        state.PresentationCreationDate = state.ContentDate
        state.PresentationCreationTime = state.ContentTime
        del state.ContentDate, state.ContentTime  # not in the IOD
        yield state
        del state  # otherwise it stays in memory while the next one is built


def _build_state(
    result: StudyResult, image: ImageResult, source: SourceImage, series_number: int
) -> Dataset:
    is_gray = source.header.photometric_interpretation in _GRAY
    stand_in = one_frame_stand_in(source)
    stand_in.SamplesPerPixel = 1 if is_gray else 3  # highdicom does not take a palette for color
    for keyword in _GRAYSCALE_TRANSFORMATIONS:
        if is_gray and keyword in source.dataset:
            stand_in[keyword] = source.dataset[keyword]
    layer = GraphicLayer("AI OUTLINES", 1, "Lesions outlined by AI, not verified", _RED)
    lesions = [lesion for lesion in image.lesions if len(lesion.contour) > 2]
    uid_parts = result.analysis_id, image.sop_instance_uid
    arguments: dict[str, Any] = {  # of both constructors
        "referenced_images": [stand_in],
        "series_instance_uid": derived_uid("presentation-series", *uid_parts),
        "series_number": series_number,
        "sop_instance_uid": derived_uid("presentation", *uid_parts),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": RESULT_MODEL,
        "software_versions": result.algorithm.version,
        "device_serial_number": serial_number(result.algorithm),
        "content_label": "LESIONS",
        "content_description": "Lesions outlined by AI, not verified",
        "graphic_layers": [layer],
        "graphic_annotations": [_annotate(lesion, source, stand_in, layer) for lesion in lesions],
    }
    if is_gray:
        is_inverse = source.header.photometric_interpretation == "MONOCHROME1"
        shape = PresentationLUTTransformation("INVERSE" if is_inverse else "IDENTITY")
        return GrayscaleSoftcopyPresentationState(
            **arguments, presentation_lut_transformation=shape
        )
    return ColorSoftcopyPresentationState(**arguments, icc_profile=_icc_profile(source))


def _annotate(
    lesion: LesionResult, source: SourceImage, stand_in: Dataset, layer: GraphicLayer
) -> GraphicAnnotation:
    points = closed_outline(lesion.contour).clip((0, 0), source.shape[::-1])
    outline = GraphicObject(
        graphic_type="POLYLINE",
        graphic_data=points,
        units="PIXEL",
        tracking_id=lesion.tracking_id,
        tracking_uid=lesion.tracking_uid,
    )
    name = TextObject(
        text_value=f"{lesion.tracking_id} (AI, not verified)",
        units="PIXEL",
        anchor_point=tuple(points[points[:, 1].argmin()]),
    )
    annotation = GraphicAnnotation(
        [stand_in], layer, graphic_objects=[outline], text_objects=[name]
    )
    if source.cine:
        annotation.ReferencedImageSequence[0].ReferencedFrameNumber = lesion.frame_number
    return annotation


def _icc_profile(source: SourceImage) -> bytes:
    """Return the ICC profile of the image if a state may use it (PS3.3 C.11.15.1.1), or sRGB."""
    own = bytes(source.dataset.get("ICCProfile") or b"")
    is_complete = len(own) >= _ICC_HEADER_BYTES and len(own) >= int.from_bytes(own[:4], "big")
    if is_complete and own[12:16] in _ICC_CLASSES and own[36:40] == b"acsp":
        return own
    # Pillow's sRGB profile is of the display class, which is not allowed here
    return (files("highdicom") / "_icc_profiles" / "sRGB_v4_ICC_preference.icc").read_bytes()
