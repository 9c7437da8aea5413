"""The result of a study, as the builders of DICOM objects take it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import metadata
from typing import Final

from dicom.results.model import (
    Algorithm,
    ImageRefusal,
    ImageResult,
    LesionResult,
    StudyResult,
)
from dicom.terms.classification import Probabilities
from dicom.uids import derived_uid
from models.types import PresetInfo
from workers.pipeline.aggregation import classify_study, find_averaged_frames
from workers.pipeline.lesion_probability import add_probabilities
from workers.pipeline.types import AnalyzedImage, ImageAnalysis, RefusedImage

ALGORITHM_NAME: Final = "Sonogate"
_DIGEST_LENGTH: Final = 12


def build_study_result(
    images: Sequence[ImageAnalysis],
    *,
    analysis_id: str,
    algorithm: Algorithm,
    produced_at: datetime,
    note: str = "",
) -> StudyResult:
    """Return the result of those images that are DICOM instances.

    The study has the class of its most suspicious image, and none if all images were refused.
    """
    results = tuple(_image_results(images))
    classification = classify_study(
        [
            image.classification
            for image in images
            if isinstance(image, AnalyzedImage) and image.header
        ]
    )
    return StudyResult(
        analysis_id,
        results,
        classification.label if classification else None,
        classification.probabilities if classification else None,
        algorithm,
        produced_at,
        note=note,
        undecided=classification.undecided if classification else False,
        refused_images=tuple(
            ImageRefusal(image.source, image.header.sop_instance_uid, image.reason)
            for image in images
            if isinstance(image, RefusedImage) and image.header
        ),
    )


def algorithm_of(info: PresetInfo) -> Algorithm:
    """Return the algorithm that results of this preset name."""
    return build_algorithm(
        pipeline_version(info),
        info.classifier_digest,
        info.segmenter_digest,
        info.confidence_threshold,
    )


def build_algorithm(
    version: str, classifier_digest: str, segmenter_digest: str, confidence_threshold: float
) -> Algorithm:
    """Return the algorithm of a stored analysis. Each set of weights is a device (TID 1004)."""
    device_uid = derived_uid("device", classifier_digest, segmenter_digest)
    return Algorithm(
        ALGORITHM_NAME,
        version,
        classifier_digest,
        segmenter_digest,
        device_uid,
        confidence_threshold,
    )


def pipeline_version(info: PresetInfo) -> str:
    """Return a name for the program, the weights and the confidence threshold.

    A study is not analyzed again by the same version. At most 64 characters (LO, PS3.5 6.2).
    """
    threshold = (repr(info.confidence_threshold),) if info.confidence_threshold else ()
    digests = info.classifier_digest, info.segmenter_digest
    weights = derived_uid(*digests, *threshold)[-_DIGEST_LENGTH:]
    return f"{program_version()[:20]}+{info.name[:16]}.{info.version[:12]}.{weights}"


def program_version() -> str:
    """Return the version of the installed distribution, ``0`` in a checkout."""
    try:
        return metadata.version("sonogate")
    except metadata.PackageNotFoundError:
        return "0"


def averaged_frames_of(
    number_of_frames: int, probabilities: dict[int, Probabilities]
) -> tuple[int, ...]:
    """Return the frames of a cine that its class is averaged over; none for a still."""
    return find_averaged_frames(probabilities) if number_of_frames > 1 else ()


def tracking_id(number: int) -> str:
    """Return the readable name of a lesion; ``number`` counts over the study."""
    return f"Lesion {number}"


def _image_results(images: Sequence[ImageAnalysis]) -> Iterator[ImageResult]:
    lesions_before = 0
    for image in images:
        header = image.header
        if isinstance(image, RefusedImage) or header is None:
            continue
        classification = image.classification
        probabilities = {f.frame_number: f.classification.probabilities for f in image.frames}
        yield ImageResult(
            source=image.source,
            sop_instance_uid=header.sop_instance_uid,
            tracking_uid=image.tracking_uid,
            frame_number=image.representative.frame_number if header.number_of_frames > 1 else None,
            label=classification.label,
            probabilities=classification.probabilities,
            lesions=_lesion_results(image, lesions_before),
            spacing_mm=image.region.spacing_mm,
            # A heat map of another class would mislead beside the image's class.
            heatmaps={
                frame.frame_number: frame.heatmap
                for frame in image.frames
                if frame.classification.label == classification.label
            },
            undecided=classification.undecided,
            averaged_frames=averaged_frames_of(header.number_of_frames, probabilities),
        )
        lesions_before += max((lesion.number for lesion in image.lesions), default=0)


def _lesion_results(image: AnalyzedImage, lesions_before: int) -> tuple[LesionResult, ...]:
    lesions = [
        LesionResult(
            tracking_uid=lesion.tracking_uid,
            tracking_id=tracking_id(lesions_before + lesion.number),
            frame_number=lesion.frame_number,
            mask=lesion.outline.mask,
            contour=lesion.outline.contour,
            measurements=lesion.outline.measurements,
            label=lesion.classification.label,
            probabilities=lesion.classification.probabilities,
            undecided=lesion.classification.undecided,
        )
        for lesion in image.lesions
    ]
    maps = {
        frame.frame_number: frame.lesion_probability
        for frame in image.frames
        if frame.lesion_probability is not None
    }
    return add_probabilities(lesions, maps)
