"""Verifies presentation states. See `dicom.results.verify`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom.errors import ReadBackMismatch
from dicom.files import read_dataset, read_without_pixels
from dicom.results.model import StudyResult
from dicom.results.verify import (
    find_image,
    graphic_points,
    parsing,
    referenced_frames,
    verify_outline,
)


@dataclass(frozen=True, eq=False)
class ReadAnnotation:
    """One outline of a presentation state, with its text."""

    tracking_uid: str
    tracking_id: str
    frame: int
    """1-based; 1 for a still."""
    layer: str
    text: str
    points: NDArray[np.float64]
    """(x, y) in pixels, (n, 2)."""


@dataclass(frozen=True, eq=False)
class ReadPresentationState:
    """A presentation state as stored."""

    source_sop_instance_uid: str
    layers: tuple[str, ...]
    annotations: tuple[ReadAnnotation, ...]


def read_back_presentation_state(path: Path) -> ReadPresentationState:
    """Read a presentation state. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    dataset = read_dataset(path)
    with parsing("the presentation state"):
        (series,) = dataset.ReferencedSeriesSequence
        (image,) = series.ReferencedImageSequence
        uid = str(image.ReferencedSOPInstanceUID)
        annotations = []
        for annotation in dataset.GraphicAnnotationSequence:
            (reference,) = annotation.ReferencedImageSequence
            (graphic,) = annotation.GraphicObjectSequence
            (text,) = annotation.TextObjectSequence
            if reference.ReferencedSOPInstanceUID != uid:
                raise ValueError("drawn on another image")
            if (graphic.GraphicAnnotationUnits, graphic.GraphicType) != ("PIXEL", "POLYLINE"):
                raise ValueError("not drawn in pixels")
            (frame,) = referenced_frames(reference) or (1,)
            read = ReadAnnotation(
                tracking_uid=str(graphic.TrackingUID),
                tracking_id=str(graphic.TrackingID),
                frame=frame,
                layer=str(annotation.GraphicLayer),
                text=str(text.UnformattedTextValue),
                points=graphic_points(graphic),
            )
            annotations.append(read)
        return ReadPresentationState(
            source_sop_instance_uid=uid,
            layers=tuple(str(layer.GraphicLayer) for layer in dataset.GraphicLayerSequence),
            annotations=tuple(annotations),
        )


def verify_presentation_state(path: Path, result: StudyResult) -> None:
    """Raise ReadBackMismatch unless `path` shows the named outlines of its image."""
    state = read_back_presentation_state(path)
    image = find_image(state.source_sop_instance_uid, result)
    expected = {
        (lesion.tracking_uid, lesion.frame_number): lesion
        for lesion in image.lesions
        if len(lesion.contour) > 2
    }
    drawn = {
        (annotation.tracking_uid, annotation.frame): annotation for annotation in state.annotations
    }
    if drawn.keys() != expected.keys() or len(drawn) != len(state.annotations):
        raise ReadBackMismatch("the state draws other lesions or frames")
    if {annotation.layer for annotation in state.annotations} != set(state.layers):
        raise ReadBackMismatch("the state draws in layers that it does not define")
    header = read_without_pixels(image.source)
    for key, annotation in drawn.items():
        lesion = expected[key]
        if (
            annotation.tracking_id != lesion.tracking_id
            or lesion.tracking_id not in annotation.text
        ):
            raise ReadBackMismatch("an outline has another name")
        # outlines are clipped to the image
        contour = np.clip(lesion.contour, (0, 0), (int(header.Columns), int(header.Rows)))
        verify_outline(annotation.points, contour)
