from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import MPEG2MPML, JPEGBaseline8Bit

from db.types import now_utc
from dicom.files import write_dataset
from dicom.images.ultrasound_image import build_ultrasound_image
from models.phantom import make_phantom
from models.predictor import Predictor
from models.types import FramePrediction
from tests.conftest import SetLimits
from tests.dicom import making
from tests.dicom.images import abuse, bad_decoder
from tests.workers.fake_images import (
    BENIGN,
    BENIGN_PROBABILITIES,
    COLUMNS,
    MALIGNANT_PROBABILITIES,
    NORMAL_PROBABILITIES,
    ROWS,
    FakePredictor,
    FakeSoftPredictor,
    Pixels,
    draw_frame,
    study,
    write_image,
)
from workers.pipeline.image import analyze_image
from workers.pipeline.study import algorithm_of, build_study_result
from workers.pipeline.types import AnalyzedImage, FramePredictor, ImageAnalysis, RefusedImage


@pytest.fixture
def predictor() -> FakePredictor:
    return FakePredictor()


def analyzed(path: Path, predictor: FramePredictor, **options: int) -> AnalyzedImage:
    image = analyze_image(path, predictor, **options)
    assert isinstance(image, AnalyzedImage)
    return image


def code_of(image: ImageAnalysis) -> str:
    assert isinstance(image, RefusedImage)
    return image.reason.code


def test_a_still_with_a_lesion(tmp_path: Path, predictor: FakePredictor) -> None:
    image = analyzed(write_image(tmp_path / "a.dcm", draw_frame((120, 70, 20))), predictor)
    assert image.classification.label == "malignant"
    assert image.classification.probabilities == pytest.approx(MALIGNANT_PROBABILITIES)
    assert (image.representative.frame_number, image.shape) == (1, (ROWS, COLUMNS))
    [lesion] = image.lesions
    assert lesion.outline.bbox == (100, 50, 141, 91)
    size_mm = lesion.outline.measurements.size_mm
    assert size_mm is not None
    assert size_mm.area_mm2 == pytest.approx(np.pi * 2**2, rel=0.03)
    assert size_mm.long_axis_mm == pytest.approx(4.1, abs=0.2)


def test_masks_and_heat_maps_lie_in_the_whole_frame(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    pixels = draw_frame((120, 70, 20))
    path = write_image(tmp_path / "a.dcm", pixels, region=(40, 30, 190, 150))
    [frame] = analyzed(path, predictor).frames
    assert np.array_equal(frame.mask, pixels == 255)
    assert np.array_equal(frame.heatmap, np.where(pixels == 255, 255, 0))
    assert frame.mask.dtype == np.bool_
    assert frame.heatmap.dtype == np.uint8


def test_the_probability_of_lesions_lies_in_the_whole_frame_too(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.dcm", draw_frame((120, 70, 20)), region=(40, 30, 190, 150))
    [frame] = analyzed(path, FakeSoftPredictor()).frames
    probability = frame.lesion_probability
    assert probability is not None
    assert probability.shape == (ROWS, COLUMNS)
    assert probability.dtype == np.uint8
    assert probability[70, 120] == 255
    assert 0 < probability[70, 101] < 200
    assert 0 < probability[70, 97] < 128  # beside the mask
    assert not probability[:, :40].any()


def test_a_patch_too_small_for_a_lesion_has_no_probability(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.dcm", draw_frame((120, 70, 20), (30, 70, 4)))
    image = analyzed(path, FakeSoftPredictor())
    [frame] = image.frames
    assert len(image.lesions) == 1
    assert frame.lesion_probability is not None
    assert not frame.lesion_probability[:, :50].any()


def test_a_frame_without_lesions_has_no_probability_of_one(tmp_path: Path) -> None:
    frames = [draw_frame()] * 5 + [draw_frame((100, 70, 20))]
    image = analyzed(write_image(tmp_path / "a.dcm", frames), FakeSoftPredictor())
    assert [frame.lesion_probability for frame in image.frames] == [None] * 6


def test_pixels_outside_the_region_are_not_analyzed(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    path = write_image(tmp_path / "a.dcm", draw_frame((20, 70, 10)), region=(60, 0, COLUMNS, ROWS))
    image = analyzed(path, predictor)
    assert (image.classification.label, image.lesions) == ("normal", ())


def test_an_uncalibrated_image_is_measured_in_pixels_only(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    path = write_image(tmp_path / "a.dcm", draw_frame((120, 70, 20)), spacing_mm=None)
    [lesion] = analyzed(path, predictor).lesions
    assert lesion.outline.measurements.size_mm is None
    assert lesion.outline.measurements.area_px > 1000


def test_a_cine_links_one_lesion_over_its_frames(tmp_path: Path, predictor: FakePredictor) -> None:
    frames = [draw_frame(), *(draw_frame((60 + 5 * n, 70, 18)) for n in range(4)), draw_frame()]
    image = analyzed(write_image(tmp_path / "a.dcm", frames), predictor)
    assert [frame.frame_number for frame in image.frames] == [1, 2, 3, 4, 5, 6]
    assert {lesion.frame_number for lesion in image.lesions} == {2, 3, 4, 5}
    assert {lesion.number for lesion in image.lesions} == {1}
    assert len({lesion.tracking_uid for lesion in image.lesions}) == 1
    assert image.representative.lesions


def test_a_long_cine_is_sampled_from_end_to_end_in_full_batches(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    path = write_image(tmp_path / "a.dcm", [draw_frame((100, 70, 20))] * 21)
    image = analyzed(path, predictor, cine_frames=6, batch_size=4)
    assert [frame.frame_number for frame in image.frames] == [1, 5, 9, 13, 17, 21]
    assert predictor.batches == [4, 2]


def test_one_misleading_frame_of_a_normal_cine_gets_no_outline(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    frames = [draw_frame()] * 5 + [draw_frame((100, 70, 20))]
    image = analyzed(write_image(tmp_path / "a.dcm", frames), predictor)
    assert (image.classification.label, image.lesions) == ("normal", ())
    assert image.frames[5].classification.label == "malignant"
    assert not image.frames[5].mask.any()


class Contradictory(FakePredictor):
    """Outlines a lesion and labels the frame normal."""

    def predict(self, frames: Sequence[Pixels], *, batch_size: int = 8) -> list[FramePrediction]:
        seen = super().predict(frames, batch_size=batch_size)
        return [FramePrediction(NORMAL_PROBABILITIES, each.mask, each.heatmap) for each in seen]


def test_a_frame_labeled_normal_gets_no_outline(tmp_path: Path) -> None:
    image = analyzed(write_image(tmp_path / "a.dcm", draw_frame((100, 70, 20))), Contradictory())
    assert (image.classification.label, image.lesions) == ("normal", ())


def test_a_tracking_uid_is_the_same_in_a_later_analysis(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    path = write_image(tmp_path / "a.dcm", draw_frame((60, 70, 20), (150, 70, 12)))
    one, other = (analyzed(path, predictor) for _ in range(2))
    uids = [lesion.tracking_uid for lesion in one.lesions]
    assert uids == [lesion.tracking_uid for lesion in other.lesions]
    assert len({*uids, one.tracking_uid}) == 3
    elsewhere = analyzed(
        write_image(tmp_path / "b.dcm", draw_frame((60, 70, 20)), number=2), predictor
    )
    assert elsewhere.lesions[0].tracking_uid not in uids


def test_a_damaged_frame_is_refused_and_the_others_are_analyzed(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    dataset = build_ultrasound_image(
        [draw_frame((100, 70, 20))] * 4, study=study(), transfer_syntax_uid=JPEGBaseline8Bit
    )
    good = list(generate_frames(dataset.PixelData, number_of_frames=4))
    dataset.PixelData = encapsulate([good[0], b"\xff\xd8garbage!", *good[2:]])
    dataset["PixelData"].is_undefined_length = True
    write_dataset(dataset, tmp_path / "a.dcm")
    image = analyzed(tmp_path / "a.dcm", predictor)
    assert [frame.frame_number for frame in image.frames] == [1, 3, 4]
    assert [(r.frame_number, r.reason.code) for r in image.refused_frames] == [
        (2, "undecodable-frame")
    ]


@pytest.mark.usefixtures("bad_decoder")
def test_frames_whose_decoder_hangs_or_crashes_are_refused_and_the_others_analyzed(
    tmp_path: Path, predictor: FakePredictor, decoding_limits: SetLimits
) -> None:
    decoding_limits(frame_seconds=2)
    frames = [draw_frame((100, 70, 20))] * 4
    path = bad_decoder.write_cine(tmp_path / "a.dcm", {1: b"CRASH", 2: b"HANG"}, frames)
    image = analyzed(path, predictor)
    assert [frame.frame_number for frame in image.frames] == [1, 4]
    assert [(r.frame_number, r.reason.code) for r in image.refused_frames] == [
        (2, "decoder-crashed"),
        (3, "frame-timeout"),
    ]


@pytest.mark.usefixtures("bad_decoder")
def test_after_three_deadlines_the_frames_left_are_not_tried(
    tmp_path: Path, predictor: FakePredictor, decoding_limits: SetLimits
) -> None:
    decoding_limits(frame_seconds=1)
    frames = [draw_frame()] * 6
    path = bad_decoder.write_cine(tmp_path / "a.dcm", dict.fromkeys((0, 1, 3), b"HANG"), frames)
    image = analyzed(path, predictor)
    assert [frame.frame_number for frame in image.frames] == [3]
    assert {r.frame_number: r.reason.code for r in image.refused_frames} == dict.fromkeys(
        (1, 2, 4, 5, 6), "frame-timeout"
    )


def test_black_frames_are_refused_and_do_not_set_the_region(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    frames = [np.zeros((ROWS, COLUMNS), np.uint8), draw_frame((100, 70, 20), paint=BENIGN)]
    image = analyzed(write_image(tmp_path / "a.dcm", frames, spacing_mm=None), predictor)
    assert image.classification.label == "benign"
    assert image.classification.probabilities == pytest.approx(BENIGN_PROBABILITIES)
    assert [r.reason.code for r in image.refused_frames] == ["too-dark"]


def test_a_black_image_is_refused(tmp_path: Path, predictor: FakePredictor) -> None:
    path = write_image(tmp_path / "a.dcm", np.zeros((ROWS, COLUMNS), np.uint8))
    assert code_of(analyze_image(path, predictor)) == "too-dark"
    assert predictor.batches == []


def test_an_image_of_one_pixel_is_refused(tmp_path: Path, predictor: FakePredictor) -> None:
    path = write_image(tmp_path / "a.dcm", np.full((1, 1), 200, np.uint8), spacing_mm=None)
    assert code_of(analyze_image(path, predictor)) == "too-small"


def test_a_ct_is_refused(tmp_path: Path, predictor: FakePredictor) -> None:
    dataset = dcmread(write_image(tmp_path / "a.dcm", draw_frame()))
    dataset.Modality, dataset.SOPClassUID = "CT", "1.2.840.10008.5.1.4.1.1.2"
    write_dataset(dataset, tmp_path / "ct.dcm")
    image = analyze_image(tmp_path / "ct.dcm", predictor)
    assert code_of(image) == "not-ultrasound"
    assert image.header is not None


def test_video_is_refused(tmp_path: Path, predictor: FakePredictor) -> None:
    dataset = dcmread(write_image(tmp_path / "a.dcm", [draw_frame()] * 2))
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    dataset.PixelData = encapsulate([b"\0\0\1\xb3"])
    dataset["PixelData"].is_undefined_length = True
    write_dataset(dataset, tmp_path / "video.dcm")
    assert (
        code_of(analyze_image(tmp_path / "video.dcm", predictor)) == "unsupported-transfer-syntax"
    )


def test_a_truncated_file_is_refused(tmp_path: Path, predictor: FakePredictor) -> None:
    path = write_image(tmp_path / "a.dcm", draw_frame())
    path.write_bytes(path.read_bytes()[:-500])
    assert code_of(analyze_image(path, predictor)) == "truncated-file"


def test_a_text_file_is_refused(tmp_path: Path, predictor: FakePredictor) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no picture")
    assert code_of(analyze_image(path, predictor)) == "not-dicom"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "I;16"])
def test_an_image_file_of_any_mode_is_analyzed(
    mode: str, tmp_path: Path, predictor: FakePredictor
) -> None:
    pixels = Image.fromarray(draw_frame((120, 70, 20)))
    suffix = "jpg" if mode == "CMYK" else "png"
    path = tmp_path / f"picture.{suffix}"
    if mode == "I;16":
        Image.fromarray(np.asarray(pixels).astype(np.uint16) * 257).save(path)
    else:
        pixels.convert("RGB").convert(mode).save(path)
    image = analyzed(path, predictor)
    assert (image.classification.label, image.header, image.shape) == (
        "malignant",
        None,
        (ROWS, COLUMNS),
    )
    assert image.lesions[0].outline.measurements.size_mm is None
    assert image.lesions[0].outline.measurements.area_px == pytest.approx(np.pi * 20**2, rel=0.05)


def test_the_same_image_under_another_name_has_the_same_tracking_uids(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(draw_frame((120, 70, 20))).save(tmp_path / name)
    one, other = (analyzed(tmp_path / name, predictor) for name in ("a.png", "b.png"))
    assert one.lesions[0].tracking_uid == other.lesions[0].tracking_uid


def test_damaged_image_files_are_refused(tmp_path: Path, predictor: FakePredictor) -> None:
    Image.fromarray(draw_frame()).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:4000])
    (tmp_path / "text.png").write_text("no picture")
    Image.new("L", (1, 1)).save(tmp_path / "tiny.png")
    codes = {
        name: code_of(analyze_image(tmp_path / f"{name}.png", predictor))
        for name in ("cut", "text", "tiny")
    }
    assert codes == {"cut": "undecodable-frame", "text": "not-an-image", "tiny": "too-small"}


def test_a_png_that_declares_an_absurd_size_is_refused(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    path = abuse.write_png_of_declared_size(tmp_path / "a.png", abuse.ABSURD)
    assert code_of(analyze_image(path, predictor)) == "frame-too-large"


def test_a_frame_larger_than_the_limit_is_refused(
    tmp_path: Path, predictor: FakePredictor, decoding_limits: SetLimits
) -> None:
    Image.fromarray(draw_frame()).save(tmp_path / "a.png")
    paths = [tmp_path / "a.png", write_image(tmp_path / "a.dcm", draw_frame())]
    decoding_limits(frame_bytes=3 * ROWS * COLUMNS)
    assert [type(analyze_image(path, predictor)) for path in paths] == [AnalyzedImage] * 2
    decoding_limits(frame_bytes=ROWS * COLUMNS - 1)
    assert [code_of(analyze_image(path, predictor)) for path in paths] == ["frame-too-large"] * 2


def test_a_cine_with_more_pixels_than_an_analysis_may_keep_is_refused(
    tmp_path: Path, predictor: FakePredictor, decoding_limits: SetLimits
) -> None:
    path = write_image(tmp_path / "a.dcm", [draw_frame((100, 70, 20))] * 4)
    decoding_limits(image_bytes=3 * 3 * ROWS * COLUMNS)
    assert code_of(analyze_image(path, predictor)) == "image-too-large"
    assert len(predictor.batches) == 0
    assert isinstance(analyze_image(path, predictor, cine_frames=3), AnalyzedImage)


def test_a_file_that_is_not_there_is_an_error_not_a_refusal(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    with pytest.raises(FileNotFoundError):
        analyze_image(tmp_path / "gone.dcm", predictor)


def test_the_default_preset_analyzes_a_phantom(tmp_path: Path) -> None:
    phantom = make_phantom("spiculated", seed=3, height=240, width=320, spacing_mm=0.16)
    path = write_image(tmp_path / "a.dcm", phantom.image, spacing_mm=phantom.spacing_mm)
    predictor = Predictor.load()
    image = analyzed(path, predictor)
    assert sum(image.classification.probabilities) == pytest.approx(1, abs=1e-5)
    [frame] = image.frames
    assert frame.mask.shape == frame.heatmap.shape == (240, 320)
    assert frame.heatmap.max() > 0
    result = build_study_result(
        [image], analysis_id="a", algorithm=algorithm_of(predictor.info), produced_at=now_utc()
    )
    [fractional] = making.build_objects("seg:fractional", result)
    assert len(np.unique(fractional.pixel_array)) > 100


def test_a_color_image_is_refused_whatever_its_header_says(
    tmp_path: Path, predictor: FakePredictor
) -> None:
    flow = np.repeat(draw_frame()[..., None], 3, axis=2)
    rows, columns = flow.shape[:2]
    flow[rows // 4 : rows // 2, columns // 4 : columns // 2] = (230, 60, 20)
    flow[rows // 2 : 3 * rows // 4, columns // 4 : columns // 2] = (20, 60, 230)
    Image.fromarray(flow).save(tmp_path / "flow.png")
    assert code_of(analyze_image(tmp_path / "flow.png", predictor)) == "color-doppler"
