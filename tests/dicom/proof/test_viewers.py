"""What OHIF's readers, dcmjs and the Cornerstone3D adapters, make of segmentations and reports."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from dicom.results.segmentation_reader import read_back_segmentation
from dicom.results.sr.verify import read_back_report
from tests.dicom.proof.conftest import Proof
from tests.peers import find_program

VIEWERS = Path(__file__).parents[2] / "viewers"
AREA = "42798000"
# Cornerstone3D puts the middle of the first pixel at 0, DICOM its corner
MIDDLE = 0.5


@pytest.fixture(scope="module")
def seen(proof: Proof) -> dict[str, Any]:
    """Segmentations and reports as they came out of the readers, by path."""
    node = find_program("node")
    if not (VIEWERS / "node_modules").is_dir():
        pytest.skip("the viewers' readers are not installed: `npm ci` in tests/viewers")
    job = {
        "source": str(proof.source),
        "segmentations": [str(path) for path in proof.files("seg", "heatmap-seg")],
        "reports": [str(path) for path in proof.files("sr")],
    }
    run = subprocess.run(
        [node, VIEWERS / "read_objects.mjs"],
        input=json.dumps([job]),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    (answer,) = json.loads(run.stdout)
    return {one["path"]: one for one in (*answer["segmentations"], *answer["reports"])}


@pytest.mark.peer
def test_segments_are_read_under_their_tracking_uids(proof: Proof, seen: dict[str, Any]) -> None:
    for path in proof.files("seg"):
        ours = [(one.tracking_uid, one.algorithm_type) for one in read_back(path)]
        theirs = [
            (one["trackingUid"], one["algorithmType"])
            for one in seen[str(path)]["segments"]
            if one["number"]
        ]
        assert theirs == ours


@pytest.mark.peer
def test_every_segment_is_drawn_on_its_frames_to_the_pixel(
    proof: Proof, seen: dict[str, Any]
) -> None:
    for path in proof.files("seg"):
        drawn = seen[str(path)]["drawn"]
        if is_padded(path) or is_graded(path):
            continue
        assert "error" not in drawn
        for segment in read_back(path):
            meant = {
                str(frame): np.flatnonzero(mask).tolist() for frame, mask in segment.masks.items()
            }
            assert drawn["pixels"].get(str(segment.number), {}) == meant


@pytest.mark.peer
def test_what_cornerstone_does_not_draw_yet_is_known(proof: Proof, seen: dict[str, Any]) -> None:
    """When this fails, docs/conformance/viewers.md has good news to tell."""
    for path in proof.files("seg", "heatmap-seg"):
        drawn = seen[str(path)]["drawn"]
        if is_padded(path):
            assert "Unexpected 1-bit SEG PixelData length" in drawn["error"]
        elif is_graded(path):
            assert "Fractional" in drawn["error"]


def is_padded(path: Path) -> bool:
    """Whether the bits of a BINARY one leave a last byte alone, which PS3.5 8.1.1 pads to two."""
    dataset = pydicom.dcmread(path)
    bits = dataset.Rows * dataset.Columns * int(dataset.NumberOfFrames)
    return bool(dataset.BitsAllocated == 1 and -(-bits // 8) % 2 == 1)


def is_graded(path: Path) -> bool:
    """Whether it holds more than no and yes: probabilities, or a heat map."""
    dataset = pydicom.dcmread(path)
    values = np.unique(dataset.pixel_array)
    return bool(dataset.SegmentationType == "FRACTIONAL" and set(values) - {0, 255})


@pytest.mark.peer
def test_every_report_is_read_with_the_same_measurements_and_references(
    proof: Proof, seen: dict[str, Any]
) -> None:
    for path in proof.files("sr"):
        report = seen[str(path)]
        assert report["template"] == "1500"
        groups = [group for group in report["groups"] if AREA in group["measurements"]]
        lesions = read_back_report(path).lesions
        for group, lesion in zip(groups, lesions, strict=True):
            assert group["trackingUid"] == lesion.group_uid
            assert group["trackingIdentifier"].rpartition(":")[2] == lesion.tracking_id
            assert {
                code: tuple(number) for code, number in group["measurements"].items()
            } == lesion.measurements
            assert group.get("segmentation", {}).get("uid", "") == lesion.segmentation_uid


@pytest.mark.peer
def test_every_outline_is_drawn_closed_on_its_frame(proof: Proof, seen: dict[str, Any]) -> None:
    (path,) = proof.unsigned["sr"]
    contours = {
        (lesion.tracking_uid, lesion.frame_number): lesion.contour
        for image in proof.result.images
        for lesion in image.lesions
    }
    ours = [lesion for lesion in read_back_report(path).lesions if lesion.outline]
    outlines = [group["outline"] for group in seen[str(path)]["groups"] if group.get("outline")]
    assert len(outlines) == len(contours)
    for outline, lesion in zip(outlines, ours, strict=True):
        assert outline["closed"]
        assert outline["frame"] == lesion.frame
        assert outline["finding"] == "Lesion"
        assert outline["sites"] == ["Breast"]
        contour = contours[lesion.tracking_uid, lesion.frame]
        assert np.allclose(np.add(outline["points"], MIDDLE), contour, atol=1e-4)


def read_back(path: Path) -> Any:
    return read_back_segmentation(path).segments
