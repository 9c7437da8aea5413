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
from tests.workers.pacs import CLASSES, pacs
from tests.workers.painted import picture, study, write
from workers.errors import PeerError
from workers.peers.store_scu import Peer, answer, echo, send

SONOGATE = {"calling_ae": "SONOGATE"}


@pytest.fixture
def stills(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{n}.dcm", picture(), number=n) for n in (1, 2, 3)]


def test_it_sends_every_file_over_one_association(stills: list[Path]) -> None:
    with pacs() as there:
        outcomes = send(stills, there.peer, calling_ae="SONOGATE")
    assert [(o.path, o.status, o.accepted) for o in outcomes] == [(p, 0, True) for p in stills]
    assert there.associations == 1
    assert len(there.kept) == 3


def test_what_arrives_is_what_is_in_the_file_byte_for_byte(stills: list[Path]) -> None:
    with pacs() as there:
        send(stills[:1], there.peer, calling_ae="SONOGATE")
    [received] = there.kept.values()
    assert received
    assert stills[0].read_bytes().endswith(received)


def test_each_transfer_syntax_has_a_context_of_its_own(tmp_path: Path, stills: list[Path]) -> None:
    jpeg = build_ultrasound_image(
        picture(), study=study(), transfer_syntax_uid=JPEGBaseline8Bit, instance_number=9
    )
    write_dataset(jpeg, tmp_path / "jpeg.dcm")
    cine = write(tmp_path / "cine.dcm", [picture()] * 2, number=8)
    paths = [stills[0], tmp_path / "jpeg.dcm", cine]
    with pacs() as there:
        outcomes = send(paths, there.peer, calling_ae="SONOGATE")
    assert [outcome.status for outcome in outcomes] == [0, 0, 0]


def test_one_refused_object_does_not_stop_the_others(tmp_path: Path, stills: list[Path]) -> None:
    cine = write(tmp_path / "cine.dcm", [picture()] * 2, number=8)
    with pacs() as there:
        there.answer = lambda sop_class: 0xA900 if sop_class == CLASSES[3] else 0
        outcomes = send([stills[0], cine, stills[1]], there.peer, calling_ae="SONOGATE")
    assert [outcome.status for outcome in outcomes] == [0, 0xA900, 0]
    assert [outcome.accepted for outcome in outcomes] == [True, False, True]
    assert outcomes[1].permanent


def test_an_object_whose_class_the_peer_does_not_take_yet_is_offered_again_later(
    tmp_path: Path, stills: list[Path]
) -> None:
    cine = write(tmp_path / "cine.dcm", [picture()] * 2, number=8)
    with pacs(classes=CLASSES[2:3]) as there:
        outcomes = send([cine, stills[0]], there.peer, calling_ae="SONOGATE")
    assert (outcomes[0].status, outcomes[0].permanent) == (None, False)
    assert "takes neither" in outcomes[0].problem
    assert outcomes[1].accepted


def test_a_peer_that_takes_nothing_of_it_may_be_configured_by_the_next_time(
    stills: list[Path],
) -> None:
    with pacs(classes=CLASSES[:1]) as there, pytest.raises(PeerError, match="none") as raised:
        send(stills, there.peer, calling_ae="SONOGATE")
    assert not raised.value.permanent


def test_a_file_that_is_not_dicom_is_told_and_the_rest_goes(
    tmp_path: Path, stills: list[Path]
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    with pacs() as there:
        outcomes = send([notes, stills[0]], there.peer, calling_ae="SONOGATE")
    assert [outcome.accepted for outcome in outcomes] == [False, True]
    assert "not a DICOM file" in outcomes[0].problem
    assert outcomes[0].permanent
    assert not send([notes], Peer("PACS", "127.0.0.1", 1), calling_ae="SONOGATE")[0].accepted


@pytest.mark.parametrize(
    ("status", "accepted", "permanent"),
    [
        (0x0000, True, False),
        (0xB000, True, False),
        (0xB006, True, False),
        (0xB007, True, False),
        (0x0107, True, False),
        (0x0111, True, False),
        (0xA700, False, False),
        (0x0110, False, False),
        (0x0122, False, True),
        (0x0124, False, False),
        (0xA900, False, True),
        (0xC000, False, True),
        (0xC123, False, True),
        (0x9999, False, False),
    ],
)
def test_statuses_mean_what_the_standard_says(status: int, accepted: bool, permanent: bool) -> None:
    outcome = answer(Path("x.dcm"), status)
    assert (outcome.accepted, outcome.permanent) == (accepted, permanent)
    assert (f"{status:04X}" in outcome.problem) is not accepted


def test_an_absent_peer_may_come_back(stills: list[Path], free_port: int) -> None:
    with pytest.raises(PeerError, match=f"nothing answers at 127.0.0.1:{free_port}") as raised:
        send(stills, Peer("PACS", "127.0.0.1", free_port), calling_ae="SONOGATE")
    assert not raised.value.permanent


def test_a_host_that_does_not_resolve_is_absent(stills: list[Path]) -> None:
    with pytest.raises(PeerError, match="nothing answers"):
        send(stills, Peer("PACS", "no-such-host.invalid", 104), calling_ae="SONOGATE")


def test_a_peer_that_does_not_know_us_may_have_learned_our_name_by_the_next_time(
    stills: list[Path],
) -> None:
    with (
        pacs(known_callers=("SOMEONE",)) as there,
        pytest.raises(PeerError, match="does not know our AE title 'SONOGATE'") as raised,
    ):
        send(stills, there.peer, calling_ae="SONOGATE")
    assert not raised.value.permanent


def test_a_wrong_called_ae_title_is_told_and_tried_again(stills: list[Path]) -> None:
    with pacs() as there:
        elsewhere = Peer("OTHER", there.peer.host, there.peer.port)
        with pytest.raises(PeerError, match="its AE title is not 'OTHER'") as raised:
            send(stills, elsewhere, calling_ae="SONOGATE")
    assert not raised.value.permanent


def test_a_peer_with_too_many_associations_is_asked_again(stills: list[Path]) -> None:
    busy, over = threading.Event(), threading.Event()

    def ponder(_: str) -> int:
        busy.set()
        over.wait(10)
        return 0

    with pacs(maximum_associations=1) as there:
        there.answer = ponder
        other = threading.Thread(target=send, args=(stills[:1], there.peer), kwargs=SONOGATE)
        other.start()
        assert busy.wait(10)
        with pytest.raises(PeerError, match="as many associations as it can") as raised:
            send(stills[1:], there.peer, calling_ae="SONOGATE")
        over.set()
        other.join()
    assert not raised.value.permanent


@pytest.fixture
def deaf() -> Iterator[Peer]:
    """Takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Peer("PACS", "127.0.0.1", server.getsockname()[1])


def test_a_peer_that_never_answers_times_out(stills: list[Path], deaf: Peer) -> None:
    with pytest.raises(PeerError, match="broke off") as raised:
        send(stills, deaf, calling_ae="SONOGATE", connect_seconds=0.3)
    assert not raised.value.permanent


def test_a_store_that_went_away_may_come_back(stills: list[Path]) -> None:
    aside = stills[0].rename(stills[0].with_suffix(".aside"))
    with pacs() as there:
        outcomes = send(stills[:2], there.peer, calling_ae="SONOGATE")
        assert [outcome.accepted for outcome in outcomes] == [False, True]
        assert outcomes[0].problem == "our file cannot be read: No such file or directory"
        assert not outcomes[0].permanent
        aside.rename(stills[0])
        assert send(stills[:1], there.peer, calling_ae="SONOGATE")[0].accepted


def test_an_object_at_which_the_peer_breaks_off_does_not_keep_the_others_from_it(
    tmp_path: Path, stills: list[Path]
) -> None:
    cines = [write(tmp_path / f"{n}.dcm", [picture()] * 2, number=n) for n in (8, 9)]
    with pacs() as there:
        there.answer = lambda sop_class: there.break_off() if sop_class == CLASSES[3] else 0
        outcomes = send([*cines, *stills], there.peer, calling_ae="SONOGATE", answer_seconds=2)
    assert [outcome.status for outcome in outcomes] == [None, None, 0, 0, 0]
    assert not any(outcome.permanent for outcome in outcomes)
    assert len(there.asked) == 5
    assert there.associations == 3


def test_a_peer_that_breaks_off_and_takes_no_more_calls_leaves_the_rest_unsent(
    stills: list[Path],
) -> None:
    with pacs() as there:
        there.answer = lambda _: there.break_off(for_good=True)
        outcomes = send(stills, there.peer, calling_ae="SONOGATE", answer_seconds=2)
    assert [outcome.status for outcome in outcomes] == [None, None, None]
    assert outcomes[0].problem == "no answer: the peer timed out or broke off"
    for outcome in outcomes[1:]:
        assert outcome.problem.startswith("not sent: the peer rejected the association")
    assert not any(outcome.permanent for outcome in outcomes)
    assert len(there.asked) == 1


def test_a_peer_that_does_not_answer_a_store_times_out(stills: list[Path]) -> None:
    over = threading.Event()

    def ponder(_: str) -> int:
        over.wait(10)
        return 0

    with pacs() as there:
        there.answer = ponder
        outcomes = send(stills[:2], there.peer, calling_ae="SONOGATE", answer_seconds=0.3)
        over.set()
    assert [outcome.status for outcome in outcomes] == [None, None]


def test_a_peer_that_never_answers_a_store_is_not_asked_without_end(stills: list[Path]) -> None:
    over = threading.Event()

    def ponder(_: str) -> int:
        over.wait(10)
        return 0

    with pacs(maximum_associations=50) as there:
        there.answer = ponder
        outcomes = send(stills * 10, there.peer, calling_ae="SONOGATE", answer_seconds=0.02)
        over.set()
    assert len(there.asked) < 30  # 0.2 s of patience, 0.6 s of silence
    assert outcomes[-1].problem == "not sent: the peer took too long over the others"


def test_echo_is_answered() -> None:
    with pacs() as there:
        echo(there.peer, calling_ae="SONOGATE")


def test_echo_tells_why_not(free_port: int) -> None:
    with pytest.raises(PeerError, match="is the PACS running"):
        echo(Peer("PACS", "127.0.0.1", free_port), calling_ae="SONOGATE")


@pytest.mark.peer
def test_dcmtk_takes_what_we_send(tmp_path: Path, stills: list[Path], free_port: int) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    command = [peers.find_program("storescp"), "-od", str(inbox), "-aet", "PACS", str(free_port)]
    with peers.run_process(command, log=tmp_path / "storescp.log"):
        peers.wait_until(lambda: peers.is_listening(free_port), seconds=15, what="storescp")
        peer = Peer("PACS", "127.0.0.1", free_port)
        echo(peer, calling_ae="SONOGATE")
        outcomes = send(stills, peer, calling_ae="SONOGATE")
    assert all(outcome.accepted for outcome in outcomes)
    assert {dcmread(path).SOPInstanceUID for path in inbox.iterdir()} == {
        dcmread(path).SOPInstanceUID for path in stills
    }


@pytest.mark.peer
def test_dcmtk_refuses_us_and_we_understand(
    tmp_path: Path, stills: list[Path], free_port: int
) -> None:
    command = [peers.find_program("storescp"), "--refuse", "-od", str(tmp_path), str(free_port)]
    with peers.run_process(command, log=tmp_path / "storescp.log"):
        peers.wait_until(lambda: peers.is_listening(free_port), seconds=15, what="storescp")
        with pytest.raises(PeerError, match="rejected the association") as raised:
            send(stills, Peer("PACS", "127.0.0.1", free_port), calling_ae="SONOGATE")
    assert not raised.value.permanent  # DCMTK gives no reason


def test_it_needs_neither_tensorflow_nor_celery() -> None:
    check = (
        "import sys, workers.peers.store_scu;"
        "sys.exit(bool({'tensorflow', 'keras', 'celery', 'sqlalchemy'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
