"""Write an ultrasound image and a segmentation of it without Pixel Measures.

    pip install pydicom numpy
    python case.py FOLDER

All data are synthetic. The segmentation names its source image in Derivation Image, so Pixel
Measures and Plane Orientation may be left out (PS3.3 A.51.5), as they have to be for an ultrasound
image that is not calibrated and has no frame of reference.
"""

import sys
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
ROWS, COLUMNS = 96, 128


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
        Rows=ROWS,
        Columns=COLUMNS,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PixelRepresentation=0,
    )
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def make_image(study: str) -> Dataset:
    image = new(ULTRASOUND, "US", 1, study)
    image.SeriesDescription = "Ultrasound"
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    image.PixelData = ((rows + columns) % 256).astype(np.uint8).tobytes()
    return image


def make_segmentation(image: Dataset, shared: Dataset) -> Dataset:
    reference = {
        "ReferencedSOPClassUID": image.SOPClassUID,
        "ReferencedSOPInstanceUID": image.SOPInstanceUID,
    }
    purpose = code("121322", "DCM", "Source Image for Image Processing Operation")
    frame = item(
        FrameContentSequence=[item(DimensionIndexValues=[1])],
        SegmentIdentificationSequence=[item(ReferencedSegmentNumber=1)],
        DerivationImageSequence=[
            item(
                DerivationCodeSequence=code("113076", "DCM", "Segmentation"),
                SourceImageSequence=[
                    item(
                        **reference,
                        PurposeOfReferenceCodeSequence=purpose,
                        SpatialLocationsPreserved="YES",
                    )
                ],
            )
        ],
    )
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
        "NumberOfFrames": 1,
        "SegmentSequence": [segment],
        "ReferencedSeriesSequence": [
            item(
                SeriesInstanceUID=image.SeriesInstanceUID,
                ReferencedInstanceSequence=[item(**reference)],
            )
        ],
        "DimensionOrganizationSequence": [item(DimensionOrganizationUID=organization)],
        "DimensionIndexSequence": [
            item(
                DimensionOrganizationUID=organization,
                DimensionIndexPointer=0x0062000B,
                FunctionalGroupPointer=0x0062000A,
            )
        ],
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": [frame],
    }.items():
        setattr(segmentation, keyword, value)
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    mask[30:60, 40:90] = 1
    segmentation.PixelData = np.packbits(mask.ravel(), bitorder="little").tobytes()
    return segmentation


def main(folder: Path) -> None:
    image = make_image(generate_uid())
    orientation = [item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    measures = [item(SliceThickness=1)]
    groups = {
        "empty": item(),
        "orientation": item(PlaneOrientationSequence=orientation),
        "measures": item(PixelMeasuresSequence=measures),
        "both": item(PixelMeasuresSequence=measures, PlaneOrientationSequence=orientation),
    }
    for name, shared in groups.items():
        study = folder / name
        study.mkdir(parents=True, exist_ok=True)
        # a study of its own, so that one can be opened without the others
        image.StudyInstanceUID = generate_uid()
        image.SeriesInstanceUID = generate_uid()
        image.SOPInstanceUID = generate_uid()
        image.save_as(study / "image.dcm", enforce_file_format=True)
        segmentation = make_segmentation(image, shared)
        segmentation.save_as(study / "segmentation.dcm", enforce_file_format=True)
        print(study)  # noqa: T201  what to open


if __name__ == "__main__":
    main(Path(sys.argv[1]))
