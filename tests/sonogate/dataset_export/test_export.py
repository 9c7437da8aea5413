"""What readers sign, from the database to the folder that training reads."""

import csv
import json
import re
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import select

from db import analyses, audit, reviews
from db.engine import Database
from db.outlines import ReaderOutline
from db.reviews import Judgment
from db.routes_file import RoutesFile
from db.schema import (
    Analysis,
    AuditEvent,
    Decision,
    Finding,
    FindingKind,
    Instance,
    Job,
    JobKind,
    JobStatus,
    OutlineOrigin,
    Review,
    Role,
    Series,
    Study,
    User,
)
from db.worklist import find_current_analysis
from dicom.images.ultrasound_image import StudyContext
from dicom.terms.classification import CLASSES
from dicom.terms.lesions import Point
from dicom.uids import derived_uid
from models.data.dataset import Sample, read_samples
from sonogate.dataset_export.export import ExportSummary, export
from sonogate.dataset_export.labeled_images import LabeledImages
from sonogate.errors import DirectoryNotEmpty, NothingToExport
from tests.sonogate.conftest import Run
from tests.workers.fake_images import BENIGN, MALIGNANT, FakePredictor, draw_frame, write_image
from tests.workers.gateway import NOON, Gateway
from workers.services import LazyPredictor, WorkerServices
from workers.settings import WorkerSettings

REGION: Final = (20, 10, 190, 150)
"""x0, y0, x1, y1 in pictures of 200 x 160."""
INSIDE: Final = np.s_[10:150, 20:190]
SQUARE: Final = ((60.0, 40.0), (100.0, 40.0), (100.0, 80.0), (60.0, 80.0))
NEW_UID: Final = "2.25.4711"
ACCEPT: Final = Judgment(Decision.ACCEPT)
REJECT: Final = Judgment(Decision.REJECT, reason="Insufficient image quality")
Pixels = NDArray[np.uint8]


def change(label: str, *changed: ReaderOutline) -> Judgment:
    return Judgment(Decision.MODIFY, label, "4A", "Incorrect class", "", changed)


@dataclass
class Ward:
    """A gateway, the scanner that sends to it and the radiologist who signs."""

    gateway: Gateway
    folder: Path
    count: int = 0

    @property
    def database(self) -> Database:
        return self.gateway.database

    def scan(self, *pictures: Pixels | Sequence[Pixels], **facts: str) -> UUID:
        """A study, analyzed; a sequence of pictures is a cine."""
        self.count += 1
        study = StudyContext(
            study_instance_uid=derived_uid("export", str(self.count)),
            study_datetime=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
            **{"patient_id": f"PID-{self.count}", "patient_name": "Muster^Anna", **facts},
        )
        for number, pixels in enumerate(pictures, 1):
            path = self.folder / f"{self.count}-{number}.dcm"
            study_id = self.gateway.receive(
                write_image(path, pixels, number=number, facts=study, region=REGION)
            )
        self.analyze()
        return study_id

    def analyze(self) -> None:
        with self.database.read() as session:
            waiting = select(Job.id).where(
                Job.kind == JobKind.ANALYZE, Job.status == JobStatus.QUEUED
            )
            jobs = session.scalars(waiting).all()
        for job_id in jobs:
            self.gateway.runner.run(job_id, JobKind.ANALYZE)

    def draft(self, study_id: UUID, judgment: Judgment) -> Review:
        with self.database.write() as session:
            reader = session.scalars(select(User).where(User.username == "roentgen")).one()
            analysis = find_current_analysis(session, study_id)
            assert analysis is not None
            signed = reviews.find_signed(session, analysis.id)
            if signed:
                reviews.amend(session, signed.id, reader, self.gateway.clock())
            return reviews.save_draft(session, analysis.id, reader, judgment, self.gateway.clock())

    def sign(self, study_id: UUID, judgment: Judgment = ACCEPT) -> None:
        """Signed, in the place of a review that was signed before."""
        self.gateway.clock.skip(minutes=1)
        draft = self.draft(study_id, judgment)
        with self.database.write() as session:
            reader = session.get_one(User, draft.reader_id)
            shown = reviews.load_judgment(session.get_one(Review, draft.id)).digest
            reviews.sign(session, draft.id, reader, shown, self.gateway.clock())

    def findings(self, study_id: UUID, kind: FindingKind) -> list[Finding]:
        with self.database.read() as session:
            return list(
                session.scalars(
                    select(Finding)
                    .join(Analysis)
                    .where(Analysis.study_id == study_id, Finding.kind == kind)
                    .order_by(Finding.number, Finding.frame_number)
                )
            )

    def instances(self, study_id: UUID) -> Sequence[Instance]:
        with self.database.read() as session:
            return analyses.list_instances(session, study_id)

    def drawn(
        self, study_id: UUID, image: int, contour: Sequence[Point], frame: int = 1
    ) -> ReaderOutline:
        """A lesion that the network has not, on the image that counts from 0."""
        instance = self.instances(study_id)[image]
        return ReaderOutline(
            instance.id, frame, NEW_UID, 99, OutlineOrigin.DRAWN, tuple(contour)
        )  # fmt: skip

    def export(self, name: str = "data") -> ExportSummary:
        store = self.gateway.services.store
        return export(self.database, store, self.folder / name, self.gateway.clock())

    def events(self) -> list[AuditEvent]:
        with self.database.read() as session:
            ours = AuditEvent.tag.endswith(":exported")
            return list(session.scalars(select(AuditEvent).where(ours).order_by(AuditEvent.seq)))


def corrected(lesion: Finding, contour: Sequence[Point]) -> ReaderOutline:
    """Redrawn; removed when there are no points."""
    return ReaderOutline(
        lesion.instance_id, lesion.frame_number, lesion.tracking_uid, lesion.number,
        OutlineOrigin.CORRECTED, tuple(contour),
    )  # fmt: skip


def open_ward(
    database: Database, settings: WorkerSettings, folder: Path, confidence_threshold: float = 0.0
) -> Ward:
    store = settings.file_store()
    store.prepare()
    networks = FakePredictor()
    networks.info = replace(networks.info, confidence_threshold=confidence_threshold)
    services = WorkerServices(
        settings, database, store, LazyPredictor(None, lambda _: networks),
        RoutesFile(settings.effective_routes_file),
    )  # fmt: skip
    reader = User(
        username="roentgen", display_name="W. Röntgen", dicom_name="Röntgen^Wilhelm",
        organization="Klinik", role=Role.RADIOLOGIST, password_hash="-", created_at=NOON,
    )  # fmt: skip
    with database.write() as session:
        session.add(reader)
    return Ward(Gateway(services), folder)


@pytest.fixture
def ward(sqlite_database: Database, tmp_path: Path) -> Ward:
    return open_ward(sqlite_database, WorkerSettings(home=tmp_path, min_free_bytes=0), tmp_path)


@pytest.fixture
def any_ward(database: Database, tmp_path: Path) -> Ward:
    """On SQLite and on PostgreSQL."""
    return open_ward(database, WorkerSettings(home=tmp_path, min_free_bytes=0), tmp_path)


def samples(ward: Ward) -> list[tuple[str, Sample]]:
    """In the order of the manifest, each with its class."""
    there = {row["class"] for row in rows(ward) if row["label_conflict"] == "0"}
    classes = [name for name in CLASSES if name in there]
    found = read_samples(ward.folder / "data", classes=classes)
    return [(classes[each.label], each) for each in sorted(found, key=lambda each: each.image)]


def only(ward: Ward) -> tuple[Pixels, NDArray[np.bool_]]:
    """Pixels and lesions of the one sample that there is."""
    ((_, sample),) = samples(ward)
    return sample.read()


def rows(ward: Ward) -> list[dict[str, str]]:
    with (ward.folder / "data" / "manifest.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def square() -> NDArray[np.bool_]:
    mask = np.zeros((160, 200), np.bool_)
    mask[40:80, 60:100] = True
    return mask


def disc(x: int, y: int, radius: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:160, :200]
    inside: NDArray[np.bool_] = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return inside


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ------------------------------------------------------------------------------ the circle


def test_what_is_signed_comes_back_as_training_samples(any_ward: Ward) -> None:
    ward = any_ward
    shown = draw_frame((100, 80, 20), (160, 40, 12))
    benign = ward.scan(shown, patient_id="A")
    lesion = ward.findings(benign, FindingKind.LESION)[0]
    ward.sign(benign, change("benign", corrected(lesion, SQUARE)))
    ward.sign(ward.scan(draw_frame((60, 60, 15)), patient_id="B"))
    ward.sign(ward.scan(draw_frame(), patient_id="A"))
    exported = ward.export()

    found = {CLASSES[each.label]: each for each in read_samples(ward.folder / "data")}
    assert len(found) == exported.images == 3
    pixels, mask = found["benign"].read()
    np.testing.assert_array_equal(pixels, shown[INSIDE])
    np.testing.assert_array_equal(mask, (square() | disc(160, 40, 12))[INSIDE])
    np.testing.assert_array_equal(found["malignant"].read()[1], disc(60, 60, 15)[INSIDE])
    assert not found["normal"].masks
    groups = {label: each.duplicate_group for label, each in found.items()}
    assert groups["benign"] == groups["normal"] != groups["malignant"]
    assert {row["class"]: row["birads"] for row in rows(ward)} == {
        "benign": "4A", "malignant": "", "normal": "",
    }  # fmt: skip


def test_the_command_says_what_it_wrote_and_whose_is_never_told(
    run: Run, installed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = WorkerSettings.load(min_free_bytes=0)
    database = Database(settings.effective_database_url)
    ward = open_ward(database, settings, tmp_path)
    facts = {
        "patient_id": "GEHEIM-4711", "patient_name": "Geheimrat^Berta", "birth_date": "19680304",
        "accession_number": "ACCESS-0815", "referring_physician": "Weise^Clara",
        "study_description": "US Mamma links",
    }  # fmt: skip
    first = ward.scan(draw_frame((100, 80, 20)), [draw_frame((90, 70, 20))] * 2, **facts)
    second = ward.scan(draw_frame(), **facts)
    for study_id in (first, second):
        ward.sign(study_id)
    secrets = [*facts.values(), "geheim", "20260504", "ntgen", *identifiers(database)]
    database.close()

    out = tmp_path / "data"
    result = run("dataset", "export", out)

    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["images"], told["studies"], told["patients"]) == (4, 2, 1)
    assert told["classes"] == {"malignant": 3, "normal": 1}
    files = contents(out)
    assert len(files) == 4 + 3 + 1
    where = [*files, *map(bytes.decode, [files["manifest.csv"]]), result.output, caplog.text]
    everything = "\n".join(where).encode() + b"".join(files.values())
    assert [text for text in secrets if text.lower().encode() in everything.lower()] == []
    for name in files:
        if name.endswith(".png"):
            assert chunks(files[name]) <= {b"IHDR", b"IDAT", b"IEND"}


def identifiers(database: Database) -> Iterator[str]:
    """Every UID, id of ours and name of a file that the rows know."""
    with database.read() as session:
        for study in session.scalars(select(Study)):
            yield from (study.study_instance_uid, str(study.id), study.id.hex)
        for series in session.scalars(select(Series)):
            yield series.series_instance_uid
        for instance in session.scalars(select(Instance)):
            yield from (instance.sop_instance_uid, str(instance.id), instance.sha256)
        for finding in session.scalars(select(Finding)):
            yield finding.tracking_uid


def chunks(png: bytes) -> set[bytes]:
    """The kinds of a PNG's chunks (ISO/IEC 15948, 5.3)."""
    found, at = set(), 8
    while at < len(png):
        found.add(png[at + 4 : at + 8])
        at += 12 + int.from_bytes(png[at : at + 4])
    return found


def test_what_is_burned_in_beside_the_region_does_not_leave(ward: Ward) -> None:
    shown = draw_frame((100, 80, 20))
    labeled = shown.copy()
    labeled[2:8, 5:195:3] = 200
    ward.sign(ward.scan(labeled))
    ward.export()
    pixels, _ = only(ward)
    np.testing.assert_array_equal(pixels, shown[INSIDE])


def test_the_region_of_an_image_without_a_header_for_it_is_the_one_that_was_analyzed(
    ward: Ward,
) -> None:
    shown = np.zeros((300, 400), np.uint8)
    shown[60:220, 90:290] = draw_frame((100, 80, 20))
    shown[5:15, 10:60:4] = 220
    path = write_image(ward.folder / "a.dcm", [np.zeros_like(shown), shown], spacing_mm=None)
    study_id = ward.gateway.receive(path)
    ward.analyze()
    ward.sign(study_id)
    ward.export()
    pixels, mask = only(ward)
    assert pixels.shape < (200, 240)
    assert mask.sum() == ward.findings(study_id, FindingKind.LESION)[0].area_px


def test_a_picture_that_cannot_be_told_from_its_surroundings_stays(ward: Ward) -> None:
    shown = np.zeros((400, 500), np.uint8)
    shown[100:260, 150:350] = draw_frame((100, 80, 20))
    study_id = ward.gateway.receive(write_image(ward.folder / "a.dcm", shown, spacing_mm=None))
    ward.analyze()
    ward.sign(study_id)
    with pytest.raises(NothingToExport, match="1 no-region"):
        ward.export()


# ------------------------------------------------------------------------------ patients


def test_patients_are_kept_apart_and_images_of_one_together(ward: Ward) -> None:
    """Whatever is sent as their ID, name and birth date, and in whatever order they come."""
    sent = [
        ("one", {"patient_id": "A1", "patient_name": "Berg^Anna"}),
        ("two", {"patient_id": "A2", "patient_name": "Berg^Anna"}),
        ("one", {"patient_id": "A1 ", "patient_name": "Tal^Anna"}),
        ("three", {"patient_id": "", "patient_name": "Berg^Anna", "birth_date": "19680304"}),
        ("four", {"patient_id": "", "patient_name": "Berg^Anna", "birth_date": "19700101"}),
        ("three", {"patient_id": "", "patient_name": "Berg^Anna", "birth_date": "19680304"}),
        ("five", {"patient_id": "", "patient_name": ""}),
        ("six", {"patient_id": "", "patient_name": ""}),
    ]
    whose = {}
    for patient, facts in sent:
        study_id = ward.scan(draw_frame(), draw_frame(), **facts)
        ward.sign(study_id)
        whose[study_id] = patient
    images = list(LabeledImages(ward.database, ward.gateway.services.store))
    assert len(images) == 2 * len(sent)
    for one, other in combinations(images, 2):
        same = whose[one.study_id] == whose[other.study_id]
        assert (one.patient == other.patient) is same
    ward.export()
    read = [sample for _, sample in samples(ward)]
    assert [sample.duplicate_group for sample in read] == [image.patient for image in images]
    assert len({(sample.duplicate_group, sample.fold) for sample in read}) == 6


def test_the_same_rows_give_the_same_bytes(ward: Ward) -> None:
    for paint in (MALIGNANT, BENIGN):
        ward.sign(ward.scan(draw_frame((100, 80, 20), paint=paint), draw_frame((60, 60, 15))))
    ward.export("first")
    ward.export("second")
    assert contents(ward.folder / "first") == contents(ward.folder / "second")


# ------------------------------------------------------------------------------ classes and outlines


def test_a_cine_gives_the_frames_with_outlines_and_a_normal_one_the_frame_that_speaks(
    ward: Ward,
) -> None:
    frames = [draw_frame(), draw_frame((100, 80, 20)), draw_frame((104, 80, 20)), draw_frame()]
    study_id = ward.scan([*frames, np.zeros_like(frames[0])])
    drawn = [ward.drawn(study_id, 0, SQUARE, frame=frame) for frame in (4, 5)]
    ward.sign(study_id, change("malignant", *drawn))
    normal = ward.scan([draw_frame()] * 3)
    ward.sign(normal)
    exported = ward.export()
    assert exported.excluded == {"refused": 1}
    read = [sample.read() for label, sample in samples(ward) if label == "malignant"]
    for (pixels, _), frame in zip(read, frames[1:], strict=True):
        np.testing.assert_array_equal(pixels, frame[INSIDE])
    np.testing.assert_array_equal(read[2][1], square()[INSIDE])
    assert [len(sample.masks) for label, sample in samples(ward) if label == "normal"] == [0]


def test_a_lesion_that_was_removed_is_no_mask(ward: Ward) -> None:
    study_id = ward.scan(draw_frame((60, 80, 20), (150, 60, 15)))
    large, small = ward.findings(study_id, FindingKind.LESION)
    ward.sign(study_id, change("benign", corrected(small, ())))
    ward.export()
    assert only(ward)[1].sum() == large.area_px


def test_the_word_normal_leaves_no_outline_and_is_the_readers(ward: Ward) -> None:
    ward.sign(ward.scan(draw_frame((100, 80, 20)), draw_frame()), change("normal"))
    exported = ward.export()
    assert dict(exported.classes) == {"normal": 2}
    assert not any(sample.masks for _, sample in samples(ward))


def test_an_image_without_an_outline_is_not_taken_for_the_lesion_that_is_elsewhere(
    ward: Ward,
) -> None:
    ward.sign(ward.scan(draw_frame(), draw_frame((100, 80, 20))))
    exported = ward.export()
    assert exported.excluded == {"no-outline": 1}
    assert [label for label, _ in samples(ward)] == ["malignant"]


def test_an_image_that_may_show_another_lesion_is_marked_and_not_trained_on(ward: Ward) -> None:
    ward.sign(ward.scan(draw_frame((100, 80, 20)), draw_frame((60, 60, 15), paint=BENIGN)))
    exported = ward.export()
    assert [row["label_conflict"] for row in rows(ward)] == ["0", "1"]
    assert (exported.images, exported.label_conflicts, len(samples(ward))) == (2, 1, 1)


@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_where_the_reader_overrules_the_network_no_image_is_in_doubt(
    ward: Ward, label: str
) -> None:
    paint = MALIGNANT if label == "benign" else BENIGN
    shown = [draw_frame((100, 80, 20), paint=paint), draw_frame((60, 60, 15), paint=BENIGN)]
    ward.sign(ward.scan(*shown), change(label))
    ward.export()
    assert [found for found, _ in samples(ward)] == [label] * 2


def test_an_undecided_study_has_the_class_that_the_reader_gave(
    sqlite_database: Database, tmp_path: Path
) -> None:
    settings = WorkerSettings(home=tmp_path, min_free_bytes=0)
    ward = open_ward(sqlite_database, settings, tmp_path, confidence_threshold=0.99)
    ward.sign(ward.scan(draw_frame((100, 80, 20))), change("malignant"))
    ward.scan(draw_frame((60, 60, 15)))
    exported = ward.export()
    assert dict(exported.classes) == {"malignant": 1}
    assert exported.excluded == {}


def test_an_amended_review_does_not_count(ward: Ward) -> None:
    study_id = ward.scan(draw_frame((100, 80, 20)))
    ward.sign(study_id)
    ward.sign(study_id, change("benign"))
    ward.draft(study_id, change("normal"))
    ward.export()
    assert [label for label, _ in samples(ward)] == ["benign"]


def test_each_thing_left_out_is_counted(ward: Ward) -> None:
    ward.sign(ward.scan(draw_frame((100, 80, 20))), REJECT)
    ward.sign(ward.scan(np.zeros((160, 200), np.uint8)), change("benign"))
    outdated = ward.scan(draw_frame((100, 80, 20)))
    ward.sign(outdated)
    with ward.database.read() as session:
        uid = session.get_one(Study, outdated).study_instance_uid
    facts = StudyContext(uid, "PID-3", "Muster^Anna", datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))
    late = write_image(ward.folder / "late.dcm", draw_frame(), number=2, facts=facts, region=REGION)
    ward.gateway.receive(late)
    ward.analyze()
    beside = ward.scan(draw_frame())
    ward.sign(beside, change("benign", ward.drawn(beside, 0, ((2, 2), (9, 2), (9, 9), (2, 9)))))
    lost = ward.scan(draw_frame((100, 80, 20)), draw_frame((60, 60, 15)))
    ward.sign(lost)
    store = ward.gateway.services.store
    store.remove(ward.instances(lost)[0].file)
    exported = ward.export()
    assert exported.excluded == {
        "rejected": 1, "refused": 1, "outdated": 1, "outside-region": 1, "unreadable": 1,
    }  # fmt: skip
    assert (exported.images, len(exported.images_by_study)) == (1, 1)


@pytest.mark.parametrize("damage", [b"", b"no picture", b"\x89PNG\r\n\x1a\nxx"])
def test_a_damaged_outline_takes_its_image_out_and_is_logged_by_our_own_id(
    ward: Ward, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    study_id = ward.scan(draw_frame((100, 80, 20)), draw_frame((60, 60, 15)))
    ward.sign(study_id)
    lesion = ward.findings(study_id, FindingKind.LESION)[0]
    assert lesion.mask_file is not None
    ward.gateway.services.store.path(lesion.mask_file).write_bytes(damage)
    exported = ward.export()
    assert (exported.images, exported.excluded) == (1, {"unreadable": 1})
    assert str(lesion.instance_id) in caplog.text


# ------------------------------------------------------------------------------ the folder and the chain


def test_without_a_signature_nothing_is_made(run: Run, installed: Path, tmp_path: Path) -> None:
    result = run("dataset", "export", tmp_path / "data")
    assert result.exit_code == 1
    assert result.stderr == "sonogate: nothing to export: no signed reviews\n"
    assert list(tmp_path.iterdir()) == [installed]


def test_a_draft_is_no_signature(ward: Ward) -> None:
    ward.draft(ward.scan(draw_frame((100, 80, 20))), ACCEPT)
    with pytest.raises(NothingToExport, match="no signed reviews"):
        ward.export()
    assert ward.events() == []


def test_what_is_in_a_folder_already_stays_as_it_is(ward: Ward) -> None:
    ward.sign(ward.scan(draw_frame((100, 80, 20))))
    (ward.folder / "data").mkdir()
    ward.export()
    before = contents(ward.folder / "data")
    with pytest.raises(DirectoryNotEmpty, match="not empty"):
        ward.export()
    assert contents(ward.folder / "data") == before
    assert len(ward.events()) == 2


def test_only_its_maker_may_look_into_it(ward: Ward) -> None:
    ward.sign(ward.scan(draw_frame((100, 80, 20))))
    ward.export("deep/in/data")
    assert (ward.folder / "deep/in/data").stat().st_mode & 0o077 == 0


@contextmanager
def no_file_beyond(size_bytes: int) -> Iterator[None]:
    """Writing more fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_behind(ward: Ward) -> None:
    """Writing fails in the middle, at the one picture that does not fit."""
    noise = np.random.default_rng(1).integers(30, 200, (160, 200), dtype=np.uint8)
    ward.sign(ward.scan(draw_frame(), noise, draw_frame()))
    before = {path.name for path in ward.folder.iterdir()}
    with no_file_beyond(21_000), pytest.raises(OSError, match="File too large"):
        ward.export()
    assert {path.name for path in ward.folder.iterdir()} == before
    assert ward.events() == []
    assert ward.export().images == 3


def test_the_chain_tells_what_left_and_names_no_patient(any_ward: Ward) -> None:
    ward = any_ward
    studies = [
        ward.scan(draw_frame((100, 80, 20)), draw_frame((60, 60, 15))),
        ward.scan(draw_frame()),
    ]
    for study_id in studies:
        ward.sign(study_id)
    exported = ward.export()
    *of_studies, whole = ward.events()
    details: list[dict[str, Any]] = [json.loads(each.details) for each in (*of_studies, whole)]
    assert {each.study_id: told["images"] for each, told in zip(of_studies, details, strict=False)} == {
        studies[0]: 2, studies[1]: 1,
    }  # fmt: skip
    assert {told["export_id"] for told in details} == {str(exported.id)}
    assert (whole.tag, whole.study_id) == ("sonogate:dataset:exported", None)
    account = details[-1].pop("account")
    assert re.fullmatch(r"\S+", account)
    assert details[-1] == {
        "export_id": str(exported.id), "studies": 2, "images": 3, "patients": 2,
        "manifest_sha256": exported.manifest_sha256,
    }  # fmt: skip
    assert "PID-" not in "".join(each.details for each in ward.events())
    with ward.database.read() as session:
        assert audit.verify(session).intact


def test_pictures_in_color_are_gray_as_the_networks_see_them(ward: Ward) -> None:
    colored = np.repeat(draw_frame((100, 80, 20))[..., None], 3, axis=2)
    colored[20:24, 30:60] = (200, 180, 40)
    ward.sign(ward.scan(colored))
    ward.export()
    ((_, sample),) = samples(ward)
    with Image.open(sample.image) as image:
        assert image.mode == "L"
        expected = np.asarray(Image.fromarray(colored).convert("L"))[INSIDE]
        np.testing.assert_array_equal(np.asarray(image), expected)
