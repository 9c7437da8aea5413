"""The tables of the database."""

import enum
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Enum, ForeignKey, Index, MetaData, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from db.frames import ClassifiedFrame, ClassifiedFrames
from db.types import (
    AeTitle,
    AnalysisId,
    FileSize,
    Id,
    InstanceId,
    JsonDict,
    JsonList,
    LongText,
    RelativePath,
    Sha256,
    ShortText,
    StudyId,
    Uid,
    UtcDateTime,
)
from dicom.terms.classification import UNDECIDED, Classification, Probabilities
from dicom.terms.lesions import LesionMeasurements, SizeMm


class StudyStatus(enum.StrEnum):
    """The state of a study's processing. Reviews have their own state."""

    RECEIVING = "receiving"
    ANALYZING = "analyzing"
    ANALYZED = "analyzed"
    REFUSED = "refused"  # none of its images could be analyzed
    FAILED = "failed"  # the analysis is in the dead-letter queue


class AnalysisStatus(enum.StrEnum):
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"


class FindingKind(enum.StrEnum):
    IMAGE = "image"  # the classification of one instance
    LESION = "lesion"  # a lesion on one frame


class DeliveryStatus(enum.StrEnum):
    PENDING = "pending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    FAILED = "failed"  # its job is in the dead-letter queue


class Decision(enum.StrEnum):
    """A reader's judgment of an analysis."""

    ACCEPT = "accept"
    MODIFY = "modify"
    REJECT = "reject"


class OutlineOrigin(enum.StrEnum):
    CORRECTED = "corrected"  # a lesion of the networks, redrawn or removed
    DRAWN = "drawn"  # a lesion that the networks did not find on this frame


class Role(enum.StrEnum):
    ADMINISTRATOR = "administrator"
    RADIOLOGIST = "radiologist"
    AUDITOR = "auditor"


class JobKind(enum.StrEnum):
    ANALYZE = "analyze"
    PUBLISH = "publish"
    DELIVER = "deliver"
    SIGN = "sign"
    SHADOW = "shadow"


class JobStatus(enum.StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD_LETTER = "dead-letter"  # failed permanently; an administrator can retry it


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy reads it as a plain class attribute
        datetime: UtcDateTime,
        enum.Enum: Enum(
            enum.Enum,
            native_enum=False,
            length=20,
            values_callable=lambda members: [member.value for member in members],
        ),
    }


# ------------------------------------------------------------------------------ received


class Study(Base):
    """A DICOM study. ``revision`` increases when instances arrive after its analysis began."""

    __tablename__ = "study"

    id: Mapped[Id]
    study_instance_uid: Mapped[Uid] = mapped_column(unique=True)
    patient_id: Mapped[ShortText] = mapped_column(default="", index=True)
    patient_name: Mapped[LongText] = mapped_column(default="")
    patient_birth_date: Mapped[str] = mapped_column(String(8), default="")
    patient_sex: Mapped[str] = mapped_column(String(16), default="")
    accession_number: Mapped[ShortText] = mapped_column(default="", index=True)
    study_date: Mapped[str] = mapped_column(String(8), default="", index=True)
    study_time: Mapped[str] = mapped_column(String(16), default="")
    description: Mapped[LongText] = mapped_column(default="")
    source_ae: Mapped[AeTitle]
    status: Mapped[StudyStatus] = mapped_column(default=StudyStatus.RECEIVING, index=True)
    status_reason: Mapped[LongText] = mapped_column(default="")
    revision: Mapped[int] = mapped_column(default=1)
    received_at: Mapped[datetime] = mapped_column(index=True)
    last_instance_at: Mapped[datetime]

    series: Mapped[list["Series"]] = relationship(back_populates="study")
    analyses: Mapped[list["Analysis"]] = relationship(
        back_populates="study", order_by="Analysis.revision"
    )


class Series(Base):
    """A DICOM series, unique within its study.

    Some modalities use the same Series Instance UID for two patients. Their series are two rows.
    """

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("study_id", "series_instance_uid"),)

    id: Mapped[Id]
    study_id: Mapped[StudyId]
    series_instance_uid: Mapped[Uid]
    modality: Mapped[str] = mapped_column(String(16), default="")
    number: Mapped[int | None]
    description: Mapped[LongText] = mapped_column(default="")

    study: Mapped[Study] = relationship(back_populates="series")
    instances: Mapped[list["Instance"]] = relationship(
        back_populates="series", order_by="Instance.number"
    )


class Instance(Base):
    """A received SOP instance. Its file is stored unmodified."""

    __tablename__ = "instance"

    id: Mapped[Id]
    series_id: Mapped[UUID] = mapped_column(ForeignKey("series.id"), index=True)
    sop_instance_uid: Mapped[Uid] = mapped_column(unique=True)
    sop_class_uid: Mapped[Uid]
    transfer_syntax_uid: Mapped[Uid]
    number: Mapped[int | None]
    number_of_frames: Mapped[int] = mapped_column(default=1)
    rows: Mapped[int] = mapped_column(default=0)
    columns: Mapped[int] = mapped_column(default=0)
    frame_time_ms: Mapped[float | None]
    laterality: Mapped[str] = mapped_column(String(16), default="")
    file: Mapped[RelativePath]
    sha256: Mapped[Sha256]
    data_set_sha256: Mapped[Sha256 | None]  # without file meta; None: received by version 0.1
    size_bytes: Mapped[FileSize]
    source_ae: Mapped[AeTitle]
    source_address: Mapped[ShortText]
    received_at: Mapped[datetime]

    series: Mapped[Series] = relationship(back_populates="instances")


class Conflict(Base):
    """A quarantined file: other bytes under the SOP Instance UID of a stored instance."""

    __tablename__ = "conflict"
    __table_args__ = (UniqueConstraint("instance_id", "sha256"),)

    id: Mapped[Id]
    instance_id: Mapped[InstanceId]
    file: Mapped[RelativePath]
    sha256: Mapped[Sha256]
    data_set_sha256: Mapped[Sha256 | None]  # without file meta; None: received by version 0.1
    size_bytes: Mapped[FileSize]
    source_ae: Mapped[AeTitle]
    source_address: Mapped[ShortText]
    received_at: Mapped[datetime]


class SenderCount(Base):
    """How often an event of one kind occurred with one sender."""

    __tablename__ = "sender_count"
    __table_args__ = (UniqueConstraint("calling_ae", "address", "event"),)

    id: Mapped[Id]
    calling_ae: Mapped[AeTitle]
    address: Mapped[ShortText]
    event: Mapped[ShortText]
    count: Mapped[int] = mapped_column(default=0)
    last_at: Mapped[datetime]


# ------------------------------------------------------------------------------ analyzed


class ClassifiedRow:
    """Columns that hold a `Classification`."""

    label: Mapped[str] = mapped_column(String(16))
    undecided: Mapped[bool] = mapped_column(default=False)
    p_normal: Mapped[float]
    p_benign: Mapped[float]
    p_malignant: Mapped[float]

    @property
    def classification(self) -> Classification:
        return Classification(self.label, self.probabilities, self.undecided)

    @classification.setter
    def classification(self, classification: Classification) -> None:
        self.label, self.undecided = classification.label, classification.undecided
        self.p_normal, self.p_benign, self.p_malignant = classification.probabilities

    @property
    def probabilities(self) -> Probabilities:
        return self.p_normal, self.p_benign, self.p_malignant

    @property
    def asserted_class(self) -> str | None:
        return self.classification.asserted_class

    @property
    def displayed_class(self) -> str:
        return self.classification.displayed_class

    @property
    def confidence(self) -> float:
        return self.classification.confidence


class Analysis(Base):
    """One run of one pipeline version on one revision of a study, identified by its digest.

    ``label`` is the most probable class. If ``undecided``, its probability is below
    ``confidence_threshold``, and no report asserts it.
    """

    __tablename__ = "analysis"
    __table_args__ = (UniqueConstraint("study_id", "study_digest", "pipeline_version"),)

    id: Mapped[Id]
    study_id: Mapped[StudyId]
    revision: Mapped[int]
    study_digest: Mapped[Sha256]
    pipeline_version: Mapped[ShortText]
    classifier_digest: Mapped[Sha256]
    segmenter_digest: Mapped[Sha256]
    status: Mapped[AnalysisStatus] = mapped_column(default=AnalysisStatus.RUNNING)
    confidence_threshold: Mapped[float] = mapped_column(default=0.0)
    label: Mapped[str | None] = mapped_column(String(16), index=True)
    undecided: Mapped[bool] = mapped_column(default=False)
    p_normal: Mapped[float | None]
    p_benign: Mapped[float | None]
    p_malignant: Mapped[float | None]
    predecessor_id: Mapped[UUID | None] = mapped_column(ForeignKey("analysis.id"))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    study: Mapped[Study] = relationship(back_populates="analyses")
    findings: Mapped[list["Finding"]] = relationship(
        back_populates="analysis", order_by="Finding.number"
    )
    refusals: Mapped[list["Refusal"]] = relationship(back_populates="analysis")
    reviews: Mapped[list["Review"]] = relationship(
        back_populates="analysis", order_by="Review.created_at"
    )
    result_sets: Mapped[list["ResultSet"]] = relationship(
        back_populates="analysis", order_by="ResultSet.created_at"
    )

    @property
    def classification(self) -> Classification | None:
        """None while the analysis is running, and if all images were refused."""
        if self.label is None or self.probabilities is None:
            return None
        return Classification(self.label, self.probabilities, self.undecided)

    @classification.setter
    def classification(self, classification: Classification | None) -> None:
        self.label = classification.label if classification else None
        self.undecided = classification.undecided if classification else False
        self.p_normal, self.p_benign, self.p_malignant = (
            classification.probabilities if classification else (None, None, None)
        )

    @property
    def probabilities(self) -> Probabilities | None:
        if self.p_normal is None or self.p_benign is None or self.p_malignant is None:
            return None
        return self.p_normal, self.p_benign, self.p_malignant

    @property
    def asserted_class(self) -> str | None:
        """The class that a report may state; None if undecided or not analyzed."""
        return None if self.undecided else self.label

    @property
    def displayed_class(self) -> str | None:
        """The class, or ``undecided``; None if not analyzed."""
        return UNDECIDED if self.undecided else self.label

    @property
    def confidence(self) -> float | None:
        """Probability of the most probable class."""
        return max(self.probabilities) if self.probabilities else None


class Finding(ClassifiedRow, Base):
    """A lesion on one frame, or the classification of one image.

    ``tracking_uid`` is the same in SEG, SR and review. ``frame_number`` counts from 1.
    ``frames`` is for images only, ``contour``, ``bbox``, ``mask_file`` and the sizes for lesions.
    """

    __tablename__ = "finding"
    __table_args__ = (UniqueConstraint("analysis_id", "tracking_uid", "frame_number"),)

    id: Mapped[Id]
    analysis_id: Mapped[AnalysisId]
    instance_id: Mapped[InstanceId]
    kind: Mapped[FindingKind]
    number: Mapped[int]
    tracking_uid: Mapped[Uid]
    frame_number: Mapped[int]
    bbox: Mapped[JsonList | None]  # x0, y0, x1, y1 in pixels, ends exclusive
    contour: Mapped[JsonList | None]  # [[x, y], …] in pixels
    area_px: Mapped[int | None]
    long_axis_px: Mapped[float | None]
    short_axis_px: Mapped[float | None]
    area_mm2: Mapped[float | None]  # None: the frame is not calibrated
    long_axis_mm: Mapped[float | None]
    short_axis_mm: Mapped[float | None]
    row_spacing_mm: Mapped[float | None]
    column_spacing_mm: Mapped[float | None]
    mask_file: Mapped[RelativePath | None]
    frames: Mapped[Sequence[ClassifiedFrame] | None] = mapped_column(ClassifiedFrames)

    analysis: Mapped[Analysis] = relationship(back_populates="findings")
    instance: Mapped[Instance] = relationship()

    @property
    def measurements(self) -> LesionMeasurements | None:
        """None for an image."""
        if self.area_px is None or self.long_axis_px is None or self.short_axis_px is None:
            return None
        size_mm = None
        if (
            self.area_mm2 is not None
            and self.long_axis_mm is not None
            and self.short_axis_mm is not None
        ):
            size_mm = SizeMm(self.area_mm2, self.long_axis_mm, self.short_axis_mm)
        return LesionMeasurements(self.area_px, self.long_axis_px, self.short_axis_px, size_mm)

    @measurements.setter
    def measurements(self, measurements: LesionMeasurements) -> None:
        self.area_px = measurements.area_px
        self.long_axis_px = measurements.long_axis_px
        self.short_axis_px = measurements.short_axis_px
        size_mm = measurements.size_mm
        self.area_mm2 = size_mm.area_mm2 if size_mm else None
        self.long_axis_mm = size_mm.long_axis_mm if size_mm else None
        self.short_axis_mm = size_mm.short_axis_mm if size_mm else None

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """(row, column) spacing of the image; None if it is not calibrated."""
        if self.row_spacing_mm is None or self.column_spacing_mm is None:
            return None
        return self.row_spacing_mm, self.column_spacing_mm

    @spacing_mm.setter
    def spacing_mm(self, spacing_mm: tuple[float, float] | None) -> None:
        self.row_spacing_mm, self.column_spacing_mm = spacing_mm or (None, None)


class Refusal(Base):
    """The reason why an instance, or one frame of it, was not analyzed."""

    __tablename__ = "refusal"

    id: Mapped[Id]
    analysis_id: Mapped[AnalysisId]
    instance_id: Mapped[InstanceId]
    frame_number: Mapped[int | None]
    code: Mapped[ShortText]
    text: Mapped[LongText]

    analysis: Mapped[Analysis] = relationship(back_populates="refusals")
    instance: Mapped[Instance] = relationship()


class ShadowAnalysis(ClassifiedRow, Base):
    """A shadow preset's analysis of the images of an analysis, for comparison only.

    Its output is never sent nor shown to readers. ``agrees``: both assert the same class, or none.
    """

    __tablename__ = "shadow_analysis"
    __table_args__ = (UniqueConstraint("analysis_id", "pipeline_version"),)

    id: Mapped[Id]
    analysis_id: Mapped[AnalysisId]
    pipeline_version: Mapped[ShortText]
    preset_name: Mapped[ShortText]
    preset_version: Mapped[ShortText]
    classifier_digest: Mapped[Sha256]
    segmenter_digest: Mapped[Sha256]
    agrees: Mapped[bool] = mapped_column(index=True)
    finished_at: Mapped[datetime]

    analysis: Mapped[Analysis] = relationship()
    images: Mapped[list["ShadowImage"]] = relationship(back_populates="shadow")


class ShadowImage(ClassifiedRow, Base):
    """One image of a `ShadowAnalysis`.

    ``frame_number`` is the image's representative frame in the active analysis; ``area_px`` and
    ``active_area_px`` are the outlined areas on that frame, and ``dice`` is their overlap. It is
    None if both are empty or the shadow preset did not analyze that frame.
    """

    __tablename__ = "shadow_image"
    __table_args__ = (UniqueConstraint("shadow_id", "instance_id"),)

    id: Mapped[Id]
    shadow_id: Mapped[UUID] = mapped_column(ForeignKey("shadow_analysis.id"), index=True)
    instance_id: Mapped[InstanceId]
    frame_number: Mapped[int]
    lesions: Mapped[int]
    area_px: Mapped[int]
    active_lesions: Mapped[int]
    active_area_px: Mapped[int]
    dice: Mapped[float | None]
    agrees: Mapped[bool]

    shadow: Mapped[ShadowAnalysis] = relationship(back_populates="images")
    instance: Mapped[Instance] = relationship()


# ------------------------------------------------------------------------------ reviewed


class User(Base):
    __tablename__ = "user"

    id: Mapped[Id]
    username: Mapped[ShortText] = mapped_column(unique=True)
    display_name: Mapped[ShortText]
    dicom_name: Mapped[ShortText]  # PN, "Family^Given": the Verifying Observer Name (0040,A075)
    organization: Mapped[ShortText] = mapped_column(default="")
    role: Mapped[Role]
    password_hash: Mapped[str] = mapped_column(String(255))
    must_change_password: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)
    failed_logins: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Review(Base):
    """A radiologist's judgment of an analysis. Triggers reject changes once it is signed."""

    __tablename__ = "review"

    id: Mapped[Id]
    analysis_id: Mapped[AnalysisId]
    reader_id: Mapped[UUID] = mapped_column(ForeignKey("user.id"), index=True)
    decision: Mapped[Decision]
    final_label: Mapped[str | None] = mapped_column(String(16))
    birads: Mapped[str | None] = mapped_column(
        String(2)
    )  # from the radiologist, never from the networks
    reason: Mapped[ShortText] = mapped_column(default="")
    comment: Mapped[str] = mapped_column(Text, default="")
    predecessor_id: Mapped[UUID | None] = mapped_column(ForeignKey("review.id"))
    created_at: Mapped[datetime]
    signed_at: Mapped[datetime | None]

    analysis: Mapped[Analysis] = relationship(back_populates="reviews")
    reader: Mapped[User] = relationship()
    outlines: Mapped[list["ReviewOutline"]] = relationship(
        back_populates="review",
        cascade="all, delete-orphan",
        order_by="ReviewOutline.number, ReviewOutline.frame_number",
    )


class ReviewOutline(Base):
    """A radiologist's outline of a lesion on one frame. An empty ``contour`` removes the lesion.

    Triggers reject changes once the review is signed.
    """

    __tablename__ = "review_outline"
    __table_args__ = (UniqueConstraint("review_id", "tracking_uid", "frame_number"),)

    id: Mapped[Id]
    review_id: Mapped[UUID] = mapped_column(ForeignKey("review.id"))
    instance_id: Mapped[InstanceId]
    frame_number: Mapped[int]
    tracking_uid: Mapped[Uid]
    number: Mapped[int]  # unique in the study, like that of a finding
    origin: Mapped[OutlineOrigin]
    contour: Mapped[JsonList]  # [[x, y], …] in pixels

    review: Mapped[Review] = relationship(back_populates="outlines")


# ------------------------------------------------------------------------------ created and delivered


class ResultSet(Base):
    """The DICOM objects of one analysis, or of one signed review of it."""

    __tablename__ = "result_set"
    __table_args__ = (
        # One set per review, and one per analysis without a review. UNIQUE treats NULLs as
        # distinct on both databases, so the second rule needs a partial index.
        UniqueConstraint("review_id"),
        Index(
            "uq_result_set_analysis_without_review",
            "analysis_id",
            unique=True,
            sqlite_where=text("review_id IS NULL"),
            postgresql_where=text("review_id IS NULL"),
        ),
    )

    id: Mapped[Id]
    analysis_id: Mapped[AnalysisId]
    review_id: Mapped[UUID | None] = mapped_column(ForeignKey("review.id"))
    created_at: Mapped[datetime]

    analysis: Mapped[Analysis] = relationship(back_populates="result_sets")
    review: Mapped[Review | None] = relationship()
    objects: Mapped[list["ResultObject"]] = relationship(back_populates="result_set")
    deliveries: Mapped[list["Delivery"]] = relationship(back_populates="result_set")


class ResultObject(Base):
    """A DICOM object that Sonogate created.

    ``spec`` is its kind, variant and options, for example ``sr:comprehensive``. The variant is never
    left out as in the routes file, because a later release may have another default.
    ``selections`` are the result selections that contain it, each a list of specs. A report refers
    to the other objects of its selection, so a set can contain several reports of one spec.
    """

    __tablename__ = "result_object"

    id: Mapped[Id]
    result_set_id: Mapped[UUID] = mapped_column(ForeignKey("result_set.id"), index=True)
    spec: Mapped[ShortText]
    selections: Mapped[JsonList]
    sop_class_uid: Mapped[Uid]
    sop_instance_uid: Mapped[Uid] = mapped_column(unique=True)
    series_instance_uid: Mapped[Uid]
    file: Mapped[RelativePath]
    sha256: Mapped[Sha256]
    size_bytes: Mapped[int]
    created_at: Mapped[datetime]

    result_set: Mapped[ResultSet] = relationship(back_populates="objects")

    @property
    def kind(self) -> str:
        """The spec without its variant: ``sr``."""
        return self.spec.partition(":")[0]


class Destination(Base):
    """A destination of the routes file. Rows are synchronized with the file by name.

    ``settings`` holds the keys of its kind, validated by the workers. ``results`` is its result
    selection, in the order of sending. ``chosen`` is what the file says about it: a ``profile``,
    ``results``, or nothing for the default profile. It is None until this release reads the file.
    ``former_results`` are the selections that the same choice stood for in earlier releases:
    deliveries that were queued then keep theirs.
    """

    __tablename__ = "destination"

    id: Mapped[Id]
    name: Mapped[ShortText] = mapped_column(unique=True)
    kind: Mapped[ShortText]
    settings: Mapped[JsonDict]
    results: Mapped[JsonList]
    chosen: Mapped[JsonDict | None]
    former_results: Mapped[JsonList] = mapped_column(default=list)
    active: Mapped[bool] = mapped_column(default=True)


class Delivery(Base):
    """The sending of one result set to one destination."""

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("result_set_id", "destination_id"),)

    id: Mapped[Id]
    result_set_id: Mapped[UUID] = mapped_column(ForeignKey("result_set.id"), index=True)
    destination_id: Mapped[UUID] = mapped_column(ForeignKey("destination.id"), index=True)
    route: Mapped[ShortText]
    selection: Mapped[JsonList]
    status: Mapped[DeliveryStatus] = mapped_column(default=DeliveryStatus.PENDING, index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[LongText] = mapped_column(default="")
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]

    result_set: Mapped[ResultSet] = relationship(back_populates="deliveries")
    destination: Mapped[Destination] = relationship()
    objects: Mapped[list["DeliveredObject"]] = relationship(back_populates="delivery")


class DeliveredObject(Base):
    """The C-STORE response status (PS3.4 B.2.3) for one object of a delivery."""

    __tablename__ = "delivered_object"
    __table_args__ = (UniqueConstraint("delivery_id", "result_object_id"),)

    id: Mapped[Id]
    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("delivery.id"), index=True)
    result_object_id: Mapped[UUID] = mapped_column(ForeignKey("result_object.id"), index=True)
    status_code: Mapped[int]
    answered_at: Mapped[datetime]

    delivery: Mapped[Delivery] = relationship(back_populates="objects")
    result_object: Mapped[ResultObject] = relationship()


class Commitment(Base):
    """A storage commitment request and its report (PS3.4 J.3), which may arrive much later.

    ``requested`` holds SOP Instance UIDs, ``committed`` those that the PACS commits to, and
    ``failure_reasons`` the Failure Reason (0008,1197) of the others: ``{"1.2.3": 274}``. The report
    did not mention UIDs that are in neither. ``answered_at`` is also set if the request ended
    without a report.
    """

    __tablename__ = "commitment"

    id: Mapped[Id]
    transaction_uid: Mapped[Uid] = mapped_column(unique=True)
    destination: Mapped[ShortText]
    requested: Mapped[JsonList]
    requested_at: Mapped[datetime]
    committed: Mapped[JsonList | None]
    failure_reasons: Mapped[JsonDict | None]
    answered_at: Mapped[datetime | None]


# ------------------------------------------------------------------------------ jobs and audit log


class Job(Base):
    """A unit of background work.

    ``due_at`` is when the sweep finds it: at once for a new job, later for a dispatched one, at
    the end of the lease for a running one, after the backoff for a failed one. ``fencing_token``
    increases with every claim and stops a worker that lost its lease from writing.
    """

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("kind", "key"),
        Index("ix_job_status_due_at", "status", "due_at"),
    )

    id: Mapped[Id]
    kind: Mapped[JobKind]
    key: Mapped[str] = mapped_column(String(80))
    subject_id: Mapped[UUID] = mapped_column(index=True)
    status: Mapped[JobStatus] = mapped_column(default=JobStatus.QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    fencing_token: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    error: Mapped[LongText] = mapped_column(default="")
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class AuditEvent(Base):
    """An event of the audit log. ``hash`` covers all other columns, also the previous hash.

    ``details`` is text, because a JSON column may reorder keys.
    """

    __tablename__ = "audit_event"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(index=True)
    tag: Mapped[ShortText] = mapped_column(index=True)
    actor: Mapped[ShortText] = mapped_column(index=True)
    study_id: Mapped[UUID | None] = mapped_column(index=True)
    details: Mapped[str] = mapped_column(Text)
    previous_hash: Mapped[Sha256]
    hash: Mapped[Sha256]


class AuditHead(Base):
    """The newest event of the audit log: a single row, locked by each append."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int]
    hash: Mapped[Sha256]
