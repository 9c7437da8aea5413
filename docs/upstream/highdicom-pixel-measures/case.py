"""Write segmentations of an ultrasound image with different Pixel Measures, and read them with highdicom.

    pip install highdicom
    python case.py FOLDER

All data are synthetic. Prints one line of JSON for each case; ends with 1 when one is not as expected.
"""

import json
import sys
from pathlib import Path

import highdicom as hd
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


def make_mask() -> np.ndarray:
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    mask[10:30, 20:50] = 1
    return mask


def make_segmentation(shared: Dataset) -> Dataset:
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
    packed = np.packbits(make_mask().ravel(), bitorder="little")
    segmentation.PixelData = packed.tobytes()
    segmentation.file_meta = FileMetaDataset()
    segmentation.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return segmentation


def read(path: Path) -> str:
    """Return "right" or "wrong" for the pixels, or what highdicom says."""
    try:
        pixels = hd.seg.segread(path).pixel_array
    except (AttributeError, KeyError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    mask = make_mask()
    return "right" if np.array_equal(pixels, mask) else "wrong"


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    orientation = [item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    cases = {
        "Pixel Spacing and Slice Thickness": item(PixelSpacing=[0.1, 0.1], SliceThickness=1),
        "Slice Thickness": item(SliceThickness=1),
        "Pixel Spacing": item(PixelSpacing=[0.1, 0.1]),
    }
    failed = False
    for number, (name, measures) in enumerate(cases.items(), start=1):
        shared = item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=orientation)
        path = folder / f"{number}.dcm"
        make_segmentation(shared).save_as(path, enforce_file_format=True)
        seen = read(path)
        failed |= seen != "right"
        print(json.dumps({"case": name, "seen": seen}))  # noqa: T201
    sys.exit(failed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
