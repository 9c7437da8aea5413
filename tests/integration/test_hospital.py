"""Real ultrasound goes in by DCMTK, SEG and SR come out in Orthanc: every part is the real one."""

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
from tests import peers
from tests.integration.conftest import Gateway, gateway

pytestmark = [pytest.mark.peer, pytest.mark.timeout(600)]

# One lesion each, well visible; the third is normal tissue.
BUSI = ("benign/benign (10).png", "malignant/malignant (10).png", "normal/normal (1).png")
SETTLED = (StudyStatus.ANALYZED, StudyStatus.REFUSED, StudyStatus.FAILED)


@dataclass(frozen=True)
class Afterwards:
    """The gateway after everything was sent, answered and delivered."""

    gateway: Gateway
    pacs: peers.Orthanc
    sent: list[Path]


@pytest.fixture(scope="module")
def afterwards(
    orthanc: peers.Orthanc,
    postgresql_server: str,
    shared_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Afterwards]:
    storescu = peers.program("storescu")
    folder = tmp_path_factory.mktemp("hospital")
    busi = [
        _wrapped(shared_data / "busi" / name, folder / f"{n}.dcm") for n, name in enumerate(BUSI)
    ]
    sent = busi + [_renamed(path, folder) for path in sorted((shared_data / "dicom").glob("*.dcm"))]
    with ExitStack() as stack:
        redis = stack.enter_context(peers.redis(folder))
        running = stack.enter_context(
            gateway(folder / "home", orthanc, redis.url, _own_database(postgresql_server))
        )
        for path in sent:
            _store(storescu, running.dicom_port, path)
        peers.wait_until(lambda: _settled(running), seconds=240, what="the analyses")
        peers.wait_until(lambda: _delivered(running), seconds=120, what="the deliveries")
        yield Afterwards(running, orthanc, sent)


def _own_database(server: str) -> str:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE hospital"))
    engine.dispose()
    return make_url(server).set(database="hospital").render_as_string(hide_password=False)


def _wrapped(png: Path, target: Path) -> Path:
    study = StudyContext(
        study_instance_uid=pydicom.uid.generate_uid(),
        patient_id=target.stem,
        patient_name="Test^Anna",
        study_datetime=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    pixels = np.asarray(Image.open(png).convert("L"))
    write_dataset(build_ultrasound_image(pixels, study=study, spacing_mm=0.1), target)
    return target


def _renamed(path: Path, folder: Path) -> Path:
    """A study of its own: several of the files show one image in other encodings under one UID."""
    dataset = pydicom.dcmread(path)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, pydicom.uid.generate_uid())
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(folder / path.name)
    return folder / path.name


def _store(storescu: str, port: int, path: Path) -> None:
    # -R proposes the file's own SOP class, which for some is a retired one, and nothing else.
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


def _settled(running: Gateway) -> bool:
    with running.database.read() as session:
        statuses = session.scalars(select(Study.status)).all()
    return bool(statuses) and all(status in SETTLED for status in statuses)


def _delivered(running: Gateway) -> bool:
    with running.database.read() as session:
        sets = session.scalar(select(func.count()).select_from(Study))
        deliveries = session.scalars(select(Delivery.status)).all()
    return len(deliveries) == sets and set(deliveries) == {DeliveryStatus.DELIVERED}


def _rest(pacs: peers.Orthanc, path: str, body: dict[str, Any] | None = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(f"{pacs.url}{path}", data, timeout=30) as answer:  # noqa: S310  loopback
        return json.load(answer)


def _in_pacs(pacs: peers.Orthanc, sop_instance_uid: str) -> bytes:
    found = _rest(
        pacs,
        "/tools/find",
        {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}},
    )
    assert len(found) == 1, f"{len(found)} copies of one result object in the PACS"
    with urllib.request.urlopen(f"{pacs.url}/instances/{found[0]}/file", timeout=30) as answer:  # noqa: S310
        content: bytes = answer.read()
    return content


def _objects(running: Gateway, kind: str) -> list[ResultObject]:
    with running.database.read() as session:
        return list(session.scalars(select(ResultObject).where(ResultObject.spec == kind)))


def test_every_file_is_kept_bit_for_bit(afterwards: Afterwards) -> None:
    store = afterwards.gateway.logs / "files"
    with afterwards.gateway.database.read() as session:
        kept = {row.sop_instance_uid: store / row.file for row in session.scalars(select(Instance))}
    for path in afterwards.sent:
        before, after = pydicom.dcmread(path), pydicom.dcmread(kept[_uid(path)])
        assert before.file_meta.TransferSyntaxUID == after.file_meta.TransferSyntaxUID
        assert before.get("PixelData") == after.get("PixelData")


def _uid(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def test_every_study_has_its_report_in_the_pacs(afterwards: Afterwards) -> None:
    with afterwards.gateway.database.read() as session:
        studies = set(session.scalars(select(Study.study_instance_uid)))
    reports = [
        pydicom.dcmread(
            pydicom.filebase.DicomBytesIO(_in_pacs(afterwards.pacs, sr.sop_instance_uid))
        )
        for sr in _objects(afterwards.gateway, "sr")
    ]
    assert {report.StudyInstanceUID for report in reports} == studies
    assert all(report.VerificationFlag == "UNVERIFIED" for report in reports)


def test_lesions_arrive_as_segmentations(afterwards: Afterwards) -> None:
    segmentations = _objects(afterwards.gateway, "seg")
    assert segmentations, "no lesion was outlined in any study"
    for row in segmentations:
        arrived = pydicom.dcmread(
            pydicom.filebase.DicomBytesIO(_in_pacs(afterwards.pacs, row.sop_instance_uid))
        )
        assert arrived.Modality == "SEG"
        assert arrived.pixel_array.any()


def test_the_validator_finds_no_error_in_what_arrived(
    afterwards: Afterwards, tmp_path: Path
) -> None:
    dciodvfy = peers.program("dciodvfy", str(Path(sys.executable).parent / "dciodvfy"))
    for kind in ("seg", "sr"):
        for row in _objects(afterwards.gateway, kind):
            path = tmp_path / f"{row.id}.dcm"
            path.write_bytes(_in_pacs(afterwards.pacs, row.sop_instance_uid))
            verdict = subprocess.run(
                [dciodvfy, str(path)], check=False, capture_output=True, text=True
            )
            errors = [line for line in verdict.stderr.splitlines() if line.startswith("Error")]
            assert not errors, f"{kind}: {errors}"


def test_the_audit_chain_tells_the_story(afterwards: Afterwards) -> None:
    with afterwards.gateway.database.read() as session:
        assert audit.verify(session).intact
        tags = set(session.scalars(select(AuditEvent.tag)))
    assert {
        "listener:instance:stored",
        "worker:study:analysed",
        "worker:analysis:published",
        "worker:delivery:delivered",
    } <= tags


def test_no_patient_is_named_in_the_logs(afterwards: Afterwards) -> None:
    with afterwards.gateway.database.read() as session:
        names = {name for name in session.scalars(select(Study.patient_name)) if name}
        uids = set(session.scalars(select(Instance.sop_instance_uid)))
    for log in afterwards.gateway.logs.glob("*.log"):
        written = log.read_text()
        assert not [secret for secret in names | uids if secret in written], log.name


def test_the_worklist_answers(afterwards: Afterwards) -> None:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{afterwards.gateway.web_port}/readyz", timeout=10
    ) as answer:
        assert answer.status == 200
