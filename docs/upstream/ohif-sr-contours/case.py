"""Write ultrasound images with structured reports (TID 1500) of outlined lesions.

    pip install highdicom
    python case.py FOLDER

All data are synthetic. Three studies: "one-group" has one measurement group with an outline;
"group-without-scoord" has a group about the whole image before it; "two-frames" has the outlines of
one lesion on the frames 1 and 3 of a cine, under one Tracking Unique Identifier.
"""

import sys
from pathlib import Path

import highdicom as hd
import numpy as np
from highdicom.sr import coding
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS = 96, 128
ULTRASOUND = {1: "1.2.840.10008.5.1.4.1.1.6.1", 3: "1.2.840.10008.5.1.4.1.1.3.1"}
OUTLINE = np.array([[40, 30], [90, 30], [90, 60], [40, 60], [40, 30]], np.float64)


def make_image(frames: int) -> Dataset:
    image = Dataset()
    for keyword, value in {
        "SOPClassUID": ULTRASOUND[frames],
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
    }.items():
        setattr(image, keyword, value)
    if frames > 1:
        image.NumberOfFrames = frames
        image.FrameTime = 40
        image.FrameIncrementPointer = 0x00181063
    grid = np.indices((frames, ROWS, COLUMNS)).sum(axis=0)
    image.PixelData = (grid % 256).astype(np.uint8).tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def make_outline(
    image: Dataset, frame: int | None, uid: str, identifier: str
) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    source = hd.sr.SourceImageForRegion(
        image.SOPClassUID, image.SOPInstanceUID, None if frame is None else [frame]
    )
    moved = OUTLINE + (0 if frame is None else 3 * frame)
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid, identifier),
        referenced_region=hd.sr.ImageRegion(
            hd.sr.GraphicTypeValues.POLYLINE, moved, source_image=source
        ),
        finding_type=codes.SCT.Lesion,
    )


def make_report(
    image: Dataset, groups: list[hd.sr.MeasurementsAndQualitativeEvaluations]
) -> Dataset:
    observer = hd.sr.ObserverContext(
        codes.DCM.Person, hd.sr.PersonObserverIdentifyingAttributes("Doe^Jane")
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=coding.CodedConcept("47079000", "SCT", "Ultrasonography of breast"),
        imaging_measurements=groups,
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


def make_groups(image: Dataset, name: str) -> list[hd.sr.MeasurementsAndQualitativeEvaluations]:
    lesion = generate_uid()
    if name == "two-frames":
        return [make_outline(image, number, lesion, "Lesion 1") for number in (1, 3)]
    outline = make_outline(image, None, lesion, "Lesion 1")
    whole_image = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(generate_uid(), "Image"),
        finding_type=codes.SCT.Lesion,
        source_images=[
            hd.sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)
        ],
    )
    return [whole_image, outline] if name == "group-without-scoord" else [outline]


def main(folder: Path) -> None:
    for name, frames in (("one-group", 1), ("group-without-scoord", 1), ("two-frames", 3)):
        study = folder / name
        study.mkdir(parents=True, exist_ok=True)
        image = make_image(frames)
        image.save_as(study / "image.dcm", enforce_file_format=True)
        report = make_report(image, make_groups(image, name))
        report.save_as(study / "report.dcm", enforce_file_format=True)
        print(study)  # noqa: T201  what to open


if __name__ == "__main__":
    main(Path(sys.argv[1]))
