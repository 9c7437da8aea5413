from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom.files import write_dataset
from dicom.results.model import StudyResult
from dicom.results.seg.verify import verify_segmentation
from dicom.results.sr.verify import verify_report
from models.types import PresetInfo
from tests.dicom import making
from tests.workers.fake_images import (
    MALIGNANT_PROBABILITIES,
    FakePredictor,
    Pixels,
    draw_frame,
    write_image,
)
from workers.pipeline.image import analyze_image
from workers.pipeline.study import algorithm_of, build_study_result, pipeline_version
from workers.pipeline.types import ImageAnalysis

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
INFO = FakePredictor().info


@pytest.fixture
def images(tmp_path: Path) -> list[ImageAnalysis]:
    """A normal still, a cine with a lesion, a refused black still, two lesions, and a PNG."""
    pixels: list[Pixels | list[Pixels]] = [
        draw_frame(),
        [
            draw_frame(),
            draw_frame((60, 70, 20)),
            draw_frame((64, 70, 20)),
            draw_frame((68, 70, 20)),
        ],
        np.zeros((64, 64), np.uint8),
        draw_frame((60, 70, 20), (150, 70, 12)),
    ]
    paths = [write_image(tmp_path / f"{n}.dcm", each, number=n) for n, each in enumerate(pixels, 1)]
    Image.fromarray(draw_frame((60, 70, 20))).save(tmp_path / "e.png")
    return [analyze_image(path, FakePredictor()) for path in [*paths, tmp_path / "e.png"]]


def result_of(images: list[ImageAnalysis]) -> StudyResult:
    return build_study_result(
        images, analysis_id="a", algorithm=algorithm_of(INFO), produced_at=NOW
    )


def test_a_study_result_has_the_class_of_the_most_suspicious_image(
    images: list[ImageAnalysis],
) -> None:
    result = result_of(images)
    assert result.label == "malignant"
    assert result.probabilities == pytest.approx(MALIGNANT_PROBABILITIES)


def test_a_study_of_refused_images_has_no_class(images: list[ImageAnalysis]) -> None:
    result = result_of([images[2]])
    assert (result.label, result.probabilities, result.images) == (None, None, ())
    assert [refusal.reason.code for refusal in result.refused_images] == ["too-dark"]


def test_lesions_are_counted_over_the_whole_study(images: list[ImageAnalysis]) -> None:
    result = result_of(images)
    names = [[lesion.tracking_id for lesion in image.lesions] for image in result.images]
    assert names == [[], ["Lesion 1"] * 3, ["Lesion 2", "Lesion 3"]]
    assert [image.frame_number for image in result.images] == [None, 2, None]
    assert [image.averaged_frames for image in result.images] == [(), (2, 3, 4), ()]


def test_the_builders_accept_the_result(images: list[ImageAnalysis], tmp_path: Path) -> None:
    result = result_of(images)
    built = making.build_results(["seg", "sr"], result)
    assert len(built["seg"]) == len([image for image in result.images if image.lesions])
    for n, dataset in enumerate(built["seg"]):
        verify_segmentation(write_dataset(dataset, tmp_path / f"seg{n}.dcm").path, result)
    path = write_dataset(built["sr"][0], tmp_path / "sr.dcm").path
    assert verify_report(path, result).refusals == ("too-dark",)


def test_other_weights_are_another_pipeline_and_another_device() -> None:
    other = PresetInfo(INFO.name, INFO.version, INFO.classifier_digest, "ef" * 32)
    assert pipeline_version(INFO) != pipeline_version(other)
    assert algorithm_of(INFO).device_uid != algorithm_of(other).device_uid


def test_a_pipeline_version_fits_its_attribute() -> None:
    wordy = PresetInfo("n" * 99, "v" * 99, "ab" * 32, "cd" * 32)
    assert len(pipeline_version(wordy)) <= 64


def test_the_confidence_threshold_is_part_of_the_version() -> None:
    cautious = replace(INFO, confidence_threshold=0.6)
    assert pipeline_version(cautious) != pipeline_version(INFO)
    assert pipeline_version(replace(INFO, confidence_threshold=0.0)) == pipeline_version(INFO)
    assert algorithm_of(cautious).confidence_threshold == 0.6
