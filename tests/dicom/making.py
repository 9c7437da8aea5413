"""Images, lesions and results small enough to check by hand, of every shape that tests need."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from scipy import ndimage

from dicom.files import write_dataset
from dicom.images.header import read_header
from dicom.images.ultrasound_image import StudyContext, build_ultrasound_image
from dicom.results.catalogue import build_set, build_signed_set, parse_spec
from dicom.results.model import (
    Algorithm,
    ImageRefusal,
    ImageResult,
    LesionResult,
    RefusalReason,
    SignedReview,
    StudyResult,
)
from dicom.results.result_kind import ResultRole, SigningInputs, reference_to
from dicom.terms.lesions import LesionMeasurements, SizeMm
from dicom.uids import derived_uid

PLANE: Mapping[str, object] = {
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.9",
    "PositionReferenceIndicator": "",
    "ImagePositionPatient": ["-12.50", "3", "40.25"],
    "ImageOrientationPatient": ["0.70710678118655", "0.70710678118655", "0", "0", "0", "-1"],
    "PixelSpacing": ["0.080", "0.08"],
}
"""What a tracked probe adds to a header: a plane in space, slanting."""
MOMENT = datetime(2026, 5, 6, 7, 8, 9, tzinfo=timezone(timedelta(hours=2)))
STUDY = StudyContext(
    study_instance_uid="1.2.826.0.1.3680043.8.498.1",
    patient_id="BUS-1",
    patient_name="Müller^Änne",
    study_datetime=datetime(2026, 5, 6, 7, 0, 0, tzinfo=MOMENT.tzinfo),
    birth_date="19700102",
    accession_number="ACC1",
    laterality="L",
)
ALGORITHM = Algorithm("sonogate-busi", "0.1.0", "ab" * 32, "cd" * 32, "2.25.99")
REVIEW = SignedReview(
    review_id="review-1",
    reader_name="Röntgen^Wilhelm",
    reader_organization="Klinik",
    reader_id="roentgen",
    decision="accept",
    final_label="malignant",
    birads="4C",
    reason="",
    comment="Biopsy: 12 µm slices",
    signed_at=MOMENT + timedelta(hours=1),
)


def gray(rows: int = 64, columns: int = 80, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth enough for a lossy codec, and different everywhere."""
    y, x = np.mgrid[:rows, :columns]
    wave = np.sin((x + 3 * seed) / 9) + np.cos((y + seed) / 7)
    picture: NDArray[np.uint8] = np.round(40 + 50 * (wave + 2)).clip(0, 255).astype(np.uint8)
    return picture


def color(rows: int = 64, columns: int = 80, seed: int = 0) -> NDArray[np.uint8]:
    return np.stack([gray(rows, columns, seed + channel) for channel in range(3)], axis=-1)


def disc(shape: tuple[int, int], x: int, y: int, radius: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside: NDArray[np.bool_] = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return inside


def heat(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A heat map that is hottest in the middle of `mask`, and 0 far from it."""
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), 5)
    weights: NDArray[np.uint8] = np.rint(255 * smooth / smooth.max()).astype(np.uint8)
    return weights


def write_image(
    path: Path,
    pixels: NDArray[np.uint8] | Sequence[NDArray[np.uint8]] | None = None,
    *,
    spacing_mm: float | None = None,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    instance_number: int = 1,
    study: StudyContext = STUDY,
    changes: Mapping[str, object] | None = None,
) -> Path:
    """Write a US object; `changes` are attributes to set on it, or to remove when None."""
    dataset = build_ultrasound_image(
        gray() if pixels is None else pixels,
        study=study,
        spacing_mm=spacing_mm,
        transfer_syntax_uid=transfer_syntax_uid,
        instance_number=instance_number,
    )
    for keyword, value in (changes or {}).items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return write_dataset(dataset, path).path


def lesion(
    mask: NDArray[np.bool_], *, number: int = 1, frame: int = 1, spacing_mm: float | None = None
) -> LesionResult:
    ys, xs = np.nonzero(mask)
    box = (xs.min(), ys.min()), (xs.max(), ys.min()), (xs.max(), ys.max()), (xs.min(), ys.max())
    scale = spacing_mm or 1
    size = (mask.sum() * scale**2, np.ptp(xs) * scale, np.ptp(ys) * scale)
    size_mm = SizeMm(*(float(value) for value in size)) if spacing_mm else None
    return LesionResult(
        tracking_uid=derived_uid("test-lesion", str(number)),
        tracking_id=f"Lesion {number}",
        frame_number=frame,
        mask=mask,
        contour=tuple((float(x), float(y)) for x, y in box),
        measurements=LesionMeasurements(
            int(mask.sum()), float(np.ptp(xs)), float(np.ptp(ys)), size_mm
        ),
        label="malignant",
        probabilities=(0.05, 0.15, 0.8),
    )


def image_result(
    path: Path, lesions: Sequence[LesionResult] = (), **changes: object
) -> ImageResult:
    header = read_header(path)
    label = "malignant" if lesions else "normal"
    cine = header.number_of_frames > 1
    result = ImageResult(
        source=path,
        sop_instance_uid=header.sop_instance_uid,
        tracking_uid=derived_uid("test-image", header.sop_instance_uid),
        frame_number=(lesions[0].frame_number if lesions else 1) if cine else None,
        label=label,
        probabilities=(0.1, 0.2, 0.7) if lesions else (0.9, 0.06, 0.04),
        lesions=tuple(lesions),
    )
    return replace(result, **changes)  # type: ignore[arg-type]  # any field


def image_refusal(path: Path, reason: RefusalReason) -> ImageRefusal:
    return ImageRefusal(path, read_header(path).sop_instance_uid, reason)


def study_result(*images: ImageResult | ImageRefusal, **changes: object) -> StudyResult:
    analyzed = tuple(image for image in images if isinstance(image, ImageResult))
    result = StudyResult(
        analysis_id="analysis-1",
        images=analyzed,
        label=analyzed[0].label if analyzed else None,
        probabilities=analyzed[0].probabilities if analyzed else None,
        algorithm=ALGORITHM,
        produced_at=MOMENT,
        refused_images=tuple(image for image in images if isinstance(image, ImageRefusal)),
    )
    return replace(result, **changes)  # type: ignore[arg-type]  # any field


def build_objects(spec: str, result: StudyResult) -> list[Dataset]:
    """Build the objects of one spec alone."""
    return [dataset for _, dataset in build_set([parse_spec(spec)], result)]


def build_results(
    specs: Iterable[str],
    result: StudyResult,
    predecessors: Mapping[str, Dataset] = MappingProxyType({}),
) -> dict[str, list[Dataset]]:
    """Build a result set, by spec. `predecessors` are reports."""
    built: dict[str, list[Dataset]] = {spec: [] for spec in specs}
    before = {parse_spec(spec): reference_to(report) for spec, report in predecessors.items()}
    for spec, dataset in build_set(map(parse_spec, built), result, before):
        built[str(spec)].append(dataset)
    return built


def build_report(
    result: StudyResult, spec: str = "sr", *, selection: Iterable[str] = ()
) -> Dataset:
    """Build a report that refers to the default segmentations, or to those of `selection`."""
    (report,) = build_results([*(selection or ["seg"]), spec], result)[spec]
    return report


def build_signed_results(
    specs: Iterable[str],
    result: StudyResult,
    review: SignedReview = REVIEW,
    *,
    predecessors: Mapping[str, Dataset] = MappingProxyType({}),
    earlier: Sequence[Dataset] = (),
) -> dict[str, list[Dataset]]:
    """Build what `review` adds to the result set of `specs`, by spec.

    Its reports succeed those of the result set, or `predecessors`, and all `earlier` ones.
    """
    signed: dict[str, list[Dataset]] = {spec: [] for spec in specs}
    published = {parse_spec(spec): built for spec, built in build_results(signed, result).items()}
    reports = {
        spec: built[0] for spec, built in published.items() if spec.role is ResultRole.REPORT
    }
    reports |= {parse_spec(spec): report for spec, report in predecessors.items()}
    signing = SigningInputs(
        review,
        {spec: built for spec, built in published.items() if spec.role is ResultRole.SEGMENTATION},
        {spec: reference_to(report) for spec, report in reports.items()},
        {spec: [reference_to(report) for report in earlier] for spec in reports},
    )
    for spec, dataset in build_signed_set(published, result, signing):
        signed[str(spec)].append(dataset)
    return signed


def build_signed_report(
    result: StudyResult,
    review: SignedReview = REVIEW,
    *,
    selection: Iterable[str] = ("seg",),
    predecessor: Dataset | None = None,
    earlier: Sequence[Dataset] = (),
) -> Dataset:
    """Build the `sr` of `review` that succeeds that of the result set, or `predecessor`."""
    predecessors = {"sr": predecessor} if predecessor else {}
    (report,) = build_signed_results(
        [*selection, "sr"], result, review, predecessors=predecessors, earlier=earlier
    )["sr"]
    return report


@dataclass(frozen=True)
class Case:
    """A kind of image: where it is, and how many lesions are drawn on it."""

    path: Path
    lesion_count: int
    spacing_mm: float | None = None

    def result(self) -> StudyResult:
        lesions = list(self._lesions())
        heatmaps = {lesion.frame_number: heat(lesion.mask) for lesion in lesions}
        pair = (self.spacing_mm, self.spacing_mm) if self.spacing_mm else None
        image = image_result(self.path, lesions, spacing_mm=pair, heatmaps=heatmaps)
        return study_result(image)

    def result_with_probabilities(self) -> StudyResult:
        """As `result`, and each lesion with a probability map."""
        (image,) = self.result().images
        lesions = tuple(replace(one, probability=heat(one.mask)) for one in image.lesions)
        return study_result(replace(image, lesions=lesions))

    def _lesions(self) -> Iterator[LesionResult]:
        """Yield overlapping discs. On a cine, each lesion is on two frames."""
        header = read_header(self.path)
        shape = header.rows, header.columns
        radius = min(shape) // 6
        for number in range(1, self.lesion_count + 1):
            mask = disc(shape, radius * (number + 1), shape[0] // 2, radius)
            last = header.number_of_frames
            for frame in sorted({min(number, last), last}):
                yield lesion(mask, number=number, frame=frame, spacing_mm=self.spacing_mm)


def spoiled(dataset: Dataset, damage: Callable[[Dataset], None], folder: Path) -> Path:
    """Write `dataset` after `damage` to it, for tests that this is noticed."""
    damage(dataset)
    return write_dataset(dataset, folder / "spoiled.dcm").path
