"""`sonogate analyze` and the files that it writes."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom.errors import InvalidResult
from dicom.results.segmentation_reader import read_back_segmentation
from dicom.results.sr.verify import read_back_report
from models.phantom import make_phantom
from sonogate.analyze.run import analyze_files, unique_stems
from sonogate.commands.analyze import summary_line
from tests.sonogate import pictures
from tests.sonogate.conftest import Run, sonogate
from tests.sonogate.fakes import BrightSpots

SPOT_MASK = np.zeros((pictures.HEIGHT, pictures.WIDTH), np.uint8)
SPOT_MASK[pictures.SPOT[1] : pictures.SPOT[3], pictures.SPOT[0] : pictures.SPOT[2]] = 255
SPOT_PX = 40 * 30


def analyzed(out: Path, *sources: Path) -> list[dict[str, Any]]:
    return [each.document for each in analyze_files(sources, out, BrightSpots())]


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()}


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_png_gets_json_mask_and_overlay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (document,) = analyzed(out, pictures.png(tmp_path / "a.b.png"))
    assert names(out) == {"a.b.json", "a.b.mask.png", "a.b.overlay.png"}
    assert json.loads((out / "a.b.json").read_text()) == document
    assert document["class"] == "malignant"
    assert document["probabilities"] == {"normal": 0.1, "benign": 0.2, "malignant": 0.7}
    assert "refused" not in document
    (finding,) = document["findings"]
    assert (finding["frame"], finding["area_px"], finding["area_mm2"]) == (1, SPOT_PX, None)
    assert finding["bbox"] == list(pictures.SPOT)
    np.testing.assert_array_equal(pixels(out / "a.b.mask.png"), SPOT_MASK)
    assert pixels(out / "a.b.overlay.png").shape == (pictures.HEIGHT, pictures.WIDTH, 3)


def test_a_dicom_file_gets_seg_and_sr_that_agree(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (document,) = analyzed(out, pictures.still(tmp_path / "a.dcm"))
    (finding,) = document["findings"]
    assert finding["area_mm2"] == pytest.approx(SPOT_PX * pictures.SPACING_MM**2)
    (segment,) = read_back_segmentation(out / "a.seg.dcm").segments
    assert segment.tracking_uid == finding["tracking_uid"]
    np.testing.assert_array_equal(segment.masks[1], SPOT_MASK > 0)
    report = read_back_report(out / "a.sr.dcm")
    assert (report.label, report.verified) == ("malignant", False)
    assert report.lesions[0].tracking_uid == finding["tracking_uid"]


def test_the_same_file_gives_objects_with_the_same_uids(tmp_path: Path) -> None:
    source = pictures.still(tmp_path / "a.dcm")
    for out in ("one", "two"):
        analyzed(tmp_path / out, source)
    for name in ("a.seg.dcm", "a.sr.dcm"):
        one, two = (dcmread(tmp_path / out / name) for out in ("one", "two"))
        assert one.SOPInstanceUID == two.SOPInstanceUID


def test_an_image_without_a_lesion_gets_a_report_and_no_segmentation(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (document,) = analyzed(out, pictures.still(tmp_path / "a.dcm", spot=False))
    assert (document["class"], document["findings"]) == ("normal", [])
    assert names(out) == {"a.json", "a.mask.png", "a.overlay.png", "a.sr.dcm"}
    assert not pixels(out / "a.mask.png").any()


def test_the_pictures_of_a_cine_show_its_representative_frame(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (document,) = analyzed(out, pictures.cine(tmp_path / "a.dcm"))
    assert document["frame"] in (3, 4)
    assert {finding["frame"] for finding in document["findings"]} == {3, 4}
    assert len({finding["tracking_uid"] for finding in document["findings"]}) == 1
    np.testing.assert_array_equal(pixels(out / "a.mask.png"), SPOT_MASK)


def test_inputs_with_one_stem_do_not_overwrite_each_other(tmp_path: Path) -> None:
    sources = [
        pictures.png(tmp_path / "left" / "a.png"),
        pictures.png(tmp_path / "right" / "a.png", spot=False),
        pictures.png(tmp_path / "right" / "A-2.png"),
    ]
    out = tmp_path / "out"
    documents = analyzed(out, *sources)
    assert [each["input"] for each in documents] == [str(source) for source in sources]
    assert {path.stem for path in out.glob("*.json")} == {"a", "a-3", "A-2"}
    assert json.loads((out / "a-3.json").read_text())["class"] == "normal"


def test_stems_are_unique_whatever_they_are() -> None:
    stems = unique_stems([Path(name) for name in ("a.png", "a-2.png", "b/a.dcm", "c/A.png")])
    assert stems == ["a", "a-2", "a-3", "A-4"]
    assert len({stem.casefold() for stem in stems}) == 4


def bad_inputs(folder: Path) -> dict[str, Path]:
    """Each by the code that it must be refused with."""
    folder.mkdir()
    whole = pictures.still(folder / "whole.dcm").read_bytes()
    truncated = folder / "truncated.dcm"
    truncated.write_bytes(whole[: len(whole) // 2])
    text = folder / "text.dcm"
    text.write_text("not a picture")
    tiny = folder / "tiny.png"
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(tiny)
    black = folder / "black.png"
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(black)
    return {
        "not-ultrasound": pictures.ct(folder / "ct.dcm"),
        "too-small": tiny,
        "too-dark": black,
        "truncated-file": truncated,
        "not-dicom": text,
    }


def test_each_bad_input_is_refused_with_its_code_and_the_others_are_analyzed(
    tmp_path: Path,
) -> None:
    bad = bad_inputs(tmp_path / "bad")
    out = tmp_path / "out"
    documents = analyzed(out, *bad.values(), pictures.png(tmp_path / "good.png"))
    assert [each.get("refused") for each in documents] == [*bad, None]
    assert all(each["class"] is None and each["reason"] for each in documents[:-1])
    assert names(out) == {f"{path.stem}.json" for path in bad.values()} | {
        "good.json",
        "good.mask.png",
        "good.overlay.png",
    }


def test_a_damaged_png_is_refused(tmp_path: Path) -> None:
    source = pictures.png(tmp_path / "a.png")
    source.write_bytes(source.read_bytes()[:-2000])
    (document,) = analyzed(tmp_path / "out", source)
    assert document["refused"] == "undecodable-frame"


def test_only_files_that_cannot_be_read_count_as_failed(tmp_path: Path) -> None:
    bad = bad_inputs(tmp_path / "bad")
    found = analyze_files(list(bad.values()), tmp_path / "out", BrightSpots())
    failed = {str(each.document["refused"]) for each in found if each.failed}
    assert failed == {"truncated-file", "not-dicom"}


def test_no_input_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    result = run("analyze", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "no DICOM, PNG or JPEG file" in result.stderr


def test_a_corrupt_preset_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "preset").mkdir()
    source = pictures.png(tmp_path / "a.png")
    result = run("analyze", source, "--out", tmp_path / "out", "--preset", tmp_path / "preset")
    assert result.exit_code == 1
    assert "preset.json" in result.stderr


def test_the_command_analyzes_a_folder_with_the_default_preset(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    inbox, out = tmp_path / "in", tmp_path / "in" / "out"
    bad_inputs(inbox)
    phantom = make_phantom("spiculated", seed=3, height=240, width=320, spacing_mm=0.15)
    Image.fromarray(phantom.image).save(inbox / "phantom.png")
    command = sonogate("analyze", inbox, inbox / "text.dcm", "--out", out)
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 1, done.stderr  # two inputs could not be read
    assert "2 of 7 inputs failed" in done.stderr
    assert "Traceback" not in done.stderr
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert lines["tiny"].startswith("refused (too-small)")
    assert set(lines) == {path.stem for path in out.glob("*.json")}
    document = json.loads((out / "phantom.json").read_text())
    assert sum(document["probabilities"].values()) == pytest.approx(1)
    assert pixels(out / "phantom.mask.png").shape == phantom.image.shape
    report = read_back_report(out / "whole.sr.dcm")
    said = "undecided," if report.undecided else report.label
    assert lines["whole"].split()[0] == said


def test_results_that_dicom_cannot_hold_are_reported_in_the_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Dataset:
        raise InvalidResult("a mask of another size")

    monkeypatch.setattr("sonogate.analyze.run.build_set", refuse)
    out = tmp_path / "out"
    (found,) = analyze_files([pictures.still(tmp_path / "a.dcm")], out, BrightSpots())
    assert found.failed
    assert "a mask of another size" in found.document["dicom_problem"]
    assert names(out) == {"a.json", "a.mask.png", "a.overlay.png"}


class Cautious(BrightSpots):
    """With a confidence threshold that few images reach."""

    info = replace(BrightSpots.info, confidence_threshold=0.75)


def test_an_undecided_image_keeps_its_most_probable_class_and_probabilities(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    (each,) = analyze_files([pictures.still(tmp_path / "a.dcm")], out, Cautious())
    assert (each.document["class"], each.document["undecided"]) == ("malignant", True)
    assert each.document["probabilities"] == {"normal": 0.1, "benign": 0.2, "malignant": 0.7}
    assert summary_line(each).startswith("a: undecided, most probable malignant 70%, 1 lesion")
    assert read_back_report(out / "a.sr.dcm").undecided
    (sure,) = analyzed(out, pictures.png(tmp_path / "b.png"))
    assert sure["undecided"] is False
