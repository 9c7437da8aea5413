"""Write ultrasound images and segmentations of them with different functional groups.

    pip install pydicom numpy
    python case.py FOLDER

All data are synthetic. The segmentation names its source image in Derivation Image, so Pixel
Measures and Plane Orientation may be left out (PS3.3 A.51.5), as they have to be for an ultrasound
image that is not calibrated and has no frame of reference. The study "odd-size" is a cine whose
frames do not fill whole bytes of a bit-packed segmentation.
"""

import sys
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ULTRASOUND = {False: "1.2.840.10008.5.1.4.1.1.6.1", True: "1.2.840.10008.5.1.4.1.1.3.1"}
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
STILL, CINE = (1, 96, 128), (3, 97, 131)


def item(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
    return [item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def new(sop_class: str, modality: str, number: int, study: str) -> Dataset:
    dataset = item(
        SOPClassUID=sop_class,
        SOPInstanceUID=generate_uid(),
        StudyInstanceUID=study,
        SeriesInstanceUID=generate_uid(),
        SeriesNumber=number,
        InstanceNumber=1,
        Modality=modality,
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
        Manufacturer="",
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PixelRepresentation=0,
    )
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def make_image(frames: int, rows: int, columns: int) -> Dataset:
    image = new(ULTRASOUND[frames > 1], "US", 1, generate_uid())
    image.SeriesDescription = "Ultrasound"
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.Rows, image.Columns = rows, columns
    if frames > 1:
        image.NumberOfFrames = frames
        image.FrameTime = 40
        image.FrameIncrementPointer = 0x00181063
    pixels = (np.indices((frames, rows, columns)).sum(axis=0) % 256).astype(np.uint8).tobytes()
    image.PixelData = pixels + b"\0" * (len(pixels) % 2)
    return image


def make_frame(image: Dataset, number: int, count: int) -> Dataset:
    source = item(
        ReferencedSOPClassUID=image.SOPClassUID,
        ReferencedSOPInstanceUID=image.SOPInstanceUID,
        PurposeOfReferenceCodeSequence=code(
            "121322", "DCM", "Source Image for Image Processing Operation"
        ),
        SpatialLocationsPreserved="YES",
    )
    if count > 1:
        source.ReferencedFrameNumber = number
    return item(
        FrameContentSequence=[item(DimensionIndexValues=[1, number])],
        SegmentIdentificationSequence=[item(ReferencedSegmentNumber=1)],
        DerivationImageSequence=[
            item(
                DerivationCodeSequence=code("113076", "DCM", "Segmentation"),
                SourceImageSequence=[source],
            )
        ],
    )


def make_segmentation(image: Dataset, shared: Dataset) -> Dataset:
    count = int(image.get("NumberOfFrames", 1))
    segment = item(
        SegmentNumber=1,
        SegmentLabel="Lesion 1",
        SegmentAlgorithmType="MANUAL",
        SegmentedPropertyCategoryCodeSequence=code("49755003", "SCT", "Morphologic abnormality"),
        SegmentedPropertyTypeCodeSequence=code("52988006", "SCT", "Lesion"),
    )
    organization = generate_uid()
    segmentation = new(SEGMENTATION, "SEG", 2, image.StudyInstanceUID)
    for keyword, value in {
        "SeriesDescription": "Segmentation",
        "ImageType": ["DERIVED", "PRIMARY"],
        "BitsAllocated": 1,
        "BitsStored": 1,
        "HighBit": 0,
        "LossyImageCompression": "00",
        "SegmentationType": "BINARY",
        "ContentLabel": "LESIONS",
        "ContentDescription": "",
        "ContentCreatorName": "",
        "Rows": image.Rows,
        "Columns": image.Columns,
        "NumberOfFrames": count,
        "SegmentSequence": [segment],
        "ReferencedSeriesSequence": [
            item(
                SeriesInstanceUID=image.SeriesInstanceUID,
                ReferencedInstanceSequence=[
                    item(
                        ReferencedSOPClassUID=image.SOPClassUID,
                        ReferencedSOPInstanceUID=image.SOPInstanceUID,
                    )
                ],
            )
        ],
        "DimensionOrganizationSequence": [item(DimensionOrganizationUID=organization)],
        "DimensionIndexSequence": [
            item(
                DimensionOrganizationUID=organization,
                DimensionIndexPointer=0x0062000B,
                FunctionalGroupPointer=0x0062000A,
            ),
            item(
                DimensionOrganizationUID=organization,
                DimensionIndexPointer=0x00209057,
                FunctionalGroupPointer=0x00209111,
            ),
        ],
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": [
            make_frame(image, number, count) for number in range(1, count + 1)
        ],
    }.items():
        setattr(segmentation, keyword, value)
    masks = np.zeros((count, image.Rows, image.Columns), np.uint8)
    for index, mask in enumerate(masks):
        mask[30 + 5 * index : 60 + 5 * index, 40:90] = 1
    packed = np.packbits(masks.ravel(), bitorder="little").tobytes()
    segmentation.PixelData = packed + b"\0" * (len(packed) % 2)
    return segmentation


def main(folder: Path) -> None:
    orientation = [item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    measures = [item(SliceThickness=1)]
    both = item(PixelMeasuresSequence=measures, PlaneOrientationSequence=orientation)
    studies = {
        "empty": (STILL, item()),
        "orientation": (STILL, item(PlaneOrientationSequence=orientation)),
        "measures": (STILL, item(PixelMeasuresSequence=measures)),
        "both": (STILL, both),
        "odd-size": (CINE, both),
    }
    for name, (shape, shared) in studies.items():
        study = folder / name
        study.mkdir(parents=True, exist_ok=True)
        image = make_image(*shape)
        image.save_as(study / "image.dcm", enforce_file_format=True)
        segmentation = make_segmentation(image, shared)
        segmentation.save_as(study / "segmentation.dcm", enforce_file_format=True)
        print(study)  # noqa: T201  what to open


if __name__ == "__main__":
    main(Path(sys.argv[1]))
