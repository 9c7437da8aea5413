"""Users and studies in every state that the pages show, stored as the services store them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import analyses, intake, results, users
from db.analyses import Pipeline
from db.engine import Database
from db.files import FileStore, StoredFile, instance_file, result_file
from db.frames import ClassifiedFrame
from db.schema import (
    Analysis,
    Destination,
    Finding,
    FindingKind,
    Instance,
    Refusal,
    ResultObject,
    Role,
    Study,
    User,
)
from dicom.files import write_dataset
from dicom.images.header import read_header
from dicom.images.ultrasound_image import StudyContext, build_ultrasound_image
from dicom.terms.classification import Classification
from dicom.uids import derived_uid
from models.measure import find_lesions
from models.phantom import Phantom, make_cine, make_phantom
from tests.intake import record_stored
from workers.pipeline.aggregation import classify, classify_study

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
PIPELINE = Pipeline("sonogate 0.1.0, default 1.0", "ab" * 32, "cd" * 32)
PASSWORD = "a sentence for signing in"
Probabilities = tuple[float, float, float]


@cache
def still(kind: str, seed: int, height: int = 240, width: int = 320) -> Phantom:
    return make_phantom(kind, seed=seed, height=height, width=width, spacing_mm=0.16 * 240 / height)


@cache
def cine(kind: str, seed: int, frames: int, height: int = 240, width: int = 320) -> list[Phantom]:
    spacing_mm = 0.16 * 240 / height
    return make_cine(
        kind, seed=seed, frames=frames, height=height, width=width, spacing_mm=spacing_mm
    )


@dataclass(frozen=True)
class SampleImage:
    """A still (one frame) or a cine, with the AI result that every frame gets."""

    frames: Sequence[Phantom]
    probabilities: Probabilities
    calibrated: bool = True
    refused: str = ""
    heat: Sequence[NDArray[np.float32]] = ()
    """One map per frame, 0 to 1. If empty, maps that are high at the lesion."""
    confidence_threshold: float = 0.0

    @property
    def classification(self) -> Classification:
        return classify(self.probabilities, self.confidence_threshold)


@dataclass
class Site:
    """A database and file store with users, studies and destinations."""

    database: Database
    files: FileStore
    now: datetime = NOW
    count: int = 0
    users: dict[str, User] = field(default_factory=dict)

    def add_user(self, username: str, role: Role, name: str = "") -> User:
        """Add a user with ``PASSWORD``, who need not change it."""
        user = User(
            username=username,
            display_name=name or username.title(),
            dicom_name=f"{username.title()}^Dr",
            organization="Clinic",
            role=role,
            password_hash=_hash_of_password(),
            active=True,
            created_at=self.now,
        )
        with self.database.write() as session:
            session.add(user)
        self.users[username] = user
        return user

    def receive_study(
        self,
        images: Sequence[SampleImage] = (),
        *,
        name: str = "Berg^Anna",
        patient_id: str = "",
        description: str = "US breast",
        study_day: datetime | None = None,
    ) -> UUID:
        """Store a study as the listener does: its files, rows and job."""
        self.count += 1
        day = study_day or self.now - timedelta(minutes=self.count)
        facts = StudyContext(
            study_instance_uid=derived_uid("test", str(self.count)),
            patient_id=patient_id or f"PID{self.count:05}",
            patient_name=name,
            study_datetime=day,
            birth_date="19680304",
            accession_number=f"ACC{self.count:05}",
            study_description=description,
            laterality="L",
        )
        for number, image in enumerate(images, 1):
            self._store(facts, image, number)
        with self.database.read() as session:
            return _study_of(session, facts.study_instance_uid).id

    def analyze_study(self, study_id: UUID, images: Sequence[SampleImage]) -> UUID:
        """Store the analysis of a study as the worker does. Returns its id."""
        with self.database.write() as session:
            study = session.get_one(Study, study_id)
            threshold = max((image.confidence_threshold for image in images), default=0.0)
            pipeline = replace(PIPELINE, confidence_threshold=threshold)
            analysis = analyses.begin(session, study, pipeline, self.now)
            instances = analyses.list_instances(session, study_id)
        findings: list[Finding] = []
        refusals: list[Refusal] = []
        for number, (instance, image) in enumerate(zip(instances, images, strict=True), 1):
            if image.refused:
                refusals.append(_refusal(analysis, instance, image))
            else:
                findings += self._findings(analysis, instance, image, number)
        classification = classify_study(
            [classify(image.probabilities, threshold) for image in images if not image.refused]
        )
        with self.database.write() as session:
            analyses.finish(session, analysis.id, classification, findings, refusals, self.now)
        return analysis.id

    def add_study(self, *images: SampleImage, **facts: Any) -> UUID:
        """Store a study and its analysis."""
        study_id = self.receive_study(images, **facts)
        self.analyze_study(study_id, images)
        return study_id

    def add_destination(self, name: str = "pacs") -> UUID:
        row = Destination(
            id=uuid4(), name=name, kind="dimse",
            settings={"ae_title": name.upper(), "host": "127.0.0.1", "port": 104},
            results=["seg", "sr"], active=True,
        )  # fmt: skip
        with self.database.write() as session:
            session.add(row)
        return row.id

    def publish_results(self, study_id: UUID, destination_id: UUID, error: str | None = "") -> UUID:
        """Store results and their delivery: delivered, retrying with ``error``, or pending if None.

        Returns the id of the delivery.
        """
        with self.database.write() as session:
            study = session.get_one(Study, study_id)
            result_set = results.add_result_set(
                session, study.analyses[-1].id, [self._object(study)], self.now
            )
            destination = session.get_one(Destination, destination_id)
            delivery = results.add_delivery(
                session, result_set, destination, destination.results, "all", self.now
            )
            assert delivery is not None
            results.record_published(session, result_set, [delivery], self.now)
            if error:
                results.record_not_delivered(session, delivery.id, error, self.now, given_up=False)
            elif error is not None:
                results.record_delivered(session, delivery.id, self.now)
            return delivery.id

    def _store(self, facts: StudyContext, image: SampleImage, number: int) -> None:
        pixels = [frame.image for frame in image.frames]
        dataset = build_ultrasound_image(
            pixels[0] if len(pixels) == 1 else pixels,
            study=facts,
            spacing_mm=image.frames[0].spacing_mm if image.calibrated else None,
            instance_number=number,
            frame_time_ms=50,
        )
        instance_id = uuid4()
        file = instance_file(instance_id, self.now.date())
        path = self.files.path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = write_dataset(dataset, path)
        stored = StoredFile(file, written.sha256, written.size_bytes)
        with self.database.write() as session:
            record_stored(
                session,
                _received(path, facts),
                instance_id,
                stored,
                stable_after=timedelta(seconds=15),
                now=self.now,
            )

    def _findings(
        self, analysis: Analysis, instance: Instance, image: SampleImage, number: int
    ) -> list[Finding]:
        frames = range(1, len(image.frames) + 1)
        # As the worker does: of a cine, every second frame is analyzed.
        analyzed = [frame for frame in frames if frame % 2 or len(image.frames) == 1]
        representative = max(analyzed, key=lambda frame: image.frames[frame - 1].mask.sum())
        common = {"analysis_id": analysis.id, "instance_id": instance.id}
        classified = [
            ClassifiedFrame(
                frame, image.probabilities, self._heatmap(analysis, instance, image, frame)
            )
            for frame in analyzed
        ]
        image_finding = Finding(
            **common, kind=FindingKind.IMAGE, number=number, frame_number=representative, frames=classified,
            tracking_uid=derived_uid(str(instance.id), "image"), **_classification(image),
        )  # fmt: skip
        outlined = [] if image.classification.label == "normal" else analyzed
        return [
            image_finding,
            *(
                lesion
                for frame in outlined
                for lesion in _lesions(common, instance, image, number, frame)
            ),
        ]

    def _heatmap(
        self, analysis: Analysis, instance: Instance, image: SampleImage, number: int
    ) -> str:
        if image.heat:
            heat = image.heat[number - 1]
        else:
            blurred = ndimage.gaussian_filter(image.frames[number - 1].mask.astype(float), 14)
            heat = blurred / max(blurred.max(), 1e-6)
        name = f"{instance.id}/frame-{number:05d}-heatmap.png"
        content = _png((255 * heat).astype(np.uint8))
        return self.files.write(result_file(analysis.id, name), content).file

    def _object(self, study: Study) -> ResultObject:
        return ResultObject(
            id=uuid4(), spec="sr", selections=[["seg", "sr"]],
            sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
            sop_instance_uid=derived_uid("sr", str(uuid4())),
            series_instance_uid=derived_uid("series", str(study.id)),
            file="results/none.dcm", sha256="0" * 64, size_bytes=1, created_at=self.now,
        )  # fmt: skip


@cache
def _hash_of_password() -> str:
    return users.hash_password(PASSWORD)


def _study_of(session: Session, uid: str) -> Study:
    found: Study = session.scalars(select(Study).where(Study.study_instance_uid == uid)).one()
    return found


def _received(path: Path, facts: StudyContext) -> intake.ReceivedInstance:
    header = read_header(path)
    return intake.ReceivedInstance(
        intake.StudyAttributes(
            header.study_instance_uid,
            header.patient.patient_id,
            header.patient.patient_name,
            header.patient.birth_date,
            header.patient.sex,
            header.accession_number,
            header.study_date,
            header.study_time,
            facts.study_description,
        ),
        intake.SeriesAttributes(
            header.series_instance_uid, "US", header.series_number, header.series_description
        ),
        intake.InstanceAttributes(
            header.sop_instance_uid,
            header.sop_class_uid,
            header.transfer_syntax_uid,
            header.instance_number,
            header.number_of_frames,
            header.rows,
            header.columns,
            header.frame_time_ms,
            header.laterality,
        ),
        intake.Sender("PROBE", "127.0.0.1"),
    )


def _classification(image: SampleImage) -> dict[str, Any]:
    spacing = image.frames[0].spacing_mm if image.calibrated else None
    return {
        "classification": image.classification,
        "spacing_mm": (spacing, spacing) if spacing else None,
    }


def _lesions(
    common: dict[str, Any], instance: Instance, image: SampleImage, number: int, frame: int
) -> list[Finding]:
    shown = image.frames[frame - 1]
    rows = []
    spacing_mm = (shown.spacing_mm, shown.spacing_mm) if image.calibrated else None
    for lesion in find_lesions(shown.mask, spacing_mm, max_lesions=1):
        rows.append(
            Finding(
                **common,
                kind=FindingKind.LESION,
                number=number,
                frame_number=frame,
                tracking_uid=derived_uid(str(instance.id), "lesion"),
                bbox=list(lesion.bbox),
                contour=[list(point) for point in lesion.contour],
                measurements=lesion.measurements,
                **_classification(image),
            )
        )
    return rows


def _refusal(analysis: Analysis, instance: Instance, image: SampleImage) -> Refusal:
    return Refusal(
        analysis_id=analysis.id, instance_id=instance.id, code=image.refused,
        text="The image shows color Doppler, which the networks were not made for.",
    )  # fmt: skip


def _png(values: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()
