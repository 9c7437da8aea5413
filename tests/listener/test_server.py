"""The listener over real sockets, with pynetdicom as the sender."""

import json
import logging
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundImageStorage,
    generate_uid,
)
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from sqlalchemy import select

from db.engine import Database
from db.errors import SettingsError
from db.schema import Job
from dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.contexts import RETIRED_CLASSES, STORAGE_CLASSES, TRANSFER_SYNTAXES
from listener.errors import CannotListen
from listener.server import Listener
from tests import peers
from tests.listener.conftest import RunningListener, StartListener, settings_for
from tests.listener.images import PATIENT, PATIENT_ID, image, save, sibling
from tests.listener.sending import (
    ULTRASOUND,
    VERIFICATION,
    association,
    data_set_bytes,
    get_rejection,
    is_rejected_temporarily,
    request,
    send,
    send_broken,
    send_file,
    send_half,
)


def status_of(answer: Dataset) -> int:
    status: int = answer.Status
    return status


# ------------------------------------------------------------------------------ accepted objects


def test_it_answers_an_echo(listener: RunningListener) -> None:
    with association(listener.port, [VERIFICATION]) as opened:
        assert status_of(opened.send_c_echo()) == 0x0000


def test_it_states_its_implementation_to_the_sender_and_in_files(
    listener: RunningListener,
) -> None:
    with association(listener.port, [ULTRASOUND]) as opened:
        assert opened.acceptor.implementation_class_uid == IMPLEMENTATION_CLASS_UID
        assert opened.acceptor.implementation_version_name == IMPLEMENTATION_VERSION_NAME
    assert send(listener.port, image()) == [0x0000]
    (row,) = listener.instances()
    meta = dcmread(listener.files / row.file, stop_before_pixels=True).file_meta
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME


def test_every_class_negotiates_in_every_transfer_syntax(listener: RunningListener) -> None:
    contexts = [
        build_context(sop_class, syntax)
        for syntax in TRANSFER_SYNTAXES
        for sop_class in STORAGE_CLASSES
    ]
    for start in range(0, len(contexts), 128):
        batch = contexts[start : start + 128]
        with association(listener.port, batch) as opened:
            assert len(opened.accepted_contexts) == len(batch)
            assert not opened.rejected_contexts


def test_it_stores_every_transfer_syntax_bit_for_bit(
    listener: RunningListener, tmp_path: Path
) -> None:
    sent = {}
    contexts = [build_context(UltrasoundImageStorage, syntax) for syntax in TRANSFER_SYNTAXES]
    with association(listener.port, contexts) as opened:
        for number, syntax in enumerate(TRANSFER_SYNTAXES):
            dataset = image(transfer_syntax=syntax, size_bytes=192_000)
            path = save(dataset, tmp_path / f"{number}.dcm")
            assert send_file(opened, path) == 0x0000
            sent[dataset.SOPInstanceUID] = (syntax, path)
    for row in listener.instances():
        syntax, path = sent.pop(row.sop_instance_uid)
        stored = listener.files / row.file
        assert row.transfer_syntax_uid == dcmread(stored).file_meta.TransferSyntaxUID == syntax
        assert data_set_bytes(stored) == data_set_bytes(path)
    assert not sent


@pytest.mark.parametrize("sop_class", RETIRED_CLASSES.values())
def test_it_stores_the_retired_ultrasound_classes(
    listener: RunningListener, sop_class: str
) -> None:
    assert send(listener.port, image(sop_class=sop_class)) == [0x0000]
    assert [row.sop_class_uid for row in listener.instances()] == [sop_class]


def test_it_prefers_lossless_transfer_syntaxes(listener: RunningListener) -> None:
    proposal = build_context(
        UltrasoundImageStorage, [JPEGBaseline8Bit, ImplicitVRLittleEndian, ExplicitVRLittleEndian]
    )
    with association(listener.port, [proposal]) as opened:
        (accepted,) = opened.accepted_contexts
    assert accepted.transfer_syntax == [ExplicitVRLittleEndian]


def test_a_stored_file_is_a_dicom_file_with_its_row(
    start_listener: StartListener, database: Database
) -> None:
    listener = start_listener(database)
    dataset = image()
    assert send(listener.port, dataset) == [0x0000]
    (row,) = listener.instances()
    (path,) = listener.stored_files()
    assert listener.files / row.file == path
    assert row.size_bytes == path.stat().st_size
    assert path.read_bytes()[:132] == b"\0" * 128 + b"DICM"
    meta = dcmread(path).file_meta
    assert meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID == row.sop_instance_uid
    assert row.source_ae == "MODALITY"
    assert row.source_address == "127.0.0.1"
    assert not listener.incoming_files()
    assert listener.counts() == {"stored": 1}
    (event,) = listener.events("listener:instance:stored")
    assert event["sha256"] == row.sha256


def test_stable_after_seconds_are_those_of_the_sender(
    start_listener: StartListener, sqlite_database: Database, tmp_path: Path
) -> None:
    source = '[[source]]\nae_title = "MODALITY"\nstable_after_seconds = 120\n'
    (tmp_path / "routes.toml").write_text(source)
    listener = start_listener(sqlite_database)
    send(listener.port, image())
    (row,) = listener.instances()
    with sqlite_database.read() as session:
        job = session.scalars(select(Job)).one()
    transfer = job.due_at - row.received_at - timedelta(seconds=120)
    assert timedelta(0) <= transfer < timedelta(seconds=20)


def test_simultaneous_associations_store_one_study(
    start_listener: StartListener, database: Database
) -> None:
    listener = start_listener(database)
    first = image()
    batches = [[sibling(first) for _ in range(4)] for _ in range(6)]
    with ThreadPoolExecutor(6) as senders:
        answers = list(senders.map(lambda batch: send(listener.port, *batch), batches))
    assert answers == [[0x0000] * 4] * 6
    assert len(listener.instances()) == len(listener.stored_files()) == 24
    assert listener.counts() == {"stored": 24}


def test_an_object_without_pixels_is_stored(listener: RunningListener) -> None:
    assert send(listener.port, image(PixelData=None)) == [0x0000]
    assert len(listener.instances()) == 1


def tags(dataset: Dataset) -> set[int]:
    """All but group lengths, which DCMTK adds and leaves out as it likes."""
    return {element.tag for element in dataset if element.tag.element}


@pytest.mark.peer
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("US1_UNCI.dcm", ""),
        ("US1_J2KR.dcm", "-xv"),
        ("examples_ybr_color.dcm", "-xy"),
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", "-xs"),
        ("OBXXXX1A_rle.dcm", "-xr"),
        ("ExplVR_BigEnd.dcm", "-xb"),
    ],
)
def test_it_stores_objects_from_dcmtk(
    listener: RunningListener, shared_data: Path, name: str, option: str
) -> None:
    storescu = peers.find_program("storescu")
    file = shared_data / "dicom" / name
    command = [storescu, *filter(None, [option]), "127.0.0.1", str(listener.port), str(file)]
    subprocess.run(command, check=True, capture_output=True)
    (row,) = listener.instances()
    sent = dcmread(file)
    stored = dcmread(listener.files / row.file)
    assert stored.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    assert stored.PixelData == sent.PixelData
    assert tags(stored) == tags(sent)


@pytest.mark.peer
def test_it_stores_everything_that_dcmsend_sends(listener: RunningListener, tmp_path: Path) -> None:
    sent = {}
    for number, syntax in enumerate(TRANSFER_SYNTAXES):
        dataset = image(transfer_syntax=syntax, size_bytes=192_000)
        sent[dataset.SOPInstanceUID] = save(dataset, tmp_path / f"{number}.dcm")
    # it leaves out the transfer syntaxes that it does not know: DCMTK 3.6.7 knows 22
    command = [peers.find_program("dcmsend"), "-dn", "-nh", "127.0.0.1", str(listener.port)]
    subprocess.run([*command, *map(str, sent.values())], check=True, capture_output=True)
    assert len(listener.instances()) >= 20
    for row in listener.instances():
        stored, path = dcmread(listener.files / row.file), dcmread(sent[row.sop_instance_uid])
        syntax = path.file_meta.TransferSyntaxUID
        if syntax.is_encapsulated:  # dcmsend itself changes the others to the one accepted first
            assert stored.file_meta.TransferSyntaxUID == syntax
        assert stored.PixelData == path.PixelData


def call(url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, body, timeout=60) as answer:  # noqa: S310  loopback
        content: bytes = answer.read()
    return content


@pytest.mark.peer
def test_it_stores_what_orthanc_sends(
    listener: RunningListener, shared_data: Path, tmp_path: Path
) -> None:
    file = shared_data / "dicom" / "US1_UNCI.dcm"
    with peers.orthanc(tmp_path) as pacs:
        pacs.register_modality("SONOGATE", listener.port)
        pacs.store(file)
        (instance,) = json.loads(call(f"{pacs.url}/instances"))
        call(f"{pacs.url}/modalities/SONOGATE/store", instance.encode())
    (row,) = listener.instances()
    assert dcmread(listener.files / row.file).PixelData == dcmread(file).PixelData
    assert row.source_ae == pacs.ae_title


@pytest.mark.peer
def test_dcmtk_can_echo(listener: RunningListener) -> None:
    subprocess.run([peers.find_program("echoscu"), "127.0.0.1", str(listener.port)], check=True)


# ------------------------------------------------------------------------------ accepted senders

ONLY_ONE_SOURCE = '[[source]]\nae_title = "KNOWN"\nstable_after_seconds = 3\n'


def is_rejected(answer: Association, reason: int) -> bool:
    """A permanent rejection by the service user (PS3.8 9.3.4)."""
    return get_rejection(answer) == (1, 1, reason)


def test_it_rejects_an_unknown_ae_title(
    start_listener: StartListener, sqlite_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "routes.toml").write_text(ONLY_ONE_SOURCE)
    listener = start_listener(sqlite_database)
    assert is_rejected(request(listener.port, ae_title="STRANGER"), reason=3)
    with association(listener.port, ae_title="KNOWN"):
        pass
    listener.wait_for_counts({"association-refused:unknown-source": 1})
    (event,) = listener.events("listener:association:refused")
    assert event == {
        "calling_ae": "STRANGER",
        "address": "127.0.0.1",
        "code": "unknown-source",
    }


def test_it_rejects_a_known_ae_title_from_another_address(
    start_listener: StartListener, sqlite_database: Database, tmp_path: Path
) -> None:
    source = '[[source]]\nae_title = "MODALITY"\naddresses = ["10.1.2.0/24"]\n'
    (tmp_path / "routes.toml").write_text(source)
    assert is_rejected(request(start_listener(sqlite_database).port), reason=3)


def test_it_rejects_another_called_ae_title_when_configured(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_require_called_ae_title=True)
    assert is_rejected(request(listener.port, called="SOMEONE"), reason=7)
    with association(listener.port):
        pass
    listener.wait_for_counts({"association-refused:unknown-called-ae": 1})


def test_it_accepts_any_called_ae_title_by_default(listener: RunningListener) -> None:
    answer = request(listener.port, called="SOMEONE")
    assert answer.is_established
    answer.release()


def test_an_association_over_the_limit_is_rejected_temporarily(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_max_associations=1)
    with association(listener.port):
        answer = request(listener.port)
        rejection = get_rejection(answer)
        assert rejection is not None
        assert rejection[0] == 2  # transient: the sender may try again
    listener.wait_for_counts({"association-refused:too-many-associations": 1})


def test_a_sender_removed_during_its_association_is_not_authorized(
    start_listener: StartListener, sqlite_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "routes.toml").write_text('[[source]]\nae_title = "MODALITY"\n')
    listener = start_listener(sqlite_database)
    with association(listener.port) as opened:
        assert status_of(opened.send_c_store(image())) == 0x0000
        (tmp_path / "routes.toml").write_text(ONLY_ONE_SOURCE)
        assert status_of(opened.send_c_store(image())) == 0x0124
    assert len(listener.instances()) == 1


def test_a_rejected_context_is_audited_once_and_counted_every_time(
    listener: RunningListener,
) -> None:
    for _ in range(2):
        with association(
            listener.port, [ULTRASOUND, build_context(CTImageStorage, ExplicitVRLittleEndian)]
        ) as opened:
            assert [c.abstract_syntax for c in opened.rejected_contexts] == [CTImageStorage]
            assert status_of(opened.send_c_store(image())) == 0x0000
    assert listener.counts() == {"context-rejected": 2, "stored": 2}
    (event,) = listener.events("listener:context:rejected")
    assert event["calling_ae"] == "MODALITY"
    assert event["contexts"] == [
        {
            "abstract_syntax": CTImageStorage,
            "name": "CT Image Storage",
            "reason": "abstract-syntax-not-supported",
            "transfer_syntax": "",
        }
    ]


def test_an_unknown_transfer_syntax_is_recorded(listener: RunningListener) -> None:
    private = "1.2.840.113619.5.2"
    answer = request(listener.port, [build_context(UltrasoundImageStorage, private)])
    assert not answer.is_established
    listener.wait_for_counts({"context-rejected": 1})
    (event,) = listener.events("listener:context:rejected")
    assert event["contexts"][0]["transfer_syntax"] == private
    assert event["contexts"][0]["reason"] == "transfer-syntaxes-not-supported"


# ------------------------------------------------------------------------------ refused objects


def assert_refused(listener: RunningListener, code: str, status: str, *, times: int = 1) -> None:
    """Equal events within a second are one audit event."""
    assert not listener.instances()
    assert not listener.stored_files()
    assert not listener.incoming_files()
    assert listener.counts() == {f"refused:{code}": times}
    event: dict[str, object] = {
        "calling_ae": "MODALITY",
        "address": "127.0.0.1",
        "code": code,
        "status": status,
    }
    if times > 1:
        event["times"] = times
    assert listener.events("listener:instance:refused") == [event]


def test_an_instance_uid_other_than_the_requests_is_refused(listener: RunningListener) -> None:
    dataset = image()
    with association(listener.port) as opened:
        assert send_broken(opened, dataset, announced=generate_uid()) == 0xA900
    assert_refused(listener, "identity-mismatch", "A900")


def test_a_data_set_without_a_study_is_refused(listener: RunningListener) -> None:
    with association(listener.port) as opened:
        assert send_broken(opened, image(StudyInstanceUID=None)) == 0xA900
    assert_refused(listener, "invalid-header", "A900")


def test_a_class_other_than_the_contexts_is_refused(listener: RunningListener) -> None:
    dataset = image(sop_class=STORAGE_CLASSES[1])
    with association(listener.port) as opened:
        assert send_broken(opened, dataset) == 0xA900
    assert_refused(listener, "identity-mismatch", "A900")


def test_a_truncated_data_set_is_refused(listener: RunningListener) -> None:
    with association(listener.port) as opened:
        assert send_broken(opened, image(), cut_bytes=1000) == 0xC000
    assert_refused(listener, "truncated-file", "C000")


def test_random_bytes_are_refused(listener: RunningListener) -> None:
    with association(listener.port) as opened:
        status = send_broken(opened, image(), instead=b"\xff\x00garbage\x01" * 300)
        assert status in (0xA900, 0xC000)
        assert status_of(opened.send_c_store(image())) == 0x0000  # the association continues
    assert len(listener.instances()) == 1
    assert listener.events("listener:instance:refused")


def test_a_full_disk_is_out_of_resources_and_nothing_is_written(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, min_free_bytes=2**62)
    assert send(listener.port, image(), image()) == [0xA700, 0xA700]
    assert_refused(listener, "disk-full", "A700", times=2)
    assert not listener.server.ready()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_during_a_transfer_refuses_only_that_object(
    start_listener: StartListener, sqlite_database: Database, tiny_disk: Path
) -> None:
    listener = start_listener(sqlite_database, home=tiny_disk)
    with association(listener.port) as opened:
        assert status_of(opened.send_c_store(image(size_bytes=64 * 40_000))) == 0xA700
        assert not listener.incoming_files()
        assert status_of(opened.send_c_store(image(size_bytes=64 * 4_000))) == 0x0000
    assert len(listener.instances()) == len(listener.stored_files()) == 1
    listener.server.stop()  # releases the disk


def test_objects_are_stored_while_the_database_is_down(
    start_listener: StartListener, sqlite_database: Database, tmp_path: Path
) -> None:
    broken = Database(f"sqlite:///{tmp_path / 'never-migrated.db'}")
    server = start_listener(broken).server
    dataset = image()
    assert send(server.port, dataset) == [0x0000]
    assert server.ready()
    broken.close()
    (row,) = RunningListener(server, sqlite_database).instances()
    assert row.sop_instance_uid == dataset.SOPInstanceUID


def test_a_backlog_that_is_too_long_is_out_of_resources(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_max_backlog_files=2)
    assert send(listener.port, image(), image()) == [0x0000] * 2
    peers.wait_until(
        lambda: send(listener.port, image()) == [0xA700], seconds=5, what="the next count"
    )
    assert listener.counts()["refused:backlog-too-long"] == 1


def test_the_error_comment_explains_the_failure(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, min_free_bytes=2**62)
    with association(listener.port) as opened:
        answer = opened.send_c_store(image())
    assert answer.ErrorComment == "Disk full, try again later"


def test_no_log_line_names_the_patient_or_the_objects(
    listener: RunningListener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    first = image()
    other = sibling(first, SOPInstanceUID=first.SOPInstanceUID, content=1)
    assert send(listener.port, first, first, other) == [0x0000] * 3
    with association(listener.port) as opened:
        send_broken(opened, image(StudyInstanceUID=None))
        send_broken(opened, image(), cut_bytes=900)
    lines = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("listener"))
    assert "stored" in lines
    for secret in (PATIENT, "Jane", PATIENT_ID, first.SOPInstanceUID, first.StudyInstanceUID):
        assert secret not in lines


# ------------------------------------------------------------------------------ start and stop


def test_a_port_in_use_is_an_error(
    listener: RunningListener, sqlite_database: Database, tmp_path: Path
) -> None:
    second = Listener(settings_for(tmp_path, sqlite_database, dicom_port=listener.port))
    with pytest.raises(CannotListen, match="SONOGATE_DICOM_PORT"):
        second.start()


def test_an_invalid_routes_file_prevents_the_start(
    sqlite_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "routes.toml").write_text("[[source]]\nae_titel = 'X'\n")
    with pytest.raises(SettingsError, match="ae_titel"):
        Listener(settings_for(tmp_path, sqlite_database))


def test_stop_lets_an_open_association_finish_and_refuses_new_ones_for_the_time_being(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_stop_grace_seconds=60)
    port = listener.port
    with association(port) as opened:
        stopping = Thread(target=listener.server.stop)
        stopping.start()
        peers.wait_until(lambda: is_rejected_temporarily(port), seconds=5, what="the stop")
        assert status_of(opened.send_c_store(image())) == 0x0000
    stopping.join(10)
    assert not stopping.is_alive()
    assert not peers.is_listening(port)
    assert len(listener.instances()) == 1


def test_stop_releases_an_idle_association_after_the_grace_period(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_stop_grace_seconds=0.2)
    opened = request(listener.port)
    listener.server.stop()
    peers.wait_until(lambda: not opened.is_established, seconds=5, what="the release")
    assert opened.is_released
    assert not opened.is_aborted


def test_stop_breaks_off_an_object_that_outlasts_the_grace_period(
    start_listener: StartListener, sqlite_database: Database
) -> None:
    listener = start_listener(sqlite_database, dicom_stop_grace_seconds=0.2)
    send_half(request(listener.port), image(size_bytes=64 * 4_000))
    peers.wait_until(lambda: bool(listener.incoming_files()), seconds=5, what="the incoming file")
    listener.server.stop()
    assert not listener.incoming_files()


def test_it_is_ready_from_start_to_stop(sqlite_database: Database, tmp_path: Path) -> None:
    with Listener(settings_for(tmp_path, sqlite_database)) as listener:
        assert listener.ready()
    assert not listener.ready()
