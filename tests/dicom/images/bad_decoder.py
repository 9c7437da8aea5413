"""A decoder that hangs, crashes or takes memory where a comment in the JPEG frame says so."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGBaseline8Bit

from dicom.images.ultrasound_image import build_ultrasound_image
from tests.dicom import making

FRAMES = [making.color(seed=seed) for seed in range(4)]
PROGRAM = """
import ctypes, os, socket, sys
from dicom.images import decoder_process, frames
real = frames.check_codestream
def check(codestream, *others):
    # a JPEG comment says what the native code shall do
    if b"HANG" in codestream:
        ctypes.PyDLL(None).sleep(1000)  # without releasing the interpreter lock
    if b"CRASH" in codestream:
        ctypes.string_at(0)
    if b"ALLOCATE" in codestream:
        bytearray(3_000_000_000)
    real(codestream, *others)
frames.check_codestream = check
decoder_process.serve(socket.socket(fileno=int(sys.argv[1])))
"""
"""To set as `dicom.images.decoder_pool.PROGRAM`; the fixture `bad_decoder` does so."""


def write_cine(
    path: Path,
    comments: dict[int, bytes] | None = None,
    frames: Sequence[NDArray[np.uint8]] = FRAMES,
) -> Path:
    """Write a JPEG cine with a comment in some frames, which real decoders ignore."""
    dataset = build_ultrasound_image(
        frames, study=making.STUDY, transfer_syntax_uid=JPEGBaseline8Bit
    )
    parts = list(generate_frames(dataset.PixelData, number_of_frames=len(frames)))
    for index, text in (comments or {}).items():
        comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2) + text
        parts[index] = parts[index][:2] + comment + parts[index][2:]
    dataset.PixelData = encapsulate(parts)
    dataset["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path
