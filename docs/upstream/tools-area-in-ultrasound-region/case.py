"""Write calibrated ultrasound images with reports of an outline of a known area.

    pip install highdicom
    python case.py FOLDER

All data are synthetic. The outline is a square of 40 x 40 pixels on an image whose pixels are 0.1 mm
wide and high, so its area is 16 mm² or 0.16 cm². Two studies: in "region" the spacing is that of an
ultrasound region (0018,6011), in centimeters; in "region-and-spacing" it is also in Pixel Spacing
(0028,0030), in millimeters.
"""

import sys
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS = 96, 128
SPACING_MM = 0.1
SIDE = 40
AREA_MM2 = (SIDE * SPACING_MM) ** 2
OUTLINE = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE], [0, 0]], np.float64) + 30
CENTIMETERS = 3


def make_region() -> Dataset:
    region = Dataset()
    for keyword, value in {
        "RegionSpatialFormat": 1,  # 2D
        "RegionDataType": 1,  # tissue
        "RegionFlags": 0,
        "RegionLocationMinX0": 0,
        "RegionLocationMinY0": 0,
        "RegionLocationMaxX1": COLUMNS - 1,
        "RegionLocationMaxY1": ROWS - 1,
        "PhysicalUnitsXDirection": CENTIMETERS,
        "PhysicalUnitsYDirection": CENTIMETERS,
        "PhysicalDeltaX": SPACING_MM / 10,
        "PhysicalDeltaY": SPACING_MM / 10,
    }.items():
        setattr(region, keyword, value)
    return region


def make_image(*, pixel_spacing: bool) -> Dataset:
    image = Dataset()
    for keyword, value in {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1",
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Modality": "US",
        "SeriesDescription": "Ultrasound",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "PatientName": "Synthetic^Case",
        "PatientID": "CASE",
        "PatientBirthDate": "",
        "PatientSex": "",
        "StudyID": "1",
        "StudyDate": "20260101",
        "StudyTime": "120000",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "Manufacturer": "",
        "Rows": ROWS,
        "Columns": COLUMNS,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelRepresentation": 0,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "SequenceOfUltrasoundRegions": [make_region()],
    }.items():
        setattr(image, keyword, value)
    if pixel_spacing:
        image.PixelSpacing = [SPACING_MM, SPACING_MM]
    image.PixelData = (np.indices((ROWS, COLUMNS)).sum(axis=0) % 256).astype(np.uint8).tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def make_report(image: Dataset) -> Dataset:
    source = hd.sr.SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID)
    outline = hd.sr.CoordinatesForMeasurement(
        hd.sr.GraphicTypeValues.POLYLINE, OUTLINE, source_image=source
    )
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            generate_uid(), "Cornerstone3DTools@^0.1.0:PlanarFreehandROI:Square"
        ),
        finding_type=codes.SCT.Lesion,
        measurements=[
            hd.sr.Measurement(
                codes.SCT.Area,
                AREA_MM2,
                codes.UCUM.SquareMillimeter,
                referenced_coordinates=[outline],
            )
        ],
    )
    observer = hd.sr.ObserverContext(
        codes.DCM.Person, hd.sr.PersonObserverIdentifyingAttributes("Doe^Jane")
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=hd.sr.CodedConcept("47079000", "SCT", "Ultrasonography of breast"),
        imaging_measurements=[group],
    )
    return hd.sr.ComprehensiveSR(
        evidence=[image],
        content=content[0],
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        series_description="Report",
        manufacturer="Synthetic",
    )


def main(folder: Path) -> None:
    for name, pixel_spacing in (("region", False), ("region-and-spacing", True)):
        study = folder / name
        study.mkdir(parents=True, exist_ok=True)
        image = make_image(pixel_spacing=pixel_spacing)
        image.save_as(study / "image.dcm", enforce_file_format=True)
        make_report(image).save_as(study / "report.dcm", enforce_file_format=True)
        print(study)  # noqa: T201  what to open


if __name__ == "__main__":
    main(Path(sys.argv[1]))
