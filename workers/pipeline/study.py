"""All images of a study together, and the result as the DICOM builders want it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import metadata
from typing import Final

from dicom.results.model import Algorithm, ImageResult, LesionResult, ReportReference, StudyResult
from dicom.terms.classification import Probabilities
from dicom.uids import derived_uid
from models.types import PresetInfo
from workers.pipeline.lesion_probability import with_probability
from workers.pipeline.types import FoundLesion, ImageAnalysis, StudyAnalysis
from workers.pipeline.verdict import averaged_frames, study_verdict

ALGORITHM_NAME: Final = "Sonogate"
NOT_ANALYZED: Final[Probabilities] = (0.0, 0.0, 0.0)
_DIGEST_CHARACTERS: Final = 12


def combine(images: Sequence[ImageAnalysis]) -> StudyAnalysis:
    """A study is what its most suspicious image is; refused images have no say."""
    analyzed = [image for image in images if image.probabilities]
    verdict = study_verdict([image.probabilities for image in analyzed if image.probabilities])
    if verdict is None:
        return StudyAnalysis(tuple(images), None, None)
    speaker = analyzed[verdict.representative]
    return StudyAnalysis(tuple(images), verdict.probabilities, verdict.label, speaker.undecided)


def study_result(
    images: Sequence[ImageAnalysis],
    *,
    analysis_id: str,
    algorithm: Algorithm,
    produced_at: datetime,
    predecessor: ReportReference | None = None,
    note: str = "",
) -> StudyResult:
    """The DICOM images as `dicom.results.seg.build` and `dicom.results.sr.build` take them; others are left out."""
    combined = combine([image for image in images if image.header])
    return StudyResult(
        analysis_id,
        tuple(_image_results(combined.images)),
        combined.label,
        combined.probabilities,
        algorithm,
        produced_at,
        predecessor,
        note,
        undecided=combined.undecided,
    )


def algorithm_of(info: PresetInfo) -> Algorithm:
    """How results name what made them."""
    return algorithm_with(
        pipeline_version(info),
        info.classifier_digest,
        info.segmenter_digest,
        info.confidence_threshold,
    )


def algorithm_with(
    version: str, classifier_digest: str, segmenter_digest: str, confidence_threshold: float
) -> Algorithm:
    """As `algorithm_of`, from what the rows keep. New weights are a new device (TID 1004)."""
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
    """Names the program, the weights and where they abstain: with the same version a study is not
    analyzed twice.

    At most 64 characters (LO, PS3.5 6.2).
    """
    abstains = (repr(info.confidence_threshold),) if info.confidence_threshold else ()
    digests = info.classifier_digest, info.segmenter_digest
    weights = derived_uid(*digests, *abstains)[-_DIGEST_CHARACTERS:]
    return f"{program_version()[:20]}+{info.name[:16]}.{info.version[:12]}.{weights}"


def program_version() -> str:
    try:
        return metadata.version("sonogate")
    except metadata.PackageNotFoundError:  # run from a checkout that was not installed
        return "0"


def _image_results(images: Sequence[ImageAnalysis]) -> Iterator[ImageResult]:
    lesions_before = 0
    for image in images:
        assert image.header is not None
        yield ImageResult(
            image.source,
            image.header.sop_instance_uid,
            image.tracking_uid,
            image.frame_number if image.header.number_of_frames > 1 else None,
            image.label or "",
            image.probabilities or NOT_ANALYZED,
            _lesion_results(image, lesions_before),
            image.region.spacing_mm if image.region else None,
            image.refusal,
            # what speaks for another class on a frame would mislead
            {each.frame_number: each.heatmap for each in image.frames if each.label == image.label},
            undecided=image.undecided,
            averaged_frames=_averaged_frames(image),
        )
        lesions_before += max((lesion.number for lesion in image.lesions), default=0)


def _averaged_frames(image: ImageAnalysis) -> tuple[int, ...]:
    if image.header is None or image.header.number_of_frames == 1:
        return ()
    return averaged_frames({each.frame_number: each.probabilities for each in image.frames})


def _lesion_results(image: ImageAnalysis, lesions_before: int) -> tuple[LesionResult, ...]:
    maps = {
        frame.frame_number: frame.lesion_probability
        for frame in image.frames
        if frame.lesion_probability is not None
    }
    lesions = [_lesion_result(lesion, lesions_before) for lesion in image.lesions]
    return with_probability(lesions, maps)


def _lesion_result(lesion: FoundLesion, lesions_before: int) -> LesionResult:
    return LesionResult(
        tracking_uid=lesion.tracking_uid,
        tracking_id=tracking_id(lesions_before + lesion.number),
        frame_number=lesion.frame_number,
        mask=lesion.outline.mask,
        contour=lesion.outline.contour,
        measurements=lesion.outline.measurements,
        label=lesion.label,
        probabilities=lesion.probabilities,
        undecided=lesion.undecided,
    )


def tracking_id(number: int) -> str:
    """What people call a lesion; ``number`` counts over the whole study."""
    return f"Lesion {number}"
