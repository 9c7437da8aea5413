"""`sonogate send`: to a real storage SCP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom.equipment import IMAGE_MODEL
from sonogate.demo.pacs import DemoPacs
from tests.sonogate import pictures
from tests.sonogate.conftest import Run


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[DemoPacs]:
    with DemoPacs(tmp_path / "pacs") as standin:
        yield standin


def arrived(pacs: DemoPacs) -> list[Path]:
    return sorted(pacs.folder.iterdir())


def test_a_dicom_file_arrives_as_it_is(run: Run, pacs: DemoPacs, tmp_path: Path) -> None:
    source = pictures.cine(tmp_path / "a.dcm")
    result = run("send", source, "--to", f"127.0.0.1:{pacs.port}", "--aet", pacs.ae_title)
    assert (result.exit_code, result.stdout) == (0, "1 of 1 files accepted\n")
    (path,) = arrived(pacs)
    assert dcmread(path) == dcmread(source)


def test_pictures_become_ultrasound_images_the_same_ones_each_time(
    run: Run, pacs: DemoPacs, tmp_path: Path
) -> None:
    pictures.png(tmp_path / "in" / "a.png")
    pictures.png(tmp_path / "in" / "b.png", spot=False)
    for _ in range(2):
        assert run("send", tmp_path / "in", "--to", f"127.0.0.1:{pacs.port}").exit_code == 0
    one, other = map(dcmread, arrived(pacs))
    assert (one.Modality, one.ManufacturerModelName) == ("US", IMAGE_MODEL)
    assert one.StudyInstanceUID != other.StudyInstanceUID
    assert one.PatientID != other.PatientID


def test_pictures_of_a_named_patient_are_one_study(
    run: Run, pacs: DemoPacs, tmp_path: Path
) -> None:
    pictures.png(tmp_path / "in" / "a.png")
    pictures.png(tmp_path / "in" / "b.png")  # the same pixels are still two images
    to = f"127.0.0.1:{pacs.port}"
    result = run("send", tmp_path / "in", "--to", to, "--patient-id", "P1")
    assert result.exit_code == 0
    one, other = map(dcmread, arrived(pacs))
    assert one.StudyInstanceUID == other.StudyInstanceUID
    assert {one.PatientID, other.PatientID} == {"P1"}


def test_what_is_not_taken_is_named_and_the_exit_code_is_1(
    run: Run, pacs: DemoPacs, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    good = pictures.still(tmp_path / "a.dcm")
    result = run("send", notes, good, "--to", f"127.0.0.1:{pacs.port}")
    assert result.exit_code == 1
    assert "1 of 2 files accepted" in result.stdout
    assert result.stderr.startswith(f"{notes}: ")


# pynetdicom shuts down the socket of a refused connection and forgets to close it
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_absent_node_is_one_clear_line(run: Run, tmp_path: Path, free_port: int) -> None:
    source = pictures.still(tmp_path / "a.dcm")
    result = run("send", source, "--to", f"127.0.0.1:{free_port}")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"sonogate: cannot connect to 127.0.0.1:{free_port}")


@pytest.mark.parametrize("address", ["localhost", "localhost:", ":104", "localhost:99999"])
def test_an_address_without_host_or_port_is_wrong_usage(
    run: Run, tmp_path: Path, address: str
) -> None:
    source = pictures.still(tmp_path / "a.dcm")
    assert run("send", source, "--to", address).exit_code == 2
