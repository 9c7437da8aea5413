"""Write segmentations of an ultrasound image with and without Plane Position, and read them with dcmqi.

    pip install dcmqi pydicom numpy
    python case.py FOLDER

All data are synthetic. Prints one line of JSON for each case: how segimage2itkimage ended, and what it
complained about.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
ROWS, COLUMNS = 48, 64


def item(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
    return [item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def make_segmentation(shared: Dataset, position: Dataset) -> Dataset:
    organization, source, series = generate_uid(), generate_uid(), generate_uid()
    referenced = {"ReferencedSOPClassUID": ULTRASOUND, "ReferencedSOPInstanceUID": source}
    purpose = code("121322", "DCM", "Source Image for Image Processing Operation")
    derivation = item(
        DerivationCodeSequence=code("113076", "DCM", "Segmentation"),
        SourceImageSequence=[item(**referenced, PurposeOfReferenceCodeSequence=purpose)],
    )
    frame = item(
        FrameContentSequence=[item(DimensionIndexValues=[1])],
        SegmentIdentificationSequence=[item(ReferencedSegmentNumber=1)],
        DerivationImageSequence=[derivation],
    )
    frame.update(position)
    segment = item(
        SegmentNumber=1,
        SegmentLabel="Lesion 1",
        SegmentAlgorithmType="MANUAL",
        SegmentedPropertyCategoryCodeSequence=code("49755003", "SCT", "Morphologic abnormality"),
        SegmentedPropertyTypeCodeSequence=code("52988006", "SCT", "Lesion"),
    )
    dimension = item(
        DimensionOrganizationUID=organization,
        DimensionIndexPointer=0x0062000B,
        FunctionalGroupPointer=0x0062000A,
    )
    segmentation = item(
        SOPClassUID=SEGMENTATION,
        SOPInstanceUID=generate_uid(),
        StudyInstanceUID=generate_uid(),
        SeriesInstanceUID=generate_uid(),
        SeriesNumber=2,
        InstanceNumber=1,
        Modality="SEG",
        SeriesDescription="Segmentation",
        ImageType=["DERIVED", "PRIMARY"],
        PatientName="Synthetic^Case",
        PatientID="CASE",
        PatientBirthDate="",
        PatientSex="",
        StudyID="1",
        StudyDate="20260101",
        StudyTime="120000",
        ContentDate="20260101",
        ContentTime="120000",
        AccessionNumber="",
        ReferringPhysicianName="",
        Manufacturer="Synthetic",
        ManufacturerModelName="Case",
        DeviceSerialNumber="1",
        SoftwareVersions="1",
        ContentLabel="LESIONS",
        ContentDescription="",
        ContentCreatorName="",
        LossyImageCompression="00",
        SegmentationType="BINARY",
        SegmentSequence=[segment],
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PixelRepresentation=0,
        Rows=ROWS,
        Columns=COLUMNS,
        NumberOfFrames=1,
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        ReferencedSeriesSequence=[
            item(SeriesInstanceUID=series, ReferencedInstanceSequence=[item(**referenced)])
        ],
        DimensionOrganizationSequence=[item(DimensionOrganizationUID=organization)],
        DimensionIndexSequence=[dimension],
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[frame],
    )
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    mask[10:30, 20:50] = 1
    segmentation.PixelData = np.packbits(mask.ravel(), bitorder="little").tobytes()
    segmentation.file_meta = FileMetaDataset()
    segmentation.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return segmentation


def main(folder: Path) -> None:
    orientation = [item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    measures = [item(PixelSpacing=[0.1, 0.1], SliceThickness=1, SpacingBetweenSlices=1)]
    position = item(PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 0])])
    both = item(PixelMeasuresSequence=measures, PlaneOrientationSequence=orientation)
    cases = {
        "with orientation and position": (both, position),
        "with orientation, without position": (both, item()),
        "without both": (item(PixelMeasuresSequence=measures), item()),
    }
    for number, (name, (shared, where)) in enumerate(cases.items(), start=1):
        output = folder / str(number)
        output.mkdir(parents=True, exist_ok=True)
        path = output / "segmentation.dcm"
        make_segmentation(shared, where).save_as(path, enforce_file_format=True)
        program = Path(sys.executable).with_name("segimage2itkimage")
        run = subprocess.run(  # noqa: S603  the arguments are from this file
            [program, "--inputDICOM", path, "--outputDirectory", output],
            capture_output=True,
            text=True,
            check=False,
        )
        # the command of the wheel ends with the negative number of the signal, modulo 256
        crashed = run.returncode in (-11, 139, 245)
        ended = "segmentation fault" if crashed else "read" if run.returncode == 0 else "error"
        complaints = [line for line in run.stderr.splitlines() if line.startswith(("E:", "ERROR"))]
        print(json.dumps({"case": name, "ended": ended, "complaints": complaints}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
