"""Coded concepts that Sonogate writes, with their context groups (PS3.16)."""

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom.terms.birads import BIRADS_CATEGORIES
from dicom.terms.classification import BENIGN, MALIGNANT, NORMAL
from dicom.uids import CODING_SCHEME_UID

PRIVATE_SCHEME: Final = "99SONOGATE"
PRIVATE_SCHEME_UID: Final = CODING_SCHEME_UID

# procedure and anatomy
PROCEDURE: Final = codes.SCT.UltrasonographyOfBreast  # CID 6050
BREAST: Final = codes.SCT.Breast
SIDE: Final = {"L": codes.SCT.Left, "R": codes.SCT.Right}  # CID 244
LANGUAGE: Final = Code("en", "RFC5646", "English")  # CID 5000

# findings
ABNORMAL_STRUCTURE: Final = codes.SCT.MorphologicallyAbnormalStructure  # CID 7150
LESION: Final = codes.SCT.Lesion
NORMAL_TISSUE: Final = codes.DCM.NormalBreastTissue  # CID 6054
TISSUE: Final = codes.SCT.Tissue  # CID 7150

# heat maps
FUNCTION: Final = codes.SCT.Function  # CID 7150
GRAD_CAM: Final = codes.DCM.GradientWeightedClassActivation  # CID 7180

# purpose of key images, CID 7010
OF_INTEREST: Final = codes.DCM.OfInterest
FOR_REPORT_ATTACHMENT: Final = codes.DCM.ForReportAttachment

# classes and reader decisions
CLASS: Final = {
    NORMAL: codes.SCT.Normal,  # CID 222
    BENIGN: codes.SCT.Benign,  # CID 6063
    MALIGNANT: codes.SCT.Malignant,  # CID 6063
}
UNDECIDED: Final[Code] = codes.SCT.IndeterminateResult  # CID 6063
IMPRESSION: Final = codes.DCM.Impression
# not (121071,DCM,"Finding"): SR readers take that concept for the finding row of the group
CLASSIFIER_OUTPUT: Final = Code("BUS-CLASS", PRIVATE_SCHEME, "Classifier output class")
READER_DECISION: Final = Code("BUS-DECISION", PRIVATE_SCHEME, "Reader decision on the analysis")
DECISION: Final = {
    "accept": Code("BUS-ACCEPT", PRIVATE_SCHEME, "Accepted"),
    "modify": Code("BUS-MODIFY", PRIVATE_SCHEME, "Accepted with changes"),
    "reject": Code("BUS-REJECT", PRIVATE_SCHEME, "Rejected"),
}
COMMENT: Final = codes.DCM.Comment
LESION_IDENTIFIER: Final = codes.DCM.LesionIdentifier
TEXT_POSITION: Final = Code("TextPosition", "99CS3D", "Text Annotation Position")
"""Private to Cornerstone3D: where it writes the label of a region. DICOM has no concept for it."""
QUALITATIVE_EVALUATIONS: Final = Code("C0034375", "UMLS", "Qualitative Evaluations")  # TID 1500

REFUSED_IMAGE: Final = Code("BUS-REFUSED", PRIVATE_SCHEME, "Image not analyzed")

# images
SOURCE_IMAGE: Final = Code("260753009", "SCT", "Source")
MODALITY: Final = codes.DCM.Modality
ULTRASOUND: Final = codes.DCM.Ultrasound  # CID 29
TARGET_REGION: Final = codes.DCM.TargetRegion
IMAGE_LATERALITY: Final = codes.DCM.ImageLaterality
ROWS: Final = codes.DCM.PixelDataRows
COLUMNS: Final = codes.DCM.PixelDataColumns
HORIZONTAL_SPACING: Final = codes.DCM.HorizontalPixelSpacing
VERTICAL_SPACING: Final = codes.DCM.VerticalPixelSpacing

# measurements
PROBABILITY: Final = codes.DCM.Probability
PROBABILITY_OF_CANCER: Final = codes.DCM.ProbabilityOfCancer  # CID 6048
AREA: Final = codes.SCT.Area  # CID 7469
LONG_AXIS: Final = codes.SCT.LongAxis  # CID 7469
SHORT_AXIS: Final = codes.SCT.ShortAxis  # CID 7469
PERCENT: Final = codes.UCUM.Percent
MM: Final = codes.UCUM.Millimeter
MM2: Final = codes.UCUM.SquareMillimeter
NO_UNITS: Final = codes.UCUM.NoUnits
PIXELS: Final = Code("{pixels}", "UCUM", "pixels")
"""Unit of lengths and areas where the image is not calibrated."""

# algorithm
AI: Final = codes.DCM.ArtificialIntelligence  # CID 7162

# BI-RADS assessment of the reader, CID 6027 in CID 6026. CID 6027 is empty in pydicom, so the
# codes are listed here.
OVERALL_ASSESSMENT: Final = codes.DCM.OverallAssessment
_BIRADS: Final = (
    Code("397138000", "SCT", "0 - Incomplete - Need additional imaging evaluation"),
    Code("397140005", "SCT", "1 - Negative"),
    Code("397141009", "SCT", "2 - Benign"),
    Code("397143007", "SCT", "3 - Probably Benign"),
    Code("397144001", "SCT", "4 - Suspicious"),
    Code("MA.II.A.5.4A", "BI", "4A - Low suspicion", "4.0"),
    Code("MA.II.A.5.4B", "BI", "4B - Intermediate suspicion", "4.0"),
    Code("MA.II.A.5.4C", "BI", "4C - Moderate suspicion", "4.0"),
    Code("397145000", "SCT", "5 - Highly suggestive of malignancy"),
    Code("MA.II.A.5.6", "BI", "6 - Known biopsy proven malignancy", "4.0"),
)
BIRADS: Final = dict(zip(BIRADS_CATEGORIES, _BIRADS, strict=True))


def code_item(code: Code) -> Dataset:
    """Return `code` as an item of a code sequence (PS3.3 Table 8.8-1)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    if code.scheme_version:
        item.CodingSchemeVersion = code.scheme_version
    item.CodeMeaning = code.meaning
    return item


def cornerstone_scheme_item() -> Dataset:
    """Return the Coding Scheme Identification Sequence (0008,0110) item of 99CS3D."""
    item = Dataset()
    item.CodingSchemeDesignator = TEXT_POSITION.scheme_designator
    item.CodingSchemeName = "Cornerstone3D private codes"
    return item


def private_scheme_item() -> Dataset:
    """Return the Coding Scheme Identification Sequence (0008,0110) item of 99SONOGATE."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeUID = PRIVATE_SCHEME_UID
    item.CodingSchemeName = "Sonogate private codes"
    item.CodingSchemeResponsibleOrganization = "Sonogate"
    return item
