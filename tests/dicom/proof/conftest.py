"""Every result object of every kind of study, on disk, for readers that Sonogate did not write."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom.files import write_dataset
from dicom.results.catalogue import parse_spec
from dicom.results.model import (
    LesionResult,
    RefusalReason,
    SignedReview,
    StudyResult,
)
from tests.dicom import making
from tests.dicom.conftest import CASES, make_case

ASKED = (
    *("seg", "seg:every-frame", "seg:binary", "seg:fractional", "seg:labelmap"),
    *("sr", "sr:comprehensive-3d", "sr:enhanced"),
    *("heatmap-seg", "heatmap-pm", "heatmap-sc", "heatmap-sc:jpeg"),
    *("key-objects", "key-objects:for-report-attachment", "presentation-state"),
    "encapsulated-pdf",
)
AMENDED = ("seg", "sr")
STUDIES = (*CASES, "refused")
Files = Mapping[str, list[Path]]
"""By spec."""


@dataclass(frozen=True, eq=False)
class Proof:
    """One study, and what was made of it: of the analysis, of its review, of the amendment."""

    result: StudyResult
    review: SignedReview
    unsigned: Files
    signed: Files
    amended: Files

    @property
    def source(self) -> Path:
        """The image, analyzed or refused."""
        return (self.result.images or self.result.refused_images)[0].source

    def files(self, *kinds: str) -> list[Path]:
        """Every file of these kinds, signed or not."""
        return [
            path
            for made in (self.unsigned, self.signed, self.amended)
            for spec, paths in made.items()
            if parse_spec(spec).kind.name in kinds
            for path in paths
        ]


@pytest.fixture(scope="session")
def built_proofs() -> dict[str, Proof]:
    """By study. pytest drops a parametrized fixture with each change of its parameter, and each
    file asks for all studies again: building them once saves minutes.
    """
    return {}


@pytest.fixture(scope="session", params=STUDIES)
def proof(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    built_proofs: dict[str, Proof],
) -> Proof:
    study: str = request.param
    if study not in built_proofs:
        folder = tmp_path_factory.mktemp("proof")
        if study == "refused":
            result = refused(folder)
        else:
            result = make_case(request, study, folder).result_with_probabilities()
        built_proofs[study] = prove(result, folder)
    return built_proofs[study]


def refused(folder: Path) -> StudyResult:
    refusal = RefusalReason("color-doppler", "The image shows color Doppler.")
    path = making.write_image(folder / "image.dcm", making.color())
    return making.study_result(making.image_refusal(path, refusal))


def prove(result: StudyResult, folder: Path) -> Proof:
    """The reader shrinks the first outline; the amendment gives another category."""
    review = replace(making.REVIEW, decision="modify", outlines=shrunk(result))
    amendment = replace(
        review,
        review_id="review-2",
        birads="5",
        signed_at=making.MOMENT + timedelta(days=1),
    )
    unsigned = making.build_results(ASKED, result)
    signed = making.build_signed_results(ASKED, result, review)
    amended = making.build_signed_results(
        AMENDED, result, amendment, predecessors={"sr": signed["sr"][0]}
    )
    return Proof(
        result,
        review,
        write_each(unsigned, folder / "unsigned"),
        write_each(signed, folder / "signed"),
        write_each(amended, folder / "amended"),
    )


def shrunk(result: StudyResult) -> Mapping[str, tuple[LesionResult, ...]]:
    if not result.images or not result.images[0].lesions:
        return {}
    (image,) = result.images
    first, *others = image.lesions
    mask = first.mask.copy()
    mask[:, : mask.nonzero()[1].min() + 2] = False
    smaller = making.lesion(mask, number=1, frame=first.frame_number)
    corrected = replace(smaller, origin="corrected", label="")
    return {image.sop_instance_uid: (corrected, *others)}


def write_each(made: Mapping[str, list[Dataset]], folder: Path) -> Files:
    folder.mkdir()
    return {
        spec: [
            write_dataset(one, folder / f"{spec.replace(':', '-')}.{n}.dcm").path
            for n, one in enumerate(objects)
        ]
        for spec, objects in made.items()
    }
