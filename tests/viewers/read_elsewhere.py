"""Reads one DICOM file with one library, in an environment that has it (requirements.txt).

    python read_elsewhere.py LIBRARY KIND FILE OUT

Writes what it read to OUT: values as .npy, a text or a document as it is. An error is the last line
of standard error. `version` in place of KIND writes the version of the library.
"""

import importlib.metadata
import sys
from pathlib import Path

import numpy as np


def read_with_simpleitk(kind: str, file: str, out: Path) -> None:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    np.save(out, SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(file)))


def read_with_pydicom_seg(kind: str, file: str, out: Path) -> None:
    import pydicom
    import pydicom_seg

    result = pydicom_seg.SegmentReader().read(pydicom.dcmread(file))
    np.save(out, np.max([result.segment_data(one) for one in result.available_segments], axis=0))


def read_with_itk_wasm(kind: str, file: str, out: Path) -> None:
    import itkwasm_dicom

    match kind:
        case "SR" | "KO":
            out.write_text(itkwasm_dicom.structured_report_to_text(file))
        case "DOC":
            out.write_bytes(itkwasm_dicom.read_dicom_encapsulated_pdf(file))
        case "SEG":
            image, *_ = itkwasm_dicom.read_segmentation(file)
            np.save(out, np.asarray(image.data))
        case "PR":
            source, state = file.split(":")
            *_, image = itkwasm_dicom.apply_presentation_state_to_image(source, state)
            out.write_bytes(bytes(image.data))
        case _:
            image, *_ = itkwasm_dicom.read_image_dicom_file_series(
                [file], single_sorted_series=True
            )
            np.save(out, np.asarray(image.data))


READERS = {
    "SimpleITK": read_with_simpleitk,
    "pydicom-seg": read_with_pydicom_seg,
    "itkwasm-dicom": read_with_itk_wasm,
}


if __name__ == "__main__":
    library, kind, file, out = sys.argv[1:]
    if kind == "version":
        Path(out).write_text(importlib.metadata.version(library))
    else:
        READERS[library](kind, file, Path(out))
