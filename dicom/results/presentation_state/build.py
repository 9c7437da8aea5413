"""Presentation states (PS3.3 A.33): the lesions' outlines as graphics over the received image."""

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
# what turns stored values into gray: a state that left it out would show the image otherwise
_GRAY_SCALE: Final = (
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


def build_presentation_states(result: StudyResult) -> list[Dataset]:
    """Return one presentation state for each image with outlined lesions.

    Grayscale Softcopy over gray images, Color Softcopy over the others, palette included. Each
    outline is a graphic annotation on its frame, with the lesion's name beside it. The UIDs
    follow from the analysis and the image. Raises what `dicom.images.header.read_header` raises for a
    source that cannot be read.
    """
    images = [
        image for image in result.images if any(len(lesion.contour) > 2 for lesion in image.lesions)
    ]
    return [_build(result, image, index) for index, image in enumerate(images)]


def _build(result: StudyResult, image: ImageResult, index: int) -> Dataset:
    source = read_source(image.source)
    state = _by_highdicom(result, image, source, index)
    name_true_classes(state, {source.header.sop_instance_uid: source})
    state.SeriesDescription = SERIES_DESCRIPTION
    state.Laterality = source.header.laterality or None
    add_provenance(state, source, result)
    state.PresentationCreationDate = state.ContentDate
    state.PresentationCreationTime = state.ContentTime
    del state.ContentDate, state.ContentTime  # a presentation state has its own, above
    return state


def _by_highdicom(
    result: StudyResult, image: ImageResult, source: SourceImage, index: int
) -> Dataset:
    gray = source.header.photometric_interpretation in _GRAY
    stand_in = _stand_in(source, gray=gray)
    layer = GraphicLayer("AI OUTLINES", 1, "Lesions outlined by AI, not verified", _RED)
    lesions = [lesion for lesion in image.lesions if len(lesion.contour) > 2]
    parts = result.analysis_id, image.sop_instance_uid
    common: dict[str, Any] = {  # what both constructors take
        "referenced_images": [stand_in],
        "series_instance_uid": derived_uid("presentation-series", *parts),
        "series_number": FIRST_SERIES_NUMBER + index,
        "sop_instance_uid": derived_uid("presentation", *parts),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": RESULT_MODEL,
        "software_versions": result.algorithm.version,
        "device_serial_number": serial_number(result.algorithm),
        "content_label": "LESIONS",
        "content_description": "Lesions outlined by AI, not verified",
        "graphic_layers": [layer],
        "graphic_annotations": [_annotation(lesion, source, stand_in, layer) for lesion in lesions],
    }
    if gray:
        inverse = source.header.photometric_interpretation == "MONOCHROME1"
        shape = PresentationLUTTransformation("INVERSE" if inverse else "IDENTITY")
        return GrayscaleSoftcopyPresentationState(**common, presentation_lut_transformation=shape)
    return ColorSoftcopyPresentationState(**common, icc_profile=_icc_profile(source))


def _stand_in(source: SourceImage, *, gray: bool) -> Dataset:
    stand_in = one_frame_stand_in(source)
    stand_in.SamplesPerPixel = 1 if gray else 3  # to highdicom a palette has no color
    for keyword in _GRAY_SCALE:
        if gray and keyword in source.dataset:
            stand_in[keyword] = source.dataset[keyword]
    return stand_in


def _annotation(
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
    """Return the image's own profile where a state may have it (PS3.3 C.11.15.1.1), else sRGB."""
    own = bytes(source.dataset.get("ICCProfile") or b"")
    whole = len(own) >= _ICC_HEADER_BYTES and len(own) >= int.from_bytes(own[:4], "big")
    if whole and own[12:16] in _ICC_CLASSES and own[36:40] == b"acsp":
        return own
    # the one profile of an allowed class at hand; Pillow's own sRGB is for displays
    return (files("highdicom") / "_icc_profiles" / "sRGB_v4_ICC_preference.icc").read_bytes()
