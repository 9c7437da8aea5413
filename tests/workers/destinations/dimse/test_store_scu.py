import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import JPEGBaseline8Bit

from dicom.files import write_dataset
from dicom.images.ultrasound_image import build_ultrasound_image
from tests import peers
from tests.workers.fake_images import draw_frame, study, write_image
from tests.workers.pacs import CLASSES, run_pacs
from workers.destinations.dimse.association import AssociationRequestor, Peer
from workers.destinations.dimse.store_scu import send
from workers.errors import PeerError


def requestor(
    peer: Peer, *, connect_timeout_seconds: float = 10, response_timeout_seconds: float = 60
) -> AssociationRequestor:
    return AssociationRequestor(peer, "SONOGATE", connect_timeout_seconds, response_timeout_seconds)


@pytest.fixture
def stills(tmp_path: Path) -> list[Path]:
    return [write_image(tmp_path / f"{n}.dcm", draw_frame(), number=n) for n in (1, 2, 3)]


def test_every_file_is_sent_over_one_association(stills: list[Path]) -> None:
    with run_pacs() as pacs:
        outcomes = send(requestor(pacs.peer), stills)
    assert [(o.path, o.status, o.accepted) for o in outcomes] == [(p, 0, True) for p in stills]
    assert pacs.associations == 1
    assert len(pacs.stored) == 3


def test_files_arrive_byte_for_byte(stills: list[Path]) -> None:
    with run_pacs() as pacs:
        send(requestor(pacs.peer), stills[:1])
    [received] = pacs.stored.values()
    assert received
    assert stills[0].read_bytes().endswith(received)


def test_each_transfer_syntax_has_its_own_presentation_context(
    tmp_path: Path, stills: list[Path]
) -> None:
    jpeg = build_ultrasound_image(
        draw_frame(), study=study(), transfer_syntax_uid=JPEGBaseline8Bit, instance_number=9
    )
    write_dataset(jpeg, tmp_path / "jpeg.dcm")
    cine = write_image(tmp_path / "cine.dcm", [draw_frame()] * 2, number=8)
    paths = [stills[0], tmp_path / "jpeg.dcm", cine]
    with run_pacs() as pacs:
        outcomes = send(requestor(pacs.peer), paths)
    assert [outcome.status for outcome in outcomes] == [0, 0, 0]


def test_one_refused_object_does_not_stop_the_others(tmp_path: Path, stills: list[Path]) -> None:
    cine = write_image(tmp_path / "cine.dcm", [draw_frame()] * 2, number=8)
    with run_pacs() as pacs:
        pacs.status_for = lambda sop_class: 0xA900 if sop_class == CLASSES[3] else 0
        outcomes = send(requestor(pacs.peer), [stills[0], cine, stills[1]])
    assert [outcome.status for outcome in outcomes] == [0, 0xA900, 0]
    assert [outcome.accepted for outcome in outcomes] == [True, False, True]
    assert outcomes[1].permanent


def test_an_object_whose_class_the_peer_rejects_is_retried(
    tmp_path: Path, stills: list[Path]
) -> None:
    cine = write_image(tmp_path / "cine.dcm", [draw_frame()] * 2, number=8)
    with run_pacs(classes=CLASSES[2:3]) as pacs:
        outcomes = send(requestor(pacs.peer), [cine, stills[0]])
    assert (outcomes[0].status, outcomes[0].permanent) == (None, False)
    assert "no presentation context for this SOP class" in outcomes[0].problem
    assert outcomes[1].accepted


def test_a_peer_that_accepts_no_context_is_retried(
    stills: list[Path],
) -> None:
    with run_pacs(classes=CLASSES[:1]) as pacs, pytest.raises(PeerError, match="none") as raised:
        send(requestor(pacs.peer), stills)
    assert not raised.value.permanent


def test_a_file_that_is_not_dicom_does_not_stop_the_others(
    tmp_path: Path, stills: list[Path]
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    with run_pacs() as pacs:
        outcomes = send(requestor(pacs.peer), [notes, stills[0]])
    assert [outcome.accepted for outcome in outcomes] == [False, True]
    assert "not a DICOM file" in outcomes[0].problem
    assert outcomes[0].permanent
    assert not send(requestor(Peer("PACS", "127.0.0.1", 1)), [notes])[0].accepted


def test_an_unreachable_peer_is_retried(stills: list[Path], free_port: int) -> None:
    with pytest.raises(PeerError, match=f"cannot connect to 127.0.0.1:{free_port}") as raised:
        send(requestor(Peer("PACS", "127.0.0.1", free_port)), stills)
    assert not raised.value.permanent


def test_a_host_name_that_does_not_resolve_is_unreachable(stills: list[Path]) -> None:
    with pytest.raises(PeerError, match="cannot connect"):
        send(requestor(Peer("PACS", "no-such-host.invalid", 104)), stills)


def test_a_peer_that_does_not_recognize_the_calling_ae_title_is_retried(
    stills: list[Path],
) -> None:
    with (
        run_pacs(known_callers=("SOMEONE",)) as pacs,
        pytest.raises(PeerError, match="calling AE title 'SONOGATE' not recognized") as raised,
    ):
        send(requestor(pacs.peer), stills)
    assert not raised.value.permanent


def test_a_wrong_called_ae_title_is_named_and_retried(stills: list[Path]) -> None:
    with run_pacs() as pacs:
        elsewhere = Peer("OTHER", pacs.peer.host, pacs.peer.port)
        with pytest.raises(PeerError, match="called AE title 'OTHER' not recognized") as raised:
            send(requestor(elsewhere), stills)
    assert not raised.value.permanent


def test_a_peer_with_too_many_associations_is_retried(stills: list[Path]) -> None:
    busy, over = threading.Event(), threading.Event()

    def answer_late(_: str) -> int:
        busy.set()
        over.wait(10)
        return 0

    with run_pacs(maximum_associations=1) as pacs:
        pacs.status_for = answer_late
        other = threading.Thread(target=send, args=(requestor(pacs.peer), stills[:1]))
        other.start()
        assert busy.wait(10)
        with pytest.raises(PeerError, match="local limit of associations exceeded") as raised:
            send(requestor(pacs.peer), stills[1:])
        over.set()
        other.join()
    assert not raised.value.permanent


@pytest.fixture
def silent_peer() -> Iterator[Peer]:
    """A peer that accepts the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Peer("PACS", "127.0.0.1", server.getsockname()[1])


def test_a_peer_that_never_answers_times_out(stills: list[Path], silent_peer: Peer) -> None:
    with pytest.raises(PeerError, match="did not answer the association request") as raised:
        send(requestor(silent_peer, connect_timeout_seconds=0.3), stills)
    assert not raised.value.permanent


def test_a_file_that_cannot_be_read_is_retried(stills: list[Path]) -> None:
    aside = stills[0].rename(stills[0].with_suffix(".aside"))
    with run_pacs() as pacs:
        outcomes = send(requestor(pacs.peer), stills[:2])
        assert [outcome.accepted for outcome in outcomes] == [False, True]
        assert outcomes[0].problem == "the local file cannot be read: No such file or directory"
        assert not outcomes[0].permanent
        aside.rename(stills[0])
        assert send(requestor(pacs.peer), stills[:1])[0].accepted


def test_objects_after_one_at_which_the_peer_aborts_are_sent(
    tmp_path: Path, stills: list[Path]
) -> None:
    cines = [write_image(tmp_path / f"{n}.dcm", [draw_frame()] * 2, number=n) for n in (8, 9)]
    with run_pacs() as pacs:
        pacs.status_for = lambda sop_class: pacs.abort() if sop_class == CLASSES[3] else 0
        outcomes = send(requestor(pacs.peer, response_timeout_seconds=2), [*cines, *stills])
    assert [outcome.status for outcome in outcomes] == [None, None, 0, 0, 0]
    assert not any(outcome.permanent for outcome in outcomes)
    assert len(pacs.received) == 5
    assert pacs.associations == 3


def test_objects_are_not_sent_if_the_peer_aborts_and_rejects_the_next_association(
    stills: list[Path],
) -> None:
    with run_pacs() as pacs:
        pacs.status_for = lambda _: pacs.abort(reject_later=True)
        outcomes = send(requestor(pacs.peer, response_timeout_seconds=2), stills)
    assert [outcome.status for outcome in outcomes] == [None, None, None]
    assert outcomes[0].problem == "no response: the peer timed out or closed the connection"
    for outcome in outcomes[1:]:
        assert outcome.problem.startswith("not sent: the peer rejected the association")
    assert not any(outcome.permanent for outcome in outcomes)
    assert len(pacs.received) == 1


def test_a_peer_that_does_not_answer_c_store_times_out(stills: list[Path]) -> None:
    over = threading.Event()

    def answer_late(_: str) -> int:
        over.wait(10)
        return 0

    with run_pacs() as pacs:
        pacs.status_for = answer_late
        outcomes = send(requestor(pacs.peer, response_timeout_seconds=0.3), stills[:2])
        over.set()
    assert [outcome.status for outcome in outcomes] == [None, None]


def test_a_peer_that_never_answers_c_store_is_not_tried_forever(stills: list[Path]) -> None:
    over = threading.Event()

    def answer_late(_: str) -> int:
        over.wait(10)
        return 0

    with run_pacs(maximum_associations=50) as pacs:
        pacs.status_for = answer_late
        outcomes = send(requestor(pacs.peer, response_timeout_seconds=0.02), stills * 10)
        over.set()
    assert len(pacs.received) < 30  # 0.2 s of timeouts in a row
    assert outcomes[-1].problem == "not sent: the peer took too long for the other objects"


@pytest.mark.peer
def test_dcmtk_accepts_what_we_send(tmp_path: Path, stills: list[Path], free_port: int) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    command = [peers.find_program("storescp"), "-od", str(inbox), "-aet", "PACS", str(free_port)]
    with peers.run_process(command, log=tmp_path / "storescp.log"):
        peers.wait_until(lambda: peers.is_listening(free_port), seconds=15, what="storescp")
        peer = Peer("PACS", "127.0.0.1", free_port)
        outcomes = send(requestor(peer), stills)
    assert all(outcome.accepted for outcome in outcomes)
    assert {dcmread(path).SOPInstanceUID for path in inbox.iterdir()} == {
        dcmread(path).SOPInstanceUID for path in stills
    }


@pytest.mark.peer
def test_a_rejection_by_dcmtk_is_reported(
    tmp_path: Path, stills: list[Path], free_port: int
) -> None:
    command = [peers.find_program("storescp"), "--refuse", "-od", str(tmp_path), str(free_port)]
    with peers.run_process(command, log=tmp_path / "storescp.log"):
        peers.wait_until(lambda: peers.is_listening(free_port), seconds=15, what="storescp")
        with pytest.raises(PeerError, match="rejected the association") as raised:
            send(requestor(Peer("PACS", "127.0.0.1", free_port)), stills)
    assert not raised.value.permanent  # DCMTK gives no reason


def test_it_needs_neither_tensorflow_nor_celery() -> None:
    check = (
        "import sys, workers.destinations.dimse.store_scu;"
        "sys.exit(bool({'tensorflow', 'keras', 'celery', 'sqlalchemy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
