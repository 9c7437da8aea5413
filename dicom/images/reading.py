"""The one place that opens DICOM files with pydicom, and the only one that knows its moods."""

import logging
import threading
import warnings
from pathlib import Path
from typing import BinaryIO, Final

from pydicom import config, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError

from dicom.errors import InvalidHeader, NotDicom, TruncatedFile
from dicom.images.pixel_data import check_pixel_data

_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
# catch_warnings swaps the process's filters: two readers at once would restore the wrong ones
_one_reader_at_a_time: Final = threading.Lock()


def quiet_libraries() -> None:
    """Keep patient data and UIDs out of the log: pydicom's validation quotes values in its
    warnings, highdicom says at level INFO which instance it copies from.
    """
    config.settings.reading_validation_mode = config.IGNORE
    logging.getLogger("highdicom").setLevel(logging.WARNING)


def open_header(path: Path) -> FileDataset:
    """Read the data set of `path` up to, but without, the pixels.

    Raises NotDicom, TruncatedFile, InvalidHeader; OSError when the file itself cannot be read.
    """
    with path.open("rb") as stream:
        return _read(stream, stop_before_pixels=True)


def open_image(path: Path) -> FileDataset:
    """As `open_header`, and make sure that the pixels that follow are there to the last byte.

    Raises also NoPixelData.
    """
    with path.open("rb") as stream:
        dataset = _read(stream, stop_before_pixels=True)
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        implicit_vr, _ = dataset.original_encoding
        check_pixel_data(stream, syntax, implicit_vr=bool(implicit_vr))
    return dataset


def open_dataset(path: Path) -> FileDataset:
    """Read the whole data set of `path`, pixels included: for result objects, never for cines.

    Raises as `open_header`.
    """
    with path.open("rb") as stream:
        return _read(stream, stop_before_pixels=False)


def _read(stream: BinaryIO, *, stop_before_pixels: bool) -> FileDataset:
    quiet_libraries()
    try:
        with _one_reader_at_a_time, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dataset = dcmread(stream, stop_before_pixels=stop_before_pixels)
    except InvalidDicomError as error:
        raise NotDicom from error
    except EOFError as error:
        raise TruncatedFile from error
    except OSError as error:
        if error.errno is not None:  # the disk's own; pydicom's, without a number, is an early end
            raise
        raise TruncatedFile from error
    except Exception as error:  # any exception type can come out of damaged bytes
        raise InvalidHeader("structure", "damaged beyond reading") from error
    if any("end of file" in str(warning.message) for warning in caught) or _ends_early(dataset):
        raise TruncatedFile
    return dataset


def _ends_early(dataset: FileDataset) -> bool:
    """Tell whether the last value is shorter than its length says: pydicom takes it as it comes."""
    last = next(reversed(list(dataset.values())), None)
    if not isinstance(last, RawDataElement) or last.length == _UNDEFINED_LENGTH:
        return False
    return len(last.value or b"") < last.length
