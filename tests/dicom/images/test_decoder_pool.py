"""Compressed frames are decoded in processes that may hang, crash or be killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom.errors import DecoderCrashed, FrameTimeout, UndecodableFrame
from dicom.images import decoder_pool
from dicom.images.frames import decode_frames, decode_here
from dicom.images.ultrasound_image import build_ultrasound_image
from tests.conftest import SetLimits
from tests.dicom import making
from tests.dicom.images import bad_decoder


def child_pids(pid: int | None = None) -> set[int]:
    parent = pid or os.getpid()
    listing = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listing.stdout.splitlines()]
    return {int(row[0]) for row in rows if int(row[1]) == parent and "ps -eo" not in row[2]}


def wait_until_gone(pids: set[int]) -> None:
    """Wait; the timeout of the test ends it if they stay."""
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.05)


def test_frames_are_the_same_as_in_this_process(tmp_path: Path) -> None:
    path = bad_decoder.write_cine(tmp_path / "a.dcm")
    order = [3, 0, 3, 1]
    frames = list(decode_frames(path, order))
    assert all(
        np.array_equal(one, other)
        for one, other in zip(frames, decode_here(path, order), strict=True)
    )
    assert all(frame.flags.writeable for frame in frames)


def test_a_deflated_image_is_inflated_elsewhere(tmp_path: Path) -> None:
    dataset = build_ultrasound_image(making.gray(), study=making.STUDY)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    pydicom.dcmwrite(tmp_path / "a.dcm", dataset, enforce_file_format=True)
    decoder_pool.stop_idle_processes()
    before = child_pids()
    (frame,) = decode_frames(tmp_path / "a.dcm")
    assert np.array_equal(frame, making.gray())
    assert len(child_pids() - before) == 1


def test_native_frames_need_no_process(tmp_path: Path) -> None:
    decoder_pool.stop_idle_processes()
    before = child_pids()
    list(decode_frames(making.write_image(tmp_path / "a.dcm", bad_decoder.FRAMES)))
    assert child_pids() == before


def test_one_process_serves_one_caller_after_another(tmp_path: Path) -> None:
    path = bad_decoder.write_cine(tmp_path / "a.dcm")
    decoder_pool.stop_idle_processes()
    before = child_pids()
    for _ in range(5):
        next(decode_frames(path, [1]))
        list(decode_frames(path))
    assert len(child_pids() - before) == 1


@pytest.mark.usefixtures("bad_decoder")
@pytest.mark.parametrize(
    ("comment", "error"),
    [(b"HANG", FrameTimeout), (b"CRASH", DecoderCrashed), (b"ALLOCATE", UndecodableFrame)],
)
def test_a_decoder_that_fails_costs_one_frame(
    comment: bytes, error: type[Exception], tmp_path: Path, decoding_limits: SetLimits
) -> None:
    decoding_limits(frame_seconds=3)
    path = bad_decoder.write_cine(tmp_path / "a.dcm", {1: comment})
    before = child_pids()
    frames = decode_frames(path)
    assert np.array_equal(next(frames), next(decode_here(path, [0])))
    with pytest.raises(UndecodableFrame) as caught:
        next(frames)
    assert type(caught.value) is error
    assert caught.value.frame == 1
    assert len(list(decode_frames(path, [2, 3]))) == 2
    decoder_pool.stop_idle_processes()
    assert child_pids() == before


def test_a_process_that_was_killed_while_idle_is_replaced(tmp_path: Path) -> None:
    path = bad_decoder.write_cine(tmp_path / "a.dcm")
    decoder_pool.stop_idle_processes()
    before = child_pids()
    next(decode_frames(path, [0]))
    (pid,) = child_pids() - before
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    assert len(list(decode_frames(path))) == len(bad_decoder.FRAMES)


def test_signals_to_the_whole_service_leave_the_frame_in_hand(tmp_path: Path) -> None:
    path = bad_decoder.write_cine(tmp_path / "a.dcm")
    decoder_pool.stop_idle_processes()
    before = child_pids()
    frames = decode_frames(path)
    next(frames)
    for pid in child_pids() - before:
        os.kill(pid, signal.SIGTERM)
    assert len(list(frames)) == len(bad_decoder.FRAMES) - 1


def test_a_caller_that_stops_leaves_no_process_busy(tmp_path: Path) -> None:
    path = bad_decoder.write_cine(tmp_path / "a.dcm")
    decoder_pool.stop_idle_processes()
    before = child_pids()
    frames = decode_frames(path)
    next(frames)
    assert len(child_pids() - before) == 1
    del frames
    assert child_pids() == before


def test_many_threads_share_few_processes(tmp_path: Path) -> None:
    path = bad_decoder.write_cine(tmp_path / "a.dcm")
    decoder_pool.stop_idle_processes()
    before = child_pids()
    counts: list[int] = []

    def work() -> None:
        counts.extend(sum(1 for _ in decode_frames(path)) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(3 * decoder_pool.MAX_PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [len(bad_decoder.FRAMES)] * 5 * len(threads)
    assert len(child_pids() - before) <= decoder_pool.MAX_PROCESSES


def test_a_process_that_does_not_start_is_an_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bad_decoder.write_cine(tmp_path / "a.dcm")
    decoder_pool.stop_idle_processes()
    monkeypatch.setattr(decoder_pool, "PROGRAM", ["-c", "raise SystemExit(1)"])
    with pytest.raises(OSError, match="does not start"):
        next(decode_frames(path))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("comment", [b"", b"HANG"])
def test_no_process_outlives_a_killed_parent(tmp_path: Path, comment: bytes) -> None:
    path = bad_decoder.write_cine(tmp_path / "a.dcm", {1: comment})
    program = f"""
import sys
from pathlib import Path
from dicom.images import decoder_pool
from dicom.images.frames import decode_frames
from dicom.images.limits import DecodingLimits, set_decoding_limits
set_decoding_limits(DecodingLimits(frame_seconds=4))
decoder_pool.PROGRAM = ["-c", {bad_decoder.PROGRAM!r}]
frames = decode_frames(Path(sys.argv[1]))
next(frames)
print("first", flush=True)
next(frames)
sys.stdin.read()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"first\n"
        time.sleep(0.5)
        children = child_pids(parent.pid)
        assert len(children) == 1
        parent.kill()
    wait_until_gone(children)
