"""The Image Pixel Module of images that Sonogate creates: native or JPEG Baseline."""

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit

from dicom.images.frames import Frame

TRANSFER_SYNTAXES: Final = (ExplicitVRLittleEndian, JPEGBaseline8Bit)
_JPEG_QUALITY: Final = 90


def add_pixels(dataset: Dataset, frames: Sequence[Frame], transfer_syntax_uid: str) -> None:
    """Add the Image Pixel Module (PS3.3 C.7.6.3), lossy compression and file meta to `dataset`.

    All frames have the same shape, (rows, columns) or (rows, columns, 3) RGB. The transfer syntax
    is one of TRANSFER_SYNTAXES; JPEG converts color to YBR_FULL_422.
    """
    color = frames[0].ndim == 3
    dataset.Rows, dataset.Columns = frames[0].shape[:2]
    dataset.SamplesPerPixel = 3 if color else 1
    if color:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if color else "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.LossyImageCompression = "00"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    if transfer_syntax_uid == JPEGBaseline8Bit:
        _add_jpeg(dataset, frames)
    else:
        raw = b"".join(frame.tobytes() for frame in frames)
        dataset.add_new("PixelData", "OB", raw + b"\0" * (len(raw) % 2))


def _add_jpeg(dataset: Dataset, frames: Sequence[Frame]) -> None:
    color = dataset.SamplesPerPixel == 3
    options = {"subsampling": "4:2:2"} if color else {}
    encoded = []
    for frame in frames:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=_JPEG_QUALITY, **options)
        encoded.append(buffer.getvalue())
    ratio = sum(frame.nbytes for frame in frames) / sum(map(len, encoded))
    if color:
        dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = f"{ratio:.2f}"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.add_new("PixelData", "OB", encapsulate(encoded))
    dataset["PixelData"].is_undefined_length = True
