"""Create the first schema. Frozen: changes belong in a new migration."""

import sqlalchemy as sa
from alembic import op

from db.migrations import guards
from db.types import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("tag", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("study_id", sa.Uuid(), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_event")),
    )
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_event_actor"), ["actor"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_event_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_event_study_id"), ["study_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_event_tag"), ["tag"], unique=False)

    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "destination",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("ae_title", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_destination")),
        sa.UniqueConstraint("name", name=op.f("uq_destination_name")),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "analyse",
                "publish",
                "deliver",
                "sign",
                "shadow",
                name="jobkind",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "queued", "running", "done", "dead", name="jobstatus", native_enum=False, length=20
            ),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("error", sa.String(length=1024), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("kind", "key", name=op.f("uq_job_kind_key")),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index("ix_job_status_due_at", ["status", "due_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_job_subject_id"), ["subject_id"], unique=False)

    op.create_table(
        "sender_count",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("calling_ae", sa.String(length=16), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sender_count")),
        sa.UniqueConstraint(
            "calling_ae", "address", "what", name=op.f("uq_sender_count_calling_ae_address_what")
        ),
    )
    op.create_table(
        "commitment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("committed", sa.JSON(), nullable=True),
        sa.Column("failed", sa.JSON(), nullable=True),
        sa.Column("answered_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment")),
        sa.UniqueConstraint("transaction_uid", name=op.f("uq_commitment_transaction_uid")),
    )
    op.create_table(
        "study",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("patient_id", sa.String(length=64), nullable=False),
        sa.Column("patient_name", sa.String(length=1024), nullable=False),
        sa.Column("patient_birth_date", sa.String(length=8), nullable=False),
        sa.Column("patient_sex", sa.String(length=16), nullable=False),
        sa.Column("accession_number", sa.String(length=64), nullable=False),
        sa.Column("study_date", sa.String(length=8), nullable=False),
        sa.Column("study_time", sa.String(length=16), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("source_ae", sa.String(length=16), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "receiving",
                "analysing",
                "analysed",
                "refused",
                "failed",
                name="studystatus",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("status_reason", sa.String(length=1024), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("last_instance_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study")),
        sa.UniqueConstraint("study_instance_uid", name=op.f("uq_study_study_instance_uid")),
    )
    with op.batch_alter_table("study", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_study_accession_number"), ["accession_number"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_study_patient_id"), ["patient_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_study_received_at"), ["received_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_study_status"), ["status"], unique=False)
        batch_op.create_index(batch_op.f("ix_study_study_date"), ["study_date"], unique=False)

    op.create_table(
        "user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.String(length=64), nullable=False),
        sa.Column("dicom_name", sa.String(length=64), nullable=False),
        sa.Column("organization", sa.String(length=64), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "administrator", "radiologist", "auditor", name="role", native_enum=False, length=20
            ),
            nullable=False,
        ),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("failed_logins", sa.Integer(), nullable=False),
        sa.Column("locked_until", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("username", name=op.f("uq_user_username")),
    )
    op.create_table(
        "analysis",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("study_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("study_digest", sa.String(length=64), nullable=False),
        sa.Column("pipeline_version", sa.String(length=64), nullable=False),
        sa.Column("classifier_digest", sa.String(length=64), nullable=False),
        sa.Column("segmenter_digest", sa.String(length=64), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "running", "done", "refused", name="analysisstatus", native_enum=False, length=20
            ),
            nullable=False,
        ),
        sa.Column("abstain_below", sa.Double(), nullable=False),
        sa.Column("label", sa.String(length=16), nullable=True),
        sa.Column("undecided", sa.Boolean(), nullable=False),
        sa.Column("p_normal", sa.Double(), nullable=True),
        sa.Column("p_benign", sa.Double(), nullable=True),
        sa.Column("p_malignant", sa.Double(), nullable=True),
        sa.Column("predecessor_id", sa.Uuid(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["predecessor_id"], ["analysis.id"], name=op.f("fk_analysis_predecessor_id_analysis")
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_analysis_study_id_study")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analysis")),
        sa.UniqueConstraint(
            "study_id",
            "study_digest",
            "pipeline_version",
            name=op.f("uq_analysis_study_id_study_digest_pipeline_version"),
        ),
    )
    with op.batch_alter_table("analysis", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_analysis_label"), ["label"], unique=False)
        batch_op.create_index(batch_op.f("ix_analysis_study_id"), ["study_id"], unique=False)

    op.create_table(
        "series",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("study_id", sa.Uuid(), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("modality", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_series_study_id_study")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint(
            "study_id", "series_instance_uid", name=op.f("uq_series_study_id_series_instance_uid")
        ),
    )
    with op.batch_alter_table("series", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_series_study_id"), ["study_id"], unique=False)

    op.create_table(
        "instance",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("series_id", sa.Uuid(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("number_of_frames", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("frame_time_ms", sa.Double(), nullable=True),
        sa.Column("laterality", sa.String(length=16), nullable=False),
        sa.Column("file", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("source_ae", sa.String(length=16), nullable=False),
        sa.Column("source_address", sa.String(length=64), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["series_id"], ["series.id"], name=op.f("fk_instance_series_id_series")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_instance_sop_instance_uid")),
    )
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_instance_series_id"), ["series_id"], unique=False)

    op.create_table(
        "review",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("reader_id", sa.Uuid(), nullable=False),
        sa.Column(
            "decision",
            sa.Enum("accept", "modify", "reject", name="decision", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("final_label", sa.String(length=16), nullable=True),
        sa.Column("birads", sa.String(length=2), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("predecessor_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("signed_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analysis.id"], name=op.f("fk_review_analysis_id_analysis")
        ),
        sa.ForeignKeyConstraint(
            ["predecessor_id"], ["review.id"], name=op.f("fk_review_predecessor_id_review")
        ),
        sa.ForeignKeyConstraint(["reader_id"], ["user.id"], name=op.f("fk_review_reader_id_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_review_analysis_id"), ["analysis_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_review_reader_id"), ["reader_id"], unique=False)

    op.create_table(
        "conflict",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("file", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("source_ae", sa.String(length=16), nullable=False),
        sa.Column("source_address", sa.String(length=64), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_conflict_instance_id_instance")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conflict")),
        sa.UniqueConstraint("instance_id", "sha256", name=op.f("uq_conflict_instance_id_sha256")),
    )
    with op.batch_alter_table("conflict", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_conflict_instance_id"), ["instance_id"], unique=False)

    op.create_table(
        "finding",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("image", "lesion", name="findingkind", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tracking_uid", sa.String(length=64), nullable=False),
        sa.Column("frame_number", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(length=16), nullable=False),
        sa.Column("undecided", sa.Boolean(), nullable=False),
        sa.Column("p_normal", sa.Double(), nullable=False),
        sa.Column("p_benign", sa.Double(), nullable=False),
        sa.Column("p_malignant", sa.Double(), nullable=False),
        sa.Column("bbox", sa.JSON(), nullable=True),
        sa.Column("contour", sa.JSON(), nullable=True),
        sa.Column("area_px", sa.Integer(), nullable=True),
        sa.Column("long_axis_px", sa.Double(), nullable=True),
        sa.Column("short_axis_px", sa.Double(), nullable=True),
        sa.Column("area_mm2", sa.Double(), nullable=True),
        sa.Column("long_axis_mm", sa.Double(), nullable=True),
        sa.Column("short_axis_mm", sa.Double(), nullable=True),
        sa.Column("row_spacing_mm", sa.Double(), nullable=True),
        sa.Column("column_spacing_mm", sa.Double(), nullable=True),
        sa.Column("mask_file", sa.String(length=255), nullable=True),
        sa.Column("frames", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analysis.id"], name=op.f("fk_finding_analysis_id_analysis")
        ),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_finding_instance_id_instance")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        sa.UniqueConstraint(
            "analysis_id",
            "tracking_uid",
            "frame_number",
            name=op.f("uq_finding_analysis_id_tracking_uid_frame_number"),
        ),
    )
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_finding_analysis_id"), ["analysis_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_finding_instance_id"), ["instance_id"], unique=False)

    op.create_table(
        "refusal",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("frame_number", sa.Integer(), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("text", sa.String(length=1024), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analysis.id"], name=op.f("fk_refusal_analysis_id_analysis")
        ),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_refusal_instance_id_instance")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusal")),
    )
    with op.batch_alter_table("refusal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_refusal_analysis_id"), ["analysis_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_refusal_instance_id"), ["instance_id"], unique=False)

    op.create_table(
        "review_outline",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("review_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("frame_number", sa.Integer(), nullable=False),
        sa.Column("tracking_uid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column(
            "origin",
            sa.Enum("corrected", "drawn", name="outlineorigin", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("contour", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_review_outline_instance_id_instance")
        ),
        sa.ForeignKeyConstraint(
            ["review_id"], ["review.id"], name=op.f("fk_review_outline_review_id_review")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_outline")),
        sa.UniqueConstraint(
            "review_id",
            "tracking_uid",
            "frame_number",
            name=op.f("uq_review_outline_review_id_tracking_uid_frame_number"),
        ),
    )
    with op.batch_alter_table("review_outline", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_review_outline_instance_id"), ["instance_id"], unique=False
        )

    op.create_table(
        "result_set",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("review_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analysis.id"], name=op.f("fk_result_set_analysis_id_analysis")
        ),
        sa.ForeignKeyConstraint(
            ["review_id"], ["review.id"], name=op.f("fk_result_set_review_id_review")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result_set")),
        sa.UniqueConstraint("review_id", name=op.f("uq_result_set_review_id")),
    )
    with op.batch_alter_table("result_set", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_result_set_analysis_id"), ["analysis_id"], unique=False
        )
        batch_op.create_index(
            "uq_result_set_analysis_without_review",
            ["analysis_id"],
            unique=True,
            sqlite_where=sa.text("review_id IS NULL"),
            postgresql_where=sa.text("review_id IS NULL"),
        )

    op.create_table(
        "delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("result_set_id", sa.Uuid(), nullable=False),
        sa.Column("destination_id", sa.Uuid(), nullable=False),
        sa.Column("route", sa.String(length=64), nullable=False),
        sa.Column("wish", sa.JSON(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "retrying",
                "delivered",
                "failed",
                name="deliverystatus",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(length=1024), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("delivered_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["destination_id"],
            ["destination.id"],
            name=op.f("fk_delivery_destination_id_destination"),
        ),
        sa.ForeignKeyConstraint(
            ["result_set_id"], ["result_set.id"], name=op.f("fk_delivery_result_set_id_result_set")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint(
            "result_set_id", "destination_id", name=op.f("uq_delivery_result_set_id_destination_id")
        ),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_delivery_destination_id"), ["destination_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_delivery_result_set_id"), ["result_set_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_delivery_status"), ["status"], unique=False)

    op.create_table(
        "result_object",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("result_set_id", sa.Uuid(), nullable=False),
        sa.Column("spec", sa.String(length=64), nullable=False),
        sa.Column("wishes", sa.JSON(), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("file", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["result_set_id"],
            ["result_set.id"],
            name=op.f("fk_result_object_result_set_id_result_set"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result_object")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_result_object_sop_instance_uid")),
    )
    with op.batch_alter_table("result_object", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_result_object_result_set_id"), ["result_set_id"], unique=False
        )

    op.create_table(
        "shadow_analysis",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("pipeline_version", sa.String(length=64), nullable=False),
        sa.Column("preset_name", sa.String(length=64), nullable=False),
        sa.Column("preset_version", sa.String(length=64), nullable=False),
        sa.Column("classifier_digest", sa.String(length=64), nullable=False),
        sa.Column("segmenter_digest", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=16), nullable=False),
        sa.Column("undecided", sa.Boolean(), nullable=False),
        sa.Column("p_normal", sa.Double(), nullable=False),
        sa.Column("p_benign", sa.Double(), nullable=False),
        sa.Column("p_malignant", sa.Double(), nullable=False),
        sa.Column("agrees", sa.Boolean(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_id"], ["analysis.id"], name=op.f("fk_shadow_analysis_analysis_id_analysis")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_analysis")),
        sa.UniqueConstraint(
            "analysis_id",
            "pipeline_version",
            name=op.f("uq_shadow_analysis_analysis_id_pipeline_version"),
        ),
    )
    with op.batch_alter_table("shadow_analysis", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_shadow_analysis_agrees"), ["agrees"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_shadow_analysis_analysis_id"), ["analysis_id"], unique=False
        )

    op.create_table(
        "shadow_image",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shadow_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("frame_number", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(length=16), nullable=False),
        sa.Column("undecided", sa.Boolean(), nullable=False),
        sa.Column("p_normal", sa.Double(), nullable=False),
        sa.Column("p_benign", sa.Double(), nullable=False),
        sa.Column("p_malignant", sa.Double(), nullable=False),
        sa.Column("lesions", sa.Integer(), nullable=False),
        sa.Column("area_px", sa.Integer(), nullable=False),
        sa.Column("active_lesions", sa.Integer(), nullable=False),
        sa.Column("active_area_px", sa.Integer(), nullable=False),
        sa.Column("dice", sa.Double(), nullable=True),
        sa.Column("agrees", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_shadow_image_instance_id_instance")
        ),
        sa.ForeignKeyConstraint(
            ["shadow_id"],
            ["shadow_analysis.id"],
            name=op.f("fk_shadow_image_shadow_id_shadow_analysis"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_image")),
        sa.UniqueConstraint(
            "shadow_id", "instance_id", name=op.f("uq_shadow_image_shadow_id_instance_id")
        ),
    )
    with op.batch_alter_table("shadow_image", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_shadow_image_instance_id"), ["instance_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_shadow_image_shadow_id"), ["shadow_id"], unique=False)

    op.create_table(
        "delivered_object",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("result_object_id", sa.Uuid(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=False),
        sa.Column("answered_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name=op.f("fk_delivered_object_delivery_id_delivery")
        ),
        sa.ForeignKeyConstraint(
            ["result_object_id"],
            ["result_object.id"],
            name=op.f("fk_delivered_object_result_object_id_result_object"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivered_object")),
        sa.UniqueConstraint(
            "delivery_id",
            "result_object_id",
            name=op.f("uq_delivered_object_delivery_id_result_object_id"),
        ),
    )
    with op.batch_alter_table("delivered_object", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_delivered_object_delivery_id"), ["delivery_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_delivered_object_result_object_id"), ["result_object_id"], unique=False
        )
    head = sa.table("audit_head", sa.column("id"), sa.column("seq"), sa.column("hash"))
    op.execute(head.insert().values(id=1, seq=0, hash=guards.GENESIS))
    for statement in guards.create(op.get_context().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    for statement in guards.drop(op.get_context().dialect.name):
        op.execute(statement)
    with op.batch_alter_table("delivered_object", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_delivered_object_result_object_id"))
        batch_op.drop_index(batch_op.f("ix_delivered_object_delivery_id"))

    op.drop_table("delivered_object")
    with op.batch_alter_table("shadow_image", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_shadow_image_shadow_id"))
        batch_op.drop_index(batch_op.f("ix_shadow_image_instance_id"))

    op.drop_table("shadow_image")
    with op.batch_alter_table("shadow_analysis", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_shadow_analysis_analysis_id"))
        batch_op.drop_index(batch_op.f("ix_shadow_analysis_agrees"))

    op.drop_table("shadow_analysis")
    with op.batch_alter_table("result_object", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_result_object_result_set_id"))

    op.drop_table("result_object")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_delivery_status"))
        batch_op.drop_index(batch_op.f("ix_delivery_result_set_id"))
        batch_op.drop_index(batch_op.f("ix_delivery_destination_id"))

    op.drop_table("delivery")
    with op.batch_alter_table("result_set", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_result_set_analysis_without_review",
            sqlite_where=sa.text("review_id IS NULL"),
            postgresql_where=sa.text("review_id IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_result_set_analysis_id"))

    op.drop_table("result_set")
    with op.batch_alter_table("review_outline", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_review_outline_instance_id"))

    op.drop_table("review_outline")
    with op.batch_alter_table("refusal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_refusal_instance_id"))
        batch_op.drop_index(batch_op.f("ix_refusal_analysis_id"))

    op.drop_table("refusal")
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_finding_instance_id"))
        batch_op.drop_index(batch_op.f("ix_finding_analysis_id"))

    op.drop_table("finding")
    with op.batch_alter_table("conflict", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_conflict_instance_id"))

    op.drop_table("conflict")
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_review_reader_id"))
        batch_op.drop_index(batch_op.f("ix_review_analysis_id"))

    op.drop_table("review")
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_instance_series_id"))

    op.drop_table("instance")
    with op.batch_alter_table("series", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_series_study_id"))

    op.drop_table("series")
    with op.batch_alter_table("analysis", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_analysis_study_id"))
        batch_op.drop_index(batch_op.f("ix_analysis_label"))

    op.drop_table("analysis")
    op.drop_table("user")
    with op.batch_alter_table("study", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_study_study_date"))
        batch_op.drop_index(batch_op.f("ix_study_status"))
        batch_op.drop_index(batch_op.f("ix_study_received_at"))
        batch_op.drop_index(batch_op.f("ix_study_patient_id"))
        batch_op.drop_index(batch_op.f("ix_study_accession_number"))

    op.drop_table("study")
    op.drop_table("commitment")
    op.drop_table("sender_count")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_subject_id"))
        batch_op.drop_index("ix_job_status_due_at")

    op.drop_table("job")
    op.drop_table("destination")
    op.drop_table("audit_head")
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_event_tag"))
        batch_op.drop_index(batch_op.f("ix_audit_event_study_id"))
        batch_op.drop_index(batch_op.f("ix_audit_event_at"))
        batch_op.drop_index(batch_op.f("ix_audit_event_actor"))

    op.drop_table("audit_event")
