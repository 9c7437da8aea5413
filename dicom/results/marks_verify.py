"""Key objects and presentation states read back: what they point at and draw.

As in `dicom.results.verify`, nothing here shares code with the builders, nor with highdicom.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom.errors import ReadBackMismatch
from dicom.files import read_dataset, read_without_pixels
from dicom.results.model import ImageResult, LesionResult, StudyResult
from dicom.results.verify import (
    is_cine,
    named_image,
    outline_of,
    referenced_frames,
    taken_apart,
    verify_outline,
)
from dicom.terms.classification import NORMAL


@dataclass(frozen=True)
class ReadSelection:
    """Key images."""

    sop_instance_uid: str
    frames: Mapping[str, tuple[int, ...]]
    """1-based, by SOP Instance UID of the image; none for a still, nor for a whole cine."""
    evidence: frozenset[str]
    """SOP Instance UIDs."""


@dataclass(frozen=True, eq=False)
class ReadOutline:
    """One outline of a presentation state, and the words beside it."""

    tracking_uid: str
    tracking_id: str
    frame: int
    """1-based; 1 for a still."""
    layer: str
    words: str
    points: NDArray[np.float64]
    """(n, 2): x, y in pixels."""


@dataclass(frozen=True, eq=False)
class ReadState:
    sop_instance_uid: str
    source_sop_instance_uid: str
    layers: tuple[str, ...]
    outlines: tuple[ReadOutline, ...]


def read_back_key_objects(path: Path) -> ReadSelection:
    """Read a Key Object Selection. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    return taken_apart(read_dataset(path), _selection, "the selection")


def read_back_presentation_state(path: Path) -> ReadState:
    """Read a presentation state. Raises NotDicom, TruncatedFile, ReadBackMismatch."""
    return taken_apart(read_dataset(path), _state, "the presentation state")


def verify_key_objects(path: Path, result: StudyResult) -> ReadSelection:
    """Read `path` back; raise ReadBackMismatch unless it names the frames of `result` that carry
    findings, no others, and has each of their images in its evidence.
    """
    found = read_back_key_objects(path)
    meant = {
        image.sop_instance_uid: _frames_with_findings(image)
        for image in result.images
        if image.lesions or _is_suspicious(image)
    }
    if found.frames.keys() != meant.keys():
        raise ReadBackMismatch("the selection names other images")
    if found.frames != meant:
        raise ReadBackMismatch("the selection names other frames")
    if found.evidence != meant.keys():
        raise ReadBackMismatch("the evidence is not what is selected")
    return found


def verify_presentation_state(path: Path, result: StudyResult) -> ReadState:
    """Read `path` back; raise ReadBackMismatch unless it draws each outline of its image within
    half a pixel, on its frame, beside its name.
    """
    found = read_back_presentation_state(path)
    image = named_image(found.source_sop_instance_uid, result)
    meant = {
        (lesion.tracking_uid, lesion.frame_number): lesion
        for lesion in image.lesions
        if len(lesion.contour) > 2
    }
    drawn = {(outline.tracking_uid, outline.frame): outline for outline in found.outlines}
    if drawn.keys() != meant.keys() or len(drawn) != len(found.outlines):
        raise ReadBackMismatch("the state draws other lesions or frames")
    if {outline.layer for outline in found.outlines} != set(found.layers):
        raise ReadBackMismatch("the state draws in layers that it does not have")
    header = read_without_pixels(image.source)
    for key, outline in drawn.items():
        _verify_drawn(outline, meant[key], (int(header.Columns), int(header.Rows)))
    return found


# --------------------------------------------------------------------------- key objects


def _selection(dataset: Dataset) -> ReadSelection:
    named = [
        reference
        for item in dataset.ContentSequence
        for reference in item.get("ReferencedSOPSequence", [])
    ]
    evidence = chain.from_iterable(
        series.ReferencedSOPSequence
        for study in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
    )
    return ReadSelection(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        frames={str(one.ReferencedSOPInstanceUID): referenced_frames(one) for one in named},
        evidence=frozenset(str(one.ReferencedSOPInstanceUID) for one in evidence),
    )


def _frames_with_findings(image: ImageResult) -> tuple[int, ...]:
    if not is_cine(image):
        return ()
    frames = {lesion.frame_number for lesion in image.lesions}
    if image.frame_number is not None and _is_suspicious(image):
        frames.add(image.frame_number)
    return tuple(sorted(frames))


def _is_suspicious(image: ImageResult) -> bool:
    return image.undecided or image.label != NORMAL


# --------------------------------------------------------------------------- presentation states


def _state(dataset: Dataset) -> ReadState:
    (series,) = dataset.ReferencedSeriesSequence
    (image,) = series.ReferencedImageSequence
    source = str(image.ReferencedSOPInstanceUID)
    return ReadState(
        sop_instance_uid=str(dataset.SOPInstanceUID),
        source_sop_instance_uid=source,
        layers=tuple(str(layer.GraphicLayer) for layer in dataset.GraphicLayerSequence),
        outlines=tuple(_outline(one, source) for one in dataset.GraphicAnnotationSequence),
    )


def _outline(annotation: Dataset, source: str) -> ReadOutline:
    (reference,) = annotation.ReferencedImageSequence
    (graphic,) = annotation.GraphicObjectSequence
    (words,) = annotation.TextObjectSequence
    if reference.ReferencedSOPInstanceUID != source:
        raise ValueError("drawn on another image")
    if (graphic.GraphicAnnotationUnits, graphic.GraphicType) != ("PIXEL", "POLYLINE"):
        raise ValueError("not drawn in pixels")
    (frame,) = referenced_frames(reference) or (1,)
    return ReadOutline(
        tracking_uid=str(graphic.TrackingUID),
        tracking_id=str(graphic.TrackingID),
        frame=frame,
        layer=str(annotation.GraphicLayer),
        words=str(words.UnformattedTextValue),
        points=outline_of(graphic),
    )


def _verify_drawn(outline: ReadOutline, lesion: LesionResult, size: tuple[int, int]) -> None:
    """`size` is columns, rows: what lies outside is drawn along the border."""
    if outline.tracking_id != lesion.tracking_id or lesion.tracking_id not in outline.words:
        raise ReadBackMismatch("an outline has another name")
    verify_outline(outline.points, np.clip(lesion.contour, (0, 0), size))
