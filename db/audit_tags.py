"""The tags of audit events, ``source:subject:action``."""

import enum


class AuditTag(enum.StrEnum):
    """Every kind of audit event. Values are never changed: audit logs contain them.

    `docs/audit-events.md` explains each one.
    """

    # listener
    ASSOCIATION_REFUSED = "listener:association:refused"
    CONTEXT_REJECTED = "listener:context:rejected"
    INSTANCE_STORED = "listener:instance:stored"
    INSTANCE_DUPLICATE = "listener:instance:duplicate"
    INSTANCE_CONFLICT = "listener:instance:conflict"
    INSTANCE_OTHER_PATIENT = "listener:instance:other-patient"
    INSTANCE_REFUSED = "listener:instance:refused"
    ORPHAN_SETTLED = "listener:orphan:settled"
    ORPHAN_SET_ASIDE = "listener:orphan:set-aside"
    LISTENER_COMMITMENT_ANSWERED = "listener:commitment:answered"

    # workers
    STUDY_ANALYZED = "worker:study:analysed"
    STUDY_REFUSED = "worker:study:refused"
    STUDY_FAILED = "worker:study:failed"
    STUDY_NO_ROUTE = "worker:study:no-route"
    SHADOW_COMPARED = "worker:shadow:compared"
    SHADOW_FAILED = "worker:shadow:failed"
    ANALYSIS_PUBLISHED = "worker:analysis:published"
    REVIEW_PUBLISHED = "worker:review:published"
    REVIEW_FAILED = "worker:review:failed"
    DELIVERY_DELIVERED = "worker:delivery:delivered"
    DELIVERY_RETRYING = "worker:delivery:retrying"
    DELIVERY_FAILED = "worker:delivery:failed"

    # web pages
    SESSION_STARTED = "web:session:started"
    SESSION_ENDED = "web:session:ended"
    WORKLIST_SEARCHED = "web:worklist:searched"
    STUDY_VIEWED = "web:study:viewed"
    REVIEW_DRAFT_SAVED = "web:review:draft-saved"
    REVIEW_SIGNED = "web:review:signed"
    REVIEW_AMENDMENT_BEGUN = "web:review:amendment-begun"
    JOB_RETRIED = "web:job:retried"
    AUDIT_VERIFIED = "web:audit:verified"
    AUDIT_EXPORTED = "web:audit:exported"

    # user accounts, from the web pages and the command line
    USER_CREATED = "accounts:user:created"
    USER_CHANGED = "accounts:user:changed"
    USER_ACTIVATED = "accounts:user:activated"
    USER_DEACTIVATED = "accounts:user:deactivated"
    USER_PASSWORD_CHANGED = "accounts:user:password-changed"  # noqa: S105  not a password
    USER_PASSWORD_RESET = "accounts:user:password-reset"  # noqa: S105  not a password
    USER_LOGIN_FAILED = "accounts:user:login-failed"

    # command line
    STUDY_EXPORTED = "sonogate:study:exported"
    DATASET_EXPORTED = "sonogate:dataset:exported"
    COMMITMENT_ASKED = "sonogate:commitment:asked"
    COMMITMENT_ENDED = "sonogate:commitment:ended"
    SONOGATE_COMMITMENT_ANSWERED = "sonogate:commitment:answered"

    @property
    def source(self) -> str:
        """The part of Sonogate that the event comes from: ``listener``."""
        return self.value.partition(":")[0]
