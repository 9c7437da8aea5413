"""The program that decodes compressed frames for `dicom.images.decoder_pool`.

It ends when its parent does: at once if it waits for a request or for the frame to be taken, at the
deadline of the frame if its decoder hangs. The kernel ends it at the deadline (SIGALRM, default
action), because a decoder may hold the interpreter lock.
"""

import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from dicom.errors import DicomError
from dicom.images.decoder_pool import receive_message, send_message
from dicom.images.frames import Frame, decode_here
from dicom.images.limits import DecodingLimits, set_decoding_limits

Decode = Callable[[Path, Sequence[int]], Iterator[Frame]]
_MAX_REQUEST_BYTES: Final = 10_000_000


def serve(connection: socket.socket, decode: Decode = decode_here) -> None:
    """Decode frames until the parent closes the connection."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent may first finish its work
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would contain patient data
    program_bytes = _address_space_bytes()
    try:
        send_message(connection, {"ready": True})
        while True:
            request = receive_message(connection, _MAX_REQUEST_BYTES)
            limits = DecodingLimits(**request["limits"])
            set_decoding_limits(limits)
            _limit_memory(program_bytes + limits.process_bytes)
            _answer(connection, decode(Path(request["path"]), request["indices"]), limits)
    except ConnectionError:
        return


def _answer(connection: socket.socket, frames: Iterator[Frame], limits: DecodingLimits) -> None:
    while True:
        signal.setitimer(signal.ITIMER_REAL, limits.frame_seconds)
        try:
            frame = next(frames, None)
        except DicomError as error:
            reason = str(getattr(error, "reason", error))
            send_message(connection, {"code": error.code, "reason": reason})
            return
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if frame is None:
            return
        send_message(connection, {"dimensions": frame.ndim})
        connection.sendall(np.ascontiguousarray(frame).data)


def _limit_memory(limit: int) -> None:
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))


def _address_space_bytes() -> int:
    if sys.platform != "linux":
        return 0
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
