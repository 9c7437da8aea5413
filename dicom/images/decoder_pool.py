"""Decode compressed frames in other processes, which can be killed.

A decoder in native code may hang or crash on damaged bytes. Here this costs one frame: the process
has a deadline for each frame and a limit of memory, and another one takes its place. Processes are
started when they are needed, serve one call at a time, and are kept. They decode one frame ahead of
the caller. `dicom.images.decoder_process` is the program; both exchange JSON and pixels over a pair
of sockets, and nothing that could run code here.
"""

import atexit
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dicom.errors import (
    DecoderCrashed,
    FrameSizeMismatch,
    FrameTimeout,
    FrameTooLarge,
    UndecodableFrame,
)
from dicom.images.limits import DecodingLimits, get_decoding_limits

PROGRAM: Final = ["-m", "dicom.images.decoder_process"]
MAX_PROCESSES: Final = max(2, os.cpu_count() or 1)
_START_SECONDS: Final = 60.0
_GRACE_SECONDS: Final = 5.0
"""The process kills itself at the deadline; this long afterwards it is killed from here."""
_LENGTH: Final = struct.Struct("!L")
_MAX_MESSAGE_BYTES: Final = 10_000


def decode_elsewhere(
    path: Path, indices: Sequence[int], shape: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of `path` at the 0-based `indices`, of `shape` (rows, columns).

    Raises UndecodableFrame, FrameSizeMismatch, FrameTimeout or DecoderCrashed at the frame that it
    names, FrameTooLarge, and OSError if no process can be started.
    """
    limits = get_decoding_limits()
    # Waiting for ever could be waiting for oneself: a thread may decode two images in turns
    has_slot = _slots.acquire(timeout=limits.frame_seconds)
    try:
        process = _request(path, indices, limits)
        is_busy = True
        try:
            for position, index in enumerate(indices, start=1):
                try:
                    frame = process.receive_frame(shape)
                except _FrameError as error:
                    is_busy = False
                    raise error.at(index) from None
                except TimeoutError:
                    raise FrameTimeout(index) from None
                except (OSError, ValueError, LookupError):
                    crashed = process.wait() != -signal.SIGALRM
                    raise (DecoderCrashed if crashed else FrameTimeout)(index) from None
                is_busy = position < len(indices)
                yield frame
        finally:
            if is_busy:
                process.kill()
            else:
                _keep(process)
    finally:
        if has_slot:
            _slots.release()


class _FrameError(Exception):
    """What the process says about a frame that it cannot decode."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        self.reason = reason

    def at(self, index: int) -> UndecodableFrame | FrameTooLarge:
        if self.code == FrameSizeMismatch.code:
            return FrameSizeMismatch(index)
        if self.code == FrameTooLarge.code:
            return FrameTooLarge(get_decoding_limits().frame_bytes)
        return UndecodableFrame(index, self.reason)


class _DecoderProcess:
    """A process that decodes. Raises OSError if it cannot be started."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, *PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # decoders may quote the file
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                process_group=0,  # Ctrl-C in the terminal must not cost a frame
            )
        self._socket.settimeout(_START_SECONDS)
        try:
            receive_message(self._socket)
        except (OSError, ValueError):
            self.kill()
            raise OSError(errno.ECHILD, "the process that decodes frames does not start") from None

    def request(self, path: Path, indices: Sequence[int], limits: DecodingLimits) -> None:
        """Ask for frames. Raises OSError if the process is gone."""
        self._socket.settimeout(limits.frame_seconds + _GRACE_SECONDS)
        request = {"path": os.fspath(path), "indices": list(indices), "limits": asdict(limits)}
        send_message(self._socket, request)

    def receive_frame(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the next frame. Raises _FrameError, TimeoutError, OSError, ValueError,
        LookupError."""
        answer = receive_message(self._socket)
        if "code" in answer:
            raise _FrameError(str(answer["code"]), str(answer["reason"]))
        samples = {2: (), 3: (3,)}[answer["dimensions"]]
        frame = np.empty((*shape, *samples), np.uint8)
        _receive_into(self._socket, frame.data.cast("B"))
        return frame

    def wait(self) -> int:
        """Return how the process ended, after the connection to it has broken."""
        try:
            return self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return 0

    def kill(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


_slots: Final = threading.Semaphore(MAX_PROCESSES)
_idle: Final[list[_DecoderProcess]] = []


def _request(path: Path, indices: Sequence[int], limits: DecodingLimits) -> _DecoderProcess:
    """Return a process that decodes these frames: an idle one, or else a new one."""
    while True:
        try:
            process, is_new = _idle.pop(), False
        except IndexError:
            process, is_new = _DecoderProcess(), True
        try:
            process.request(path, indices, limits)
        except OSError:  # it was killed while it was idle
            process.kill()
            if is_new:
                raise
        else:
            return process


def _keep(process: _DecoderProcess) -> None:
    if len(_idle) < MAX_PROCESSES:
        _idle.append(process)
    else:
        process.kill()


@atexit.register
def stop_idle_processes() -> None:
    """Stop the processes that decode nothing now."""
    while _idle:
        _idle.pop().kill()


def send_message(connection: socket.socket, message: dict[str, Any]) -> None:
    content = json.dumps(message).encode()
    connection.sendall(_LENGTH.pack(len(content)) + content)


def receive_message(connection: socket.socket, limit: int = _MAX_MESSAGE_BYTES) -> dict[str, Any]:
    """Raises OSError or ValueError if the connection breaks or carries something else."""
    start = bytearray(_LENGTH.size)
    _receive_into(connection, memoryview(start))
    (length,) = _LENGTH.unpack(start)
    if length > limit:
        raise ValueError("the message is too long")
    content = bytearray(length)
    _receive_into(connection, memoryview(content))
    message = json.loads(content)
    if not isinstance(message, dict):
        raise ValueError("the message is no object")  # noqa: TRY004
    return message


def _receive_into(connection: socket.socket, buffer: memoryview) -> None:
    while buffer:
        count = connection.recv_into(buffer)
        if count == 0:
            raise ConnectionResetError
        buffer = buffer[count:]
