"""End to end: DCMTK sends real ultrasound images, Orthanc receives SEG and SR."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.engine import make_url

from db import audit
from db.schema import (
    AuditEvent,
    Delivery,
    DeliveryStatus,
    Instance,
    ResultObject,
    Study,
    StudyStatus,
)
from dicom.files import write_dataset
from dicom.images.ultrasound_image import StudyContext, build_ultrasound_image
from dicom.results.catalogue import parse_spec
from tests import peers
from tests.integration.conftest import RunningServices, run_services

pytestmark = [pytest.mark.peer, pytest.mark.timeout(600)]

# one clearly visible lesion each; the third shows normal tissue
BUSI = ("benign/benign (10).png", "malignant/malignant (10).png", "normal/normal (1).png")
FINAL = (StudyStatus.ANALYZED, StudyStatus.REFUSED, StudyStatus.FAILED)


@dataclass(frozen=True)
class FinishedRun:
    """Running services after all studies were sent, analyzed and delivered."""

    services: RunningServices
    pacs: peers.Orthanc
    sent: list[Path]


@pytest.fixture(scope="module")
def finished(
    orthanc: peers.Orthanc,
    postgresql_server: str,
    shared_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FinishedRun]:
    storescu = peers.find_program("storescu")
    folder = tmp_path_factory.mktemp("hospital")
    busi = [
        _build_image(shared_data / "busi" / name, folder / f"{n}.dcm")
        for n, name in enumerate(BUSI)
    ]
    sent = busi + [
        _copy_with_new_uids(path, folder) for path in sorted((shared_data / "dicom").glob("*.dcm"))
    ]
    with ExitStack() as stack:
        redis = stack.enter_context(peers.redis(folder))
        running = stack.enter_context(
            run_services(folder / "home", orthanc, redis.url, _create_database(postgresql_server))
        )
        for path in sent:
            _store(storescu, running.dicom_port, path)
        peers.wait_until(lambda: _are_analyzed(running), seconds=240, what="the analyses")
        peers.wait_until(lambda: _are_delivered(running), seconds=120, what="the deliveries")
        yield FinishedRun(running, orthanc, sent)


def _create_database(server: str) -> str:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE hospital"))
    engine.dispose()
    return make_url(server).set(database="hospital").render_as_string(hide_password=False)


def _build_image(png: Path, target: Path) -> Path:
    study = StudyContext(
        study_instance_uid=pydicom.uid.generate_uid(),
        patient_id=target.stem,
        patient_name="Test^Anna",
        study_datetime=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    pixels = np.asarray(Image.open(png).convert("L"))
    write_dataset(build_ultrasound_image(pixels, study=study, spacing_mm=0.1), target)
    return target


def _copy_with_new_uids(path: Path, folder: Path) -> Path:
    """Copy a file with new UIDs: several files contain the same image in other encodings."""
    dataset = pydicom.dcmread(path)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, pydicom.uid.generate_uid())
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(folder / path.name)
    return folder / path.name


def _store(storescu: str, port: int, path: Path) -> None:
    # -R proposes only the SOP class of the file, which is retired for some of them
    syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    option = {
        pydicom.uid.JPEGBaseline8Bit: "-xy",
        pydicom.uid.JPEGLosslessSV1: "-xs",
        pydicom.uid.JPEG2000Lossless: "-xv",
        pydicom.uid.JPEG2000: "-xw",
        pydicom.uid.RLELossless: "-xr",
        pydicom.uid.ExplicitVRBigEndian: "-xb",
        pydicom.uid.ImplicitVRLittleEndian: "-xi",
    }.get(syntax, "-xe")
    subprocess.run(
        [storescu, "-R", "-aec", "SONOGATE", option, "127.0.0.1", str(port), str(path)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip


def _are_analyzed(running: RunningServices) -> bool:
    with running.database.read() as session:
        statuses = session.scalars(select(Study.status)).all()
    return bool(statuses) and all(status in FINAL for status in statuses)


def _are_delivered(running: RunningServices) -> bool:
    with running.database.read() as session:
        sets = session.scalar(select(func.count()).select_from(Study))
        deliveries = session.scalars(select(Delivery.status)).all()
    return len(deliveries) == sets and set(deliveries) == {DeliveryStatus.DELIVERED}


def _call_rest_api(pacs: peers.Orthanc, path: str, body: dict[str, Any] | None = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(f"{pacs.url}{path}", data, timeout=30) as response:  # noqa: S310  loopback
        return json.load(response)


def _load_from_pacs(pacs: peers.Orthanc, sop_instance_uid: str) -> bytes:
    ids = _call_rest_api(
        pacs,
        "/tools/find",
        {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}},
    )
    assert len(ids) == 1, f"{len(ids)} copies of one result object in the PACS"
    with urllib.request.urlopen(f"{pacs.url}/instances/{ids[0]}/file", timeout=30) as response:  # noqa: S310
        content: bytes = response.read()
    return content


def _load_result_objects(running: RunningServices, kind: str) -> list[ResultObject]:
    with running.database.read() as session:
        return list(
            session.scalars(
                select(ResultObject).where(ResultObject.spec == parse_spec(kind).explicit_text)
            )
        )


def test_every_file_is_stored_bit_for_bit(finished: FinishedRun) -> None:
    store = finished.services.home / "files"
    with finished.services.database.read() as session:
        stored = {
            row.sop_instance_uid: store / row.file for row in session.scalars(select(Instance))
        }
    for path in finished.sent:
        before, after = pydicom.dcmread(path), pydicom.dcmread(stored[_read_uid(path)])
        assert before.file_meta.TransferSyntaxUID == after.file_meta.TransferSyntaxUID
        assert before.get("PixelData") == after.get("PixelData")


def _read_uid(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def test_every_study_has_its_report_in_the_pacs(finished: FinishedRun) -> None:
    with finished.services.database.read() as session:
        studies = set(session.scalars(select(Study.study_instance_uid)))
    reports = [
        pydicom.dcmread(
            pydicom.filebase.DicomBytesIO(_load_from_pacs(finished.pacs, sr.sop_instance_uid))
        )
        for sr in _load_result_objects(finished.services, "sr")
    ]
    assert {report.StudyInstanceUID for report in reports} == studies
    assert all(report.VerificationFlag == "UNVERIFIED" for report in reports)


def test_lesions_are_in_the_pacs_as_segmentations(finished: FinishedRun) -> None:
    segmentations = _load_result_objects(finished.services, "seg")
    assert segmentations, "no lesion was outlined in any study"
    for row in segmentations:
        delivered = pydicom.dcmread(
            pydicom.filebase.DicomBytesIO(_load_from_pacs(finished.pacs, row.sop_instance_uid))
        )
        assert delivered.Modality == "SEG"
        assert delivered.pixel_array.any()


def test_the_validator_finds_no_error_in_delivered_objects(
    finished: FinishedRun, tmp_path: Path
) -> None:
    dciodvfy = peers.find_program("dciodvfy", str(Path(sys.executable).parent / "dciodvfy"))
    for kind in ("seg", "sr"):
        for row in _load_result_objects(finished.services, kind):
            path = tmp_path / f"{row.id}.dcm"
            path.write_bytes(_load_from_pacs(finished.pacs, row.sop_instance_uid))
            validation = subprocess.run(
                [dciodvfy, str(path)], check=False, capture_output=True, text=True
            )
            errors = [line for line in validation.stderr.splitlines() if line.startswith("Error")]
            assert not errors, f"{kind}: {errors}"


def test_the_audit_log_contains_every_step(finished: FinishedRun) -> None:
    with finished.services.database.read() as session:
        assert audit.verify(session).intact
        tags = set(session.scalars(select(AuditEvent.tag)))
    assert {
        "listener:instance:stored",
        "worker:study:analysed",
        "worker:analysis:published",
        "worker:delivery:delivered",
    } <= tags


def test_logs_contain_no_patient_data_or_uids(finished: FinishedRun) -> None:
    with finished.services.database.read() as session:
        names = {name for name in session.scalars(select(Study.patient_name)) if name}
        uids = set(session.scalars(select(Instance.sop_instance_uid)))
    for log in finished.services.home.glob("*.log"):
        written = log.read_text()
        assert not [secret for secret in names | uids if secret in written], log.name


def test_the_web_service_is_ready(finished: FinishedRun) -> None:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{finished.services.web_port}/readyz", timeout=10
    ) as response:
        assert response.status == 200
