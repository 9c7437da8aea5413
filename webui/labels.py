"""The texts that the pages show for enum values and audit tags."""

import enum
from collections.abc import Mapping
from typing import Final

from flask import Flask

from db.audit_tags import AuditTag
from db.schema import (
    Decision,
    DeliveryStatus,
    JobKind,
    JobStatus,
    OutlineOrigin,
    Role,
    StudyStatus,
)
from db.worklist import DeliveryState, ReviewState
from dicom.terms.classification import BENIGN, MALIGNANT, NORMAL, UNDECIDED

CLASS_LABELS: Final = {
    NORMAL: "Normal",
    BENIGN: "Benign",
    MALIGNANT: "Malignant",
    UNDECIDED: "Undecided",
}
ENUM_LABELS: Final[Mapping[type[enum.StrEnum], Mapping[enum.StrEnum, str]]] = {
    StudyStatus: {
        StudyStatus.RECEIVING: "Receiving",
        StudyStatus.ANALYZING: "Analyzing",
        StudyStatus.ANALYZED: "Analyzed",
        StudyStatus.REFUSED: "Not analyzed",
        StudyStatus.FAILED: "Analysis failed",
    },
    ReviewState: {
        ReviewState.UNREVIEWED: "Not reviewed",
        ReviewState.DRAFT: "Draft",
        ReviewState.SIGNED: "Signed",
        ReviewState.OUTDATED: "Needs re-review",
    },
    DeliveryState: {
        DeliveryState.NONE: "Not sent",
        DeliveryState.WAITING: "Pending",
        DeliveryState.RETRYING: "Retrying",
        DeliveryState.FAILED: "Failed",
        DeliveryState.DELIVERED: "Delivered",
    },
    DeliveryStatus: {
        DeliveryStatus.PENDING: "Pending",
        DeliveryStatus.RETRYING: "Retrying",
        DeliveryStatus.FAILED: "Failed",
        DeliveryStatus.DELIVERED: "Delivered",
    },
    Decision: {
        Decision.ACCEPT: "Accept",
        Decision.MODIFY: "Modify",
        Decision.REJECT: "Reject",
    },
    OutlineOrigin: {
        OutlineOrigin.CORRECTED: "corrected",
        OutlineOrigin.DRAWN: "drawn",
    },
    JobKind: {
        JobKind.ANALYZE: "Analysis",
        JobKind.PUBLISH: "Result creation",
        JobKind.DELIVER: "Delivery",
        JobKind.SIGN: "Verified report",
        JobKind.SHADOW: "Shadow analysis",
    },
    JobStatus: {
        JobStatus.QUEUED: "Queued",
        JobStatus.RUNNING: "Running",
        JobStatus.DONE: "Done",
        JobStatus.DEAD_LETTER: "Failed",
    },
    Role: {
        Role.ADMINISTRATOR: "Administrator",
        Role.RADIOLOGIST: "Radiologist",
        Role.AUDITOR: "Auditor",
    },
}
EVENT_LABELS: Final[Mapping[AuditTag, str]] = {
    AuditTag.ASSOCIATION_REFUSED: "Association refused",
    AuditTag.CONTEXT_REJECTED: "Presentation context rejected",
    AuditTag.INSTANCE_STORED: "Image received",
    AuditTag.INSTANCE_DUPLICATE: "Duplicate image received",
    AuditTag.INSTANCE_CONFLICT: "Conflicting image quarantined",
    AuditTag.INSTANCE_OTHER_PATIENT: "Image with different patient data received",
    AuditTag.INSTANCE_REFUSED: "Object refused",
    AuditTag.ORPHAN_SETTLED: "Orphaned file registered",
    AuditTag.ORPHAN_SET_ASIDE: "File without rows quarantined",
    AuditTag.LISTENER_COMMITMENT_ANSWERED: "Storage commitment report received",
    AuditTag.STUDY_ANALYZED: "Study analyzed",
    AuditTag.STUDY_REFUSED: "No image could be analyzed",
    AuditTag.STUDY_FAILED: "Analysis failed",
    AuditTag.STUDY_NO_ROUTE: "No route matched, results not sent",
    AuditTag.SHADOW_COMPARED: "Shadow preset compared",
    AuditTag.SHADOW_FAILED: "Shadow analysis failed",
    AuditTag.ANALYSIS_PUBLISHED: "AI results created",
    AuditTag.REVIEW_PUBLISHED: "Verified report created",
    AuditTag.REVIEW_FAILED: "Verified report could not be created",
    AuditTag.DELIVERY_DELIVERED: "Results delivered",
    AuditTag.DELIVERY_RETRYING: "Delivery failed, will be retried",
    AuditTag.DELIVERY_FAILED: "Delivery failed permanently",
    AuditTag.SESSION_STARTED: "Signed in",
    AuditTag.SESSION_ENDED: "Signed out",
    AuditTag.WORKLIST_SEARCHED: "Worklist searched",
    AuditTag.STUDY_VIEWED: "Study viewed",
    AuditTag.REVIEW_DRAFT_SAVED: "Draft saved",
    AuditTag.REVIEW_SIGNED: "Review signed",
    AuditTag.REVIEW_AMENDMENT_BEGUN: "Amendment started",
    AuditTag.JOB_RETRIED: "Job retried",
    AuditTag.AUDIT_VERIFIED: "Audit log verified",
    AuditTag.AUDIT_EXPORTED: "Audit log exported",
    AuditTag.USER_CREATED: "User created",
    AuditTag.USER_CHANGED: "User updated",
    AuditTag.USER_ACTIVATED: "User activated",
    AuditTag.USER_DEACTIVATED: "User deactivated",
    AuditTag.USER_PASSWORD_CHANGED: "Password changed",
    AuditTag.USER_PASSWORD_RESET: "Password reset",
    AuditTag.USER_LOGIN_FAILED: "Sign-in failed",
    AuditTag.STUDY_EXPORTED: "Images exported as training data",
    AuditTag.DATASET_EXPORTED: "Training data export completed",
    AuditTag.COMMITMENT_ASKED: "Storage commitment requested",
    AuditTag.COMMITMENT_ENDED: "Storage commitment request unanswered",
    AuditTag.SONOGATE_COMMITMENT_ANSWERED: "Storage commitment report received",
}


def label(value: enum.StrEnum) -> str:
    """Return the text for an enum value."""
    return ENUM_LABELS[type(value)][value]


def class_label(name: str) -> str:
    """Return the text for a class, or for ``UNDECIDED``."""
    return CLASS_LABELS[name]


def event_label(tag: str) -> str:
    """Return the text for an audit tag; for a tag of another version, its subject and action."""
    try:
        return EVENT_LABELS[AuditTag(tag)]
    except ValueError:
        _, _, rest = tag.partition(":")
        return (rest or tag).replace(":", " ").replace("-", " ").capitalize()


def decision_summary(decision: Decision, final_label: str | None, asserted: str | None) -> str:
    """Return what a review decided.

    Args:
        final_label: the class of the review; None when the AI result is rejected.
        asserted: the class of the analysis; None when it is undecided.
    """
    if decision is Decision.ACCEPT:
        return "AI result accepted"
    if decision is Decision.REJECT:
        return "AI result rejected"
    if final_label == asserted:
        return "Outlines changed, same class"
    return "Class changed" if asserted else "Class assigned"


def install(app: Flask) -> None:
    for function in (label, class_label, event_label, decision_summary):
        app.jinja_env.filters[function.__name__] = function
