"""Copies the patient and study modules (PS3.3 A.1.4) of a received image into a result.

A result belongs to the patient and study of its image, so it repeats the modules Patient, General
Study, Patient Study, Clinical Trial Subject and Clinical Trial Study.
"""

from collections.abc import Iterable
from typing import Final

from pydicom.dataset import Dataset

from dicom.attributes import get_items, get_text
from dicom.results.copying import copy_present, copy_type_2, copy_values
from dicom.results.source_image import TYPE_2, SourceImage

_OPTIONAL: Final = (
    # Patient (C.7.1.1); Other Patient IDs (0010,1000) and Ethnic Group (0010,2160) are retired
    "ReferencedPatientSequence",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "SourcePatientGroupIdentificationSequence",
    "GroupOfPatientsIdentificationSequence",
    "PatientBirthTime",
    "PatientBirthDateInAlternativeCalendar",
    "PatientDeathDateInAlternativeCalendar",
    "QualityControlSubject",
    "StrainDescription",
    "StrainNomenclature",
    "StrainStockSequence",
    "StrainAdditionalInformation",
    "StrainCodeSequence",
    "GeneticModificationsSequence",
    "OtherPatientNames",
    "OtherPatientIDsSequence",
    "ReferencedPatientPhotoSequence",
    "EthnicGroupCodeSequence",
    "PatientComments",
    "PatientIdentityRemoved",
    # General Study (C.7.2.1)
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianIdentificationSequence",
    "ConsultingPhysicianName",
    "ConsultingPhysicianIdentificationSequence",
    "StudyDescription",
    "ProcedureCodeSequence",
    "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence",
    "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence",
    "ReferencedStudySequence",
    "RequestingService",
    "RequestingServiceCodeSequence",
    "ReasonForPerformedProcedureCodeSequence",
    # Patient Study (C.7.2.2)
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "PatientAge",
    "PatientSize",
    "PatientSizeCodeSequence",
    "PatientBodyMassIndex",
    "MeasuredAPDimension",
    "MeasuredLateralDimension",
    "PatientWeight",
    "MedicalAlerts",
    "Allergies",
    "Occupation",
    "SmokingStatus",
    "AdditionalPatientHistory",
    "PregnancyStatus",
    "LastMenstrualDate",
    "ReasonForVisit",
    "ReasonForVisitCodeSequence",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ServiceEpisodeID",
    "ServiceEpisodeDescription",
    "IssuerOfServiceEpisodeIDSequence",
    "PatientState",
)
"""Type 3."""
_OF_ANIMALS: Final = (
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "ResponsiblePerson",
    "ResponsibleOrganization",
    "PatientSexNeutered",
)
"""Type 2C: empty when the value is not known."""
_NEVER_EMPTY: Final = (
    "PatientAlternativeCalendar",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "ResponsiblePersonRole",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
)
"""Type 1C."""
_TRIAL: Final = ("ClinicalTrialSponsorName", "ClinicalTrialProtocolID")
"""Type 1 in Clinical Trial Subject (C.7.1.3). An image without them belongs to no trial."""
_TRIAL_TYPE_2: Final = (
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
)
_TRIAL_OPTIONAL: Final = (
    "IssuerOfClinicalTrialProtocolID",
    "IssuerOfClinicalTrialSiteID",
    "IssuerOfClinicalTrialSubjectID",
    "IssuerOfClinicalTrialSubjectReadingID",
    "OtherClinicalTrialProtocolIDsSequence",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialProtocolEthicsCommitteeName",
    "ClinicalTrialProtocolEthicsCommitteeApprovalNumber",
    # Clinical Trial Study (C.7.2.3)
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "LongitudinalTemporalOffsetFromEvent",
    "LongitudinalTemporalEventType",
    "ClinicalTrialTimePointTypeCodeSequence",
    "ConsentForClinicalTrialUseSequence",
    "IssuerOfClinicalTrialTimePointID",
)
_REQUEST_TYPE_2: Final = (
    "ReferencedStudySequence",
    "AccessionNumber",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence",
)
_REQUEST_OPTIONAL: Final = (
    "IssuerOfAccessionNumberSequence",
    "OrderPlacerIdentifierSequence",
    "OrderFillerIdentifierSequence",
    "ReasonForTheRequestedProcedure",
    "ReasonForRequestedProcedureCodeSequence",
)


def copy_patient_and_study(source: Dataset, target: Dataset) -> None:
    """Copy the patient and study modules. Type 2 attributes are written even when empty.

    The caller writes Study Instance UID, which it has validated.
    """
    copy_type_2(source, target, TYPE_2)
    copy_present(source, target, _OPTIONAL)
    copy_type_2(source, target, [keyword for keyword in _OF_ANIMALS if keyword in source])
    copy_values(source, target, _NEVER_EMPTY)
    if all(get_text(source, keyword) for keyword in _TRIAL):
        copy_values(source, target, _TRIAL)
        copy_type_2(source, target, _TRIAL_TYPE_2)
        copy_present(source, target, _TRIAL_OPTIONAL)


def add_requests(target: Dataset, sources: Iterable[SourceImage]) -> None:
    """List the orders of the images in Referenced Request Sequence (0040,A370).

    The orders come from Request Attributes Sequence (0040,0275). The sequence is absent when there
    are none.
    """
    requests: dict[tuple[str, str, str], Dataset] = {}
    for source in sources:
        for attributes in get_items(source.dataset, "RequestAttributesSequence"):
            request = Dataset()
            copy_type_2(attributes, request, _REQUEST_TYPE_2)
            copy_values(attributes, request, _REQUEST_OPTIONAL)
            if not request.AccessionNumber:  # a study of one order may state it at study level only
                accession = ("AccessionNumber", "IssuerOfAccessionNumberSequence")
                copy_values(source.dataset, request, accession)
            study_uid = get_text(attributes, "StudyInstanceUID")
            request.StudyInstanceUID = study_uid or source.header.study_instance_uid
            accession_number = get_text(request, "AccessionNumber")
            procedure_id = get_text(request, "RequestedProcedureID")
            if accession_number or procedure_id:
                key = get_text(request, "StudyInstanceUID"), accession_number, procedure_id
                requests.setdefault(key, request)
    if requests:
        target.ReferencedRequestSequence = list(requests.values())
