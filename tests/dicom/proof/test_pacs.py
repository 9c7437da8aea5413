"""A real PACS takes every kind of result, finds it, and gives it back byte for byte."""

import json
import struct
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom.results.catalogue import parse_spec
from dicom.uids import derived_uid
from tests import peers
from tests.dicom import making
from tests.dicom.proof.conftest import Proof, prove

pytestmark = pytest.mark.peer
AE_TITLE = "SONOGATE"
WORKSTATION = "WORKSTATION"


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[peers.Orthanc]:
    with peers.orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


def study(folder: Path, name: str) -> Proof:
    """A calibrated JPEG cine with three lesions, in a study of its own."""
    folder.mkdir()
    facts = replace(making.STUDY, study_instance_uid=derived_uid("proof", name))
    path = making.write_image(
        folder / "cine.dcm",
        [making.color(seed=seed) for seed in range(6)],
        spacing_mm=0.08,
        transfer_syntax_uid=JPEGBaseline8Bit,
        study=facts,
    )
    return prove(replace(making.Case(path, 3, 0.08).result(), analysis_id=name), folder)


def every_file(proof: Proof) -> list[Path]:
    kinds = {parse_spec(spec).kind.name for spec in proof.unsigned}
    return [proof.source, *proof.files(*kinds)]


@pytest.fixture(scope="module")
def stored(pacs: peers.Orthanc, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every file of one study, sent by C-STORE."""
    paths = every_file(study(tmp_path_factory.mktemp("c-store") / "study", "c-store"))
    headers = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in paths}
    entity = ApplicationEntity(ae_title=AE_TITLE)
    for sop_class, syntax in sorted(
        {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in headers.values()}
    ):
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate("127.0.0.1", pacs.dicom_port, ae_title=pacs.ae_title)
    assert association.is_established
    statuses = {path.name: association.send_c_store(path).Status for path in paths}
    association.release()
    assert set(statuses.values()) == {0x0000}, statuses
    return paths


def test_every_object_comes_back_byte_for_byte(pacs: peers.Orthanc, stored: list[Path]) -> None:
    for path in stored:
        assert data_set(from_pacs(pacs, uid_of(path))) == data_set(path.read_bytes())


def test_every_series_is_found_by_c_find(pacs: peers.Orthanc, stored: list[Path]) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in stored]
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID = headers[0].StudyInstanceUID
    query.SeriesInstanceUID = query.Modality = ""
    entity = ApplicationEntity(ae_title=AE_TITLE)
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = entity.associate("127.0.0.1", pacs.dicom_port, ae_title=pacs.ae_title)
    answers = association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
    found = {(one.SeriesInstanceUID, one.Modality) for _, one in answers if one}
    association.release()
    assert found == {(one.SeriesInstanceUID, one.Modality) for one in headers}
    assert {modality for _, modality in found} == {"US", "SEG", "SR", "OT", "KO", "PR", "DOC"}


def test_c_move_brings_every_object_byte_for_byte(pacs: peers.Orthanc, stored: list[Path]) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in stored]
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = headers[0].StudyInstanceUID
    with receiver(pacs, headers) as came:
        entity = ApplicationEntity(ae_title=AE_TITLE)
        entity.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
        association = entity.associate("127.0.0.1", pacs.dicom_port, ae_title=pacs.ae_title)
        *_, (last, _) = association.send_c_move(
            query, WORKSTATION, StudyRootQueryRetrieveInformationModelMove
        )
        association.release()
    assert (last.Status, last.NumberOfCompletedSuboperations) == (0x0000, len(stored))
    assert came == {uid_of(path): data_set(path.read_bytes()) for path in stored}


@contextmanager
def receiver(pacs: peers.Orthanc, headers: list[pydicom.FileDataset]) -> Iterator[dict[str, bytes]]:
    """A workstation that the PACS knows: what comes in, by SOP Instance UID."""
    came: dict[str, bytes] = {}

    def keep(event: evt.Event) -> int:
        assert isinstance(event.request, C_STORE)
        uid = str(event.request.AffectedSOPInstanceUID)
        came[uid] = event.encoded_dataset(include_meta=False)
        return 0x0000

    entity = ApplicationEntity(ae_title=WORKSTATION)
    for header in headers:
        entity.add_supported_context(header.SOPClassUID, header.file_meta.TransferSyntaxUID)
    port = peers.free_port()
    server = entity.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)]
    )
    assert server is not None
    pacs.register_modality(WORKSTATION, port)
    try:
        yield came
    finally:
        server.shutdown()


def test_wado_gives_the_stored_bytes(pacs: peers.Orthanc, stored: list[Path]) -> None:
    for path in stored:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        place = "/".join(
            f"{level}/{uid}"
            for level, uid in (
                ("studies", header.StudyInstanceUID),
                ("series", header.SeriesInstanceUID),
                ("instances", header.SOPInstanceUID),
            )
        )
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        answer = ask(f"{pacs.url}/dicom-web/{place}", {"Accept": accept})
        assert data_set(path.read_bytes()) in answer


def test_dcmtk_sends_every_object(
    pacs: peers.Orthanc, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("storescu")
    paths = [
        path
        for path in every_file(study(folder / "study", "storescu"))
        if "labelmap" not in path.name  # DCMTK 3.6.7 has no name for this class, so it sends none
    ]
    for path in paths:
        propose = ["-R", "-xy" if is_jpeg(path) else "-xe"]
        command = [peers.find_program("storescu"), *propose, "-aec", pacs.ae_title]
        where = ["127.0.0.1", str(pacs.dicom_port), str(path)]
        run = subprocess.run([*command, *where], capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"{path.name}: {run.stderr}"
        assert data_set(from_pacs(pacs, uid_of(path))) == data_set(path.read_bytes())


def test_stow_takes_every_object_and_qido_finds_it(
    pacs: peers.Orthanc, tmp_path_factory: pytest.TempPathFactory
) -> None:
    paths = every_file(study(tmp_path_factory.mktemp("stow") / "study", "stow"))
    boundary = uuid4().hex
    parts = [
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + path.read_bytes()
        for path in paths
    ]
    body = b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()])
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
    answer = json.loads(ask(f"{pacs.url}/dicom-web/studies", headers, body))
    failed = answer.get("00081198", {}).get("Value", [])
    assert not failed
    uid = derived_uid("proof", "stow")
    query = f"{pacs.url}/dicom-web/studies/{uid}/instances?limit=999"
    instances = json.loads(ask(query, {"Accept": "application/dicom+json"}))
    assert {one["00080018"]["Value"][0] for one in instances} == {uid_of(path) for path in paths}
    for path in paths:
        assert data_set(from_pacs(pacs, uid_of(path))) == data_set(path.read_bytes())


# --------------------------------------------------------------------------- asking


def ask(url: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
        content: bytes = answer.read()
    return content


def from_pacs(pacs: peers.Orthanc, sop_instance_uid: str) -> bytes:
    found = json.loads(ask(f"{pacs.url}/tools/lookup", {}, sop_instance_uid.encode()))
    (place,) = [one["Path"] for one in found if one["Type"] == "Instance"]
    return ask(f"{pacs.url}{place}/file", {})


def data_set(file: bytes) -> bytes:
    """What comes after the file meta information, which is whoever's wrote the file (PS3.10 7.1)."""
    (length,) = struct.unpack("<L", file[140:144])
    return file[144 + length :]


def uid_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def is_jpeg(path: Path) -> bool:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    return bool(header.file_meta.TransferSyntaxUID == JPEGBaseline8Bit)
