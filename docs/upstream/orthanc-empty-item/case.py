"""Store an object whose sequence has one empty item, and ask Orthanc's DICOMweb for its metadata.

    pip install pydicom
    python case.py http://127.0.0.1:8042

Prints the sequence as it was stored and as the metadata has it; ends with 1 when they differ.
"""

import io
import json
import sys
import urllib.request

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
SHARED_FUNCTIONAL_GROUPS = "52009229"


def make_object() -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = SEGMENTATION
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.Modality = "SEG"
    dataset.PatientID = "CASE"
    dataset.PatientName = "Synthetic^Case"
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def ask(url: str, body: bytes | None = None) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise SystemExit(f"{url} is no address of a web server")
    request = urllib.request.Request(url, body, {"Accept": "application/json"})  # noqa: S310  checked above
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  checked above
        content: bytes = answer.read()
        return content


def main(orthanc: str) -> int:
    dataset = make_object()
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    ask(f"{orthanc}/instances", file.getvalue())
    instance = (
        f"studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}"
    )
    (metadata,) = json.loads(ask(f"{orthanc}/dicom-web/{instance}/metadata"))
    expected = dataset.to_json_dict()[SHARED_FUNCTIONAL_GROUPS]
    seen = metadata.get(SHARED_FUNCTIONAL_GROUPS)
    version = json.loads(ask(f"{orthanc}/system"))["Version"]
    answer = {"orthanc": version, "expected": expected, "seen": seen}
    print(json.dumps(answer))  # noqa: T201  what was asked for
    return 0 if seen == expected else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1].rstrip("/")))
