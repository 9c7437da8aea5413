"""`sonogate destination test` with third-party PACS."""

import json
import os
import re
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StudyRootQueryRetrieveInformationModelGet,
)
from sqlalchemy import select

from db import migrate
from db.engine import Database
from db.schema import AuditEvent
from dicom.results.catalogue import CATALOGUE
from dicom.results.profiles import PROFILES
from sonogate.cli import cli
from sonogate.destination_test.commitment_requests import CommitmentRequests
from tests import peers
from tests.workers.archive import Archive, run_archive
from tests.workers.pacs import CLASSES, run_pacs
from workers.destinations.dimse.association import AssociationRequestor, Peer
from workers.destinations.dimse.commitment_scu import request_commitment
from workers.destinations.kind import InstanceReference

pytestmark = pytest.mark.peer
RESULT_CLASSES = (
    *(UltrasoundImageStorage, UltrasoundMultiFrameImageStorage),
    *(SegmentationStorage, ParametricMapStorage, KeyObjectSelectionDocumentStorage),
    *(ComprehensiveSRStorage, Comprehensive3DSRStorage, EncapsulatedPDFStorage),
    *(SecondaryCaptureImageStorage, MultiFrameTrueColorSecondaryCaptureImageStorage),
    *(GrayscaleSoftcopyPresentationStateStorage, ColorSoftcopyPresentationStateStorage),
)
"""The SOP classes of the images and of the results of all profiles."""
ALL_RESULTS = (
    *CATALOGUE,
    *("seg:every-frame", "seg:fractional", "seg:labelmap"),
    *("sr:comprehensive-3d", "sr:enhanced", "heatmap-sc:jpeg", "key-objects:for-report-attachment"),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SONOGATE_HOME", str(tmp_path))
    monkeypatch.setenv("SONOGATE_DELIVERY_CONNECT_TIMEOUT_SECONDS", "5")
    database = Database(f"sqlite:///{tmp_path / 'sonogate.db'}")
    migrate.upgrade(database.engine)
    database.close()
    return tmp_path


def run_test(
    home: Path,
    port: int,
    ae_title: str,
    results: Sequence[str] = ("seg", "sr"),
    name: str = "archive",
    commit_seconds: float = 0,
    options: Sequence[str] = ("--without-profiles",),
) -> Result:
    """Run the command with one destination in the routes file."""
    (home / "routes.toml").write_text(
        f'[[destination]]\nname = "archive"\nae_title = "{ae_title}"\nhost = "127.0.0.1"\n'
        f"port = {port}\nresults = {json.dumps(results)}\n"
    )
    command = ["destination", "test", name, "--commit-seconds", str(commit_seconds), *options]
    return CliRunner().invoke(cli, command)


def find_lines(result: Result, spec: str) -> list[str]:
    """Return the output for the objects of one result spec."""
    rows = (line.partition(" ") for line in result.stdout.splitlines())
    return [text.strip() for first, _, text in rows if first == spec]


@pytest.fixture
def listener_port(home: Path) -> Iterator[int]:
    """The port of a listener in a separate process, since it changes pynetdicom in its process."""
    port = peers.free_port()
    settings = {"SONOGATE_DICOM_PORT": str(port), "SONOGATE_MIN_FREE_BYTES": "0"}
    command = [sys.executable, "-m", "sonogate", "listener"]
    with peers.run_process(command, log=home / "listener.log", env={**os.environ, **settings}):
        peers.wait_until(lambda: peers.is_listening(port), seconds=60, what="the listener")
        yield port


def test_orthanc_stores_finds_returns_and_commits_every_object(
    home: Path, orthanc: peers.Orthanc, listener_port: int
) -> None:
    orthanc.register_modality("SONOGATE", listener_port)
    result = run_test(home, orthanc.dicom_port, orthanc.ae_title, ALL_RESULTS, commit_seconds=30)
    assert result.exit_code == 0, result.output
    signed = [
        f"signed/{spec}" for spec in ALL_RESULTS if spec.startswith(("seg", "sr", "encapsulated"))
    ]
    for spec in ("image", *ALL_RESULTS, *signed):
        texts = find_lines(result, spec)
        assert texts, f"no output for {spec}"
        # Orthanc stores label maps, but its C-GET does not support their SOP class
        retrieved = "" if spec.endswith("seg:labelmap") else ", retrieved with identical bytes"
        assert set(texts) == {f"stored, found{retrieved}, committed"}
    assert "C-FIND: offered\nC-GET: offered\nstorage commitment: offered\n" in result.stdout
    count = sum(len(find_lines(result, spec)) for spec in ("image", *ALL_RESULTS, *signed))
    assert f"{count} of {count} objects passed" in result.stdout
    (study,) = re.findall(r"patient ID SONOGATE-TEST, study ([0-9.]+)", result.stdout)
    objects = load_study(orthanc, study)
    assert len(objects) == count
    assert_references_exist(objects)


def load_study(orthanc: peers.Orthanc, study: str) -> list[Dataset]:
    """Return all objects of a study in Orthanc."""
    request = {"Level": "Instance", "Query": {"StudyInstanceUID": study}}
    query = json.dumps(request).encode()
    with urllib.request.urlopen(f"{orthanc.url}/tools/find", query, timeout=30) as response:  # noqa: S310  loopback
        return [_load_instance(orthanc, instance) for instance in json.load(response)]


def _load_instance(orthanc: peers.Orthanc, instance: str) -> Dataset:
    url = f"{orthanc.url}/instances/{instance}/file"
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310  loopback
        return dcmread(BytesIO(response.read()))


def assert_references_exist(objects: list[Dataset]) -> None:
    """Check that the PACS has all referenced images, and that each verified report names the
    unverified one as its predecessor.
    """
    images = {dataset.SOPInstanceUID for dataset in objects if dataset.Modality == "US"}
    sources = {
        image.ReferencedSOPInstanceUID
        for dataset in objects
        for series in dataset.get("ReferencedSeriesSequence", ())
        for image in series.get("ReferencedInstanceSequence", ())
    }
    assert sources
    assert sources == images
    reports = {dataset.SOPInstanceUID: dataset for dataset in objects if dataset.Modality == "SR"}
    verified = [report for report in reports.values() if report.VerificationFlag == "VERIFIED"]
    assert len(verified) == len([spec for spec in ALL_RESULTS if spec.startswith("sr")])
    for report in verified:
        (study,) = report.PredecessorDocumentsSequence
        (predecessor,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
        assert reports[predecessor.ReferencedSOPInstanceUID].VerificationFlag == "UNVERIFIED"


def test_images_can_be_left_out(home: Path, orthanc: peers.Orthanc, free_port: int) -> None:
    orthanc.register_modality("SONOGATE", free_port)
    result = run_test(
        home,
        orthanc.dicom_port,
        orthanc.ae_title,
        options=["--without-images", "--without-profiles"],
    )
    assert result.exit_code == 0, result.output
    assert find_lines(result, "image") == []
    assert find_lines(result, "signed/sr") == ["stored, found, retrieved with identical bytes"]
    assert "5 of 5 objects passed" in result.stdout


def test_orthanc_does_not_commit_objects_that_it_lacks(
    home: Path, orthanc: peers.Orthanc, listener_port: int
) -> None:
    orthanc.register_modality("SONOGATE", listener_port)
    database = Database(f"sqlite:///{home / 'sonogate.db'}")
    peer, missing_uid = Peer(orthanc.ae_title, "127.0.0.1", orthanc.dicom_port), "1.2.840.9999.1"
    instance = InstanceReference("1.2.840.10008.5.1.4.1.1.66.4", "", "", "", missing_uid)
    requestor = AssociationRequestor(peer, "SONOGATE", 5, 20)
    requests = CommitmentRequests(database, "archive")
    status, report = request_commitment(requestor, requests, [instance], wait_seconds=30)
    database.close()
    assert status == 0x0000
    assert report is not None
    assert (report.committed, report.failed) == (frozenset(), {missing_uid: 0x0112})


def test_a_missing_commitment_report_is_stated_but_no_failure(
    home: Path, orthanc: peers.Orthanc, free_port: int
) -> None:
    orthanc.register_modality("SONOGATE", free_port)  # no listener on this port
    result = run_test(home, orthanc.dicom_port, orthanc.ae_title)
    assert result.exit_code == 0, result.output
    assert "storage commitment: no report within 0 s" in result.stdout


def test_services_not_offered_are_stated(home: Path, free_port: int) -> None:
    storescp = peers.find_program("storescp")
    received = home / "received"
    received.mkdir()
    command = [storescp, "-od", str(received), "-aet", "STORESCP", str(free_port)]
    with peers.run_process(command, log=home / "storescp.log"):
        peers.wait_until(lambda: peers.is_listening(free_port), seconds=20, what="storescp")
        result = run_test(home, free_port, "STORESCP")
    assert result.exit_code == 0, result.output
    assert find_lines(result, "image") == find_lines(result, "seg") == ["stored"] * 2
    for spec in ("sr", "signed/seg", "signed/sr"):
        assert find_lines(result, spec) == ["stored"]
    for service in ("C-FIND", "C-GET", "storage commitment"):
        assert f"{service}: not offered" in result.stdout
    assert len(list(received.iterdir())) == 7
    assert load_commitment_tags(home) == []


def load_commitment_tags(home: Path) -> list[str]:
    """Return the tags of commitment events in the audit log, in order."""
    database = Database(f"sqlite:///{home / 'sonogate.db'}")
    with database.read() as session:
        tags = session.scalars(select(AuditEvent.tag).order_by(AuditEvent.seq)).all()
    database.close()
    return [tag for tag in tags if ":commitment:" in tag]


def test_an_object_that_is_not_accepted_is_listed_with_exit_code_1(home: Path) -> None:
    with run_pacs() as peer_pacs:
        results = (
            "seg",
            "sr",
            "sr:enhanced",
        )  # the PACS does not support the SOP class of the last one
        result = run_test(home, peer_pacs.peer.port, peer_pacs.peer.ae_title, results)
    assert result.exit_code == 1
    assert find_lines(result, "sr") == ["stored"]
    assert find_lines(result, "sr:enhanced") == [
        "NOT stored: the peer accepts no presentation context for this SOP class and transfer syntax"
    ]
    assert find_lines(result, "signed/sr:enhanced") == find_lines(result, "sr:enhanced")
    assert "7 of 9 objects passed" in result.stdout


def test_refused_objects_are_not_queried(home: Path) -> None:
    with run_pacs() as peer_pacs:
        peer_pacs.status_for = lambda _: 0xA700
        result = run_test(home, peer_pacs.peer.port, peer_pacs.peer.ae_title)
    assert result.exit_code == 1
    assert "0 of 7 objects passed" in result.stdout
    assert "C-FIND" not in result.stdout


def test_changed_objects_are_listed_with_exit_code_1(home: Path) -> None:
    def coerce(dataset: Dataset) -> None:
        dataset.PatientName = "SONOGATE^TEST"
        for number in range(13):
            dataset.add_new(0x00091001 + number, "LO", "x")

    archive = Archive(coerce=coerce, store_status=0xB000, sop_classes=CLASSES)
    with run_archive(archive, StudyRootQueryRetrieveInformationModelGet) as call:
        result = run_test(home, call.peer.port, call.peer.ae_title, ["sr"])
    assert result.exit_code == 1
    text = "stored with a warning (status 0xB000), retrieved with DIFFERENT bytes"
    assert find_lines(result, "sr") == find_lines(result, "signed/sr") == [text]
    details = result.stdout.partition("\nsr ")[2].splitlines()[1:14]
    assert details[0] == "    (0009,1001): added, 'x'"
    assert details[-1] == "    and 2 more"


def find_profiles(result: Result) -> dict[str, str]:
    """Return what the output says of each profile, with its problems on further lines."""
    found: dict[str, str] = {}
    name = ""
    for line in result.stdout.partition("\nProfiles:\n")[2].splitlines():
        if line.startswith("    "):
            found[name] += f"\n{line.strip()}"
        elif line.split()[0] in PROFILES:
            name, _, text = line.partition(" ")
            found[name] = text.strip().partition(":")[0]
    return found


def test_every_profile_fits_orthanc(home: Path, orthanc: peers.Orthanc, listener_port: int) -> None:
    orthanc.register_modality("SONOGATE", listener_port)
    result = run_test(
        home, orthanc.dicom_port, orthanc.ae_title, ["sr"], commit_seconds=30, options=()
    )
    assert result.exit_code == 0, result.output
    expected = dict.fromkeys(PROFILES, "fits")
    expected["general"] = "fits, recommended"
    assert find_profiles(result) == expected
    assert "4 of 4 objects passed" in result.stdout  # two images, the report, and it signed


NO_CONTEXT = (
    "not stored: the peer accepts no presentation context for this SOP class and transfer syntax"
)


@pytest.mark.parametrize(
    ("refused", "fitting", "recommended"),
    [
        ([EncapsulatedPDFStorage], {"ohif", "workstation", "strict", "research"}, "ohif"),
        ([SegmentationStorage], {"orthanc", "workstation", "minimal"}, "orthanc"),
        ([SegmentationStorage, ComprehensiveSRStorage], {"minimal"}, "minimal"),
        ([Comprehensive3DSRStorage], set(PROFILES) - {"strict"}, "general"),
    ],
)
def test_profiles_with_a_refused_sop_class_do_not_fit(
    home: Path, refused: list[str], fitting: set[str], recommended: str
) -> None:
    classes = tuple(sop_class for sop_class in RESULT_CLASSES if sop_class not in refused)
    with run_pacs(classes=classes) as pacs:
        result = run_test(home, pacs.peer.port, pacs.peer.ae_title, ["heatmap-sc"], options=())
    assert result.exit_code == 0, result.output
    found = find_profiles(result)
    assert {name for name, text in found.items() if text.startswith("fits")} == fitting
    assert [name for name, text in found.items() if "recommended" in text] == [recommended]
    for name, profile in PROFILES.items():
        if name not in fitting:
            head, *problems = found[name].splitlines()
            assert head == "does NOT fit"
            specs = {str(spec) for spec in profile.specs}
            assert {line.partition(": ")[0].removeprefix("signed/") for line in problems} <= specs
            assert {line.partition(": ")[2] for line in problems} == {NO_CONTEXT}


def test_a_selection_is_named_where_no_profile_fits(home: Path) -> None:
    refused = (SegmentationStorage, EncapsulatedPDFStorage, KeyObjectSelectionDocumentStorage)
    classes = tuple(sop_class for sop_class in RESULT_CLASSES if sop_class not in refused)
    with run_pacs(classes=classes) as pacs:
        result = run_test(home, pacs.peer.port, pacs.peer.ae_title, ["sr"], options=())
    assert result.exit_code == 0, result.output
    assert not any(text.startswith("fits") for text in find_profiles(result).values())
    assert 'These results passed: results = ["sr", "heatmap-sc"]' in result.stdout


def test_a_profile_does_not_fit_an_archive_that_changes_its_objects(home: Path) -> None:
    def coerce(dataset: Dataset) -> None:
        if dataset.Modality == "SEG":
            dataset.PatientName = "SONOGATE^TEST"

    archive = Archive(coerce=coerce, sop_classes=RESULT_CLASSES)
    with run_archive(archive, StudyRootQueryRetrieveInformationModelGet) as call:
        result = run_test(home, call.peer.port, call.peer.ae_title, ["sr"], options=())
    assert result.exit_code == 0, result.output
    found = find_profiles(result)
    assert "seg: retrieved with DIFFERENT bytes" in found["general"].splitlines()
    assert found["orthanc"] == "fits, recommended"


def test_the_selected_profile_is_marked_and_decides_the_exit_code(home: Path) -> None:
    def run(profile: str) -> Result:
        (home / "routes.toml").write_text(
            f'[[destination]]\nname = "archive"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
            f'port = {pacs.peer.port}\nprofile = "{profile}"\n'
        )
        return CliRunner().invoke(cli, ["destination", "test", "archive", "--commit-seconds", "0"])

    classes = tuple(sop_class for sop_class in RESULT_CLASSES if sop_class != SegmentationStorage)
    with run_pacs(classes=classes) as pacs:
        fitting, refused = run("orthanc"), run("ohif")
    assert (fitting.exit_code, refused.exit_code) == (0, 1)
    assert find_profiles(fitting)["orthanc"] == "fits, selected now, recommended"
    assert find_profiles(refused)["ohif"].startswith("does NOT fit, selected now\nseg: not stored")


# pynetdicom does not close the socket of a refused connection
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_unreachable_pacs_is_one_line_of_output(home: Path, free_port: int) -> None:
    result = run_test(home, free_port, "GONE")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"sonogate: cannot connect to 127.0.0.1:{free_port}")


def test_an_unknown_destination_lists_the_known_ones(home: Path, free_port: int) -> None:
    result = run_test(home, free_port, "PACS", name="elsewhere")
    assert result.exit_code == 1
    assert (
        "no destination 'elsewhere' in the routes file; known destinations: archive"
        in result.stderr
    )
