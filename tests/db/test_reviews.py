from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db import outlines, reviews, worklist
from db.engine import Database
from db.outlines import ReaderOutline
from db.reviews import (
    AlreadySigned,
    DraftChanged,
    Judgment,
    MayNotReview,
    NoOrganization,
    ReviewInvalid,
    Superseded,
)
from db.schema import (
    Analysis,
    AuditEvent,
    Decision,
    Job,
    JobKind,
    OutlineOrigin,
    Review,
    ReviewOutline,
    Role,
    Study,
    StudyStatus,
    User,
)
from db.worklist import WorklistFilter
from tests.db.rows import NOW, add_analysis, add_instance, add_study, add_user

ACCEPT = Judgment(Decision.ACCEPT)
MODIFY = Judgment(Decision.MODIFY, "benign", "3", "Incorrect class", "smooth margin")


@pytest.fixture
def analysis_id(database: Database) -> UUID:
    """Malignant; rita and sam are radiologists, aud is an auditor."""
    with database.write() as session:
        for name, role in (
            ("rita", Role.RADIOLOGIST),
            ("sam", Role.RADIOLOGIST),
            ("aud", Role.AUDITOR),
        ):
            add_user(session, name, role)
        return add_analysis(session, add_study(session)).id


def _user(session: Session, name: str) -> User:
    return session.scalars(select(User).where(User.username == name)).one()


def _draft(
    database: Database, analysis_id: UUID, name: str = "rita", judgment: Judgment = ACCEPT
) -> Review:
    with database.write() as session:
        return reviews.save_draft(session, analysis_id, _user(session, name), judgment, NOW)


def _sign(database: Database, review: Review, name: str = "rita") -> Review:
    shown = reviews.load_judgment(review).digest
    with database.write() as session:
        return reviews.sign(session, review.id, _user(session, name), shown, NOW)


def test_a_draft_can_change_and_stays_one(database: Database, analysis_id: UUID) -> None:
    first = _draft(database, analysis_id)
    second = _draft(database, analysis_id, judgment=MODIFY)
    assert first.id == second.id
    assert (second.decision, second.final_label, second.birads) == ("modify", "benign", "3")
    assert second.signed_at is None


def test_accepting_adopts_the_class_of_the_networks(database: Database, analysis_id: UUID) -> None:
    said = replace(ACCEPT, final_label="normal", reason="Incorrect class")
    draft = _draft(database, analysis_id, judgment=said)
    assert (draft.final_label, draft.reason) == ("malignant", "")


def test_rejecting_leaves_no_class(database: Database, analysis_id: UUID) -> None:
    said = Judgment(Decision.REJECT, "benign", reason="Insufficient image quality")
    assert _draft(database, analysis_id, judgment=said).final_label is None


def test_an_incomplete_judgment_is_refused_by_field(database: Database, analysis_id: UUID) -> None:
    incomplete = [
        (replace(MODIFY, final_label=None), "final_label"),
        (replace(MODIFY, final_label="cyst"), "final_label"),
        (replace(MODIFY, reason=""), "reason"),
        (replace(MODIFY, reason="Insufficient image quality"), "reason"),
        (replace(MODIFY, reason="Other (see comment)", comment=" "), "comment"),
        (replace(MODIFY, birads="7"), "birads"),
        (replace(MODIFY, comment="x" * 4001), "comment"),
        (Judgment(Decision.REJECT), "reason"),
    ]
    for judgment, field in incomplete:
        with pytest.raises(ReviewInvalid) as refused:
            _draft(database, analysis_id, judgment=judgment)
        assert refused.value.field == field


def test_a_refused_study_cannot_be_accepted_but_gets_the_readers_class(
    database: Database, analysis_id: UUID
) -> None:
    with database.write() as session:
        refused = add_analysis(session, add_study(session), None).id
    with pytest.raises(ReviewInvalid, match="AI result is undecided"):
        _draft(database, refused)
    with pytest.raises(ReviewInvalid, match="choose a class"):
        _draft(database, refused, judgment=replace(MODIFY, final_label=None))
    assert _draft(database, refused, judgment=MODIFY).final_label == "benign"


def test_signing_queues_the_report_and_adds_an_event_in_one_transaction(
    database: Database, analysis_id: UUID
) -> None:
    signed = _sign(database, _draft(database, analysis_id))
    assert signed.signed_at == NOW
    with database.read() as session:
        job = session.scalars(select(Job)).one()
        tags = session.scalars(select(AuditEvent.tag).order_by(AuditEvent.seq)).all()
    assert (job.kind, job.key, job.subject_id) == (JobKind.SIGN, str(signed.id), signed.id)
    assert tags[-2:] == ["web:review:draft-saved", "web:review:signed"]


def test_a_comment_is_not_in_the_audit_log(database: Database, analysis_id: UUID) -> None:
    _sign(database, _draft(database, analysis_id, judgment=MODIFY))
    with database.read() as session:
        assert not [d for d in session.scalars(select(AuditEvent.details)) if "smooth" in d]


def test_a_double_click_signs_once(database: Database, analysis_id: UUID) -> None:
    draft = _draft(database, analysis_id)
    with ThreadPoolExecutor(4) as clicks:
        signed = list(clicks.map(lambda _: _sign(database, draft), range(4)))
    assert {review.id for review in signed} == {draft.id}
    assert _count(database, Job.id) == 1
    assert _count(database, AuditEvent.seq, AuditEvent.tag == "web:review:signed") == 1


def test_of_two_readers_who_sign_at_once_one_gets_an_error(
    database: Database, analysis_id: UUID
) -> None:
    drafts = {name: _draft(database, analysis_id, name) for name in ("rita", "sam")}

    def attempt(name: str) -> str:
        try:
            _sign(database, drafts[name], name)
        except AlreadySigned as told:
            return str(told)
        return "signed"

    with ThreadPoolExecutor(2) as readers:
        outcomes = sorted(readers.map(attempt, drafts))
    assert "signed" in outcomes
    assert sum("has signed a review of this analysis" in text for text in outcomes) == 1
    assert _count(database, Job.id) == 1


def _count(database: Database, column: object, *where: object) -> int:
    with database.read() as session:
        statement = select(func.count(column)).where(*where)  # type: ignore[arg-type]  # any column
        return session.scalar(statement) or 0


def test_a_newer_analysis_stops_a_draft_and_a_signature(
    database: Database, analysis_id: UUID
) -> None:
    draft = _draft(database, analysis_id)
    with database.write() as session:
        study = session.get_one(Analysis, analysis_id).study
        add_analysis(session, study, revision=2)
    with pytest.raises(Superseded, match="newer analysis"):
        _sign(database, draft)
    with pytest.raises(Superseded):
        _draft(database, analysis_id)


def test_nothing_is_signed_while_new_images_arrive(database: Database, analysis_id: UUID) -> None:
    draft = _draft(database, analysis_id)
    for status in (StudyStatus.RECEIVING, StudyStatus.ANALYZING):
        with database.write() as session:
            session.scalars(select(Study)).one().status = status
        with pytest.raises(Superseded, match="new images"):
            _sign(database, draft)


def test_a_draft_that_was_not_shown_is_not_signed(database: Database, analysis_id: UUID) -> None:
    shown = _draft(database, analysis_id)
    _draft(database, analysis_id, judgment=MODIFY)  # in another window
    with pytest.raises(DraftChanged):
        _sign(database, shown)


def test_a_reader_without_an_organization_cannot_sign(
    database: Database, analysis_id: UUID
) -> None:
    draft = _draft(database, analysis_id)
    with database.write() as session:
        _user(session, "rita").organization = ""
    with pytest.raises(NoOrganization, match="an administrator must enter your organization"):
        _sign(database, draft)
    with database.write() as session:
        _user(session, "rita").organization = "Clinic"
    assert _sign(database, draft).signed_at == NOW


def test_only_the_reader_of_a_draft_signs_it(database: Database, analysis_id: UUID) -> None:
    with pytest.raises(MayNotReview):
        _sign(database, _draft(database, analysis_id), "sam")


def test_an_auditor_neither_drafts_nor_amends(database: Database, analysis_id: UUID) -> None:
    with pytest.raises(MayNotReview):
        _draft(database, analysis_id, "aud")
    signed = _sign(database, _draft(database, analysis_id))
    with database.write() as session, pytest.raises(MayNotReview):
        reviews.amend(session, signed.id, _user(session, "aud"), NOW)


def test_an_amendment_names_the_signed_review_and_both_are_kept(
    database: Database, analysis_id: UUID
) -> None:
    first = _sign(database, _draft(database, analysis_id))
    with database.write() as session:
        draft = reviews.amend(session, first.id, _user(session, "sam"), NOW)
    assert (draft.predecessor_id, draft.decision) == (first.id, Decision.ACCEPT)
    draft = _draft(database, analysis_id, "sam", MODIFY)
    with database.write() as session:
        shown = reviews.load_judgment(draft).digest
        sam = _user(session, "sam")
        second = reviews.sign(session, draft.id, sam, shown, NOW + timedelta(minutes=1))
    with database.read() as session:
        standing = reviews.find_signed(session, analysis_id)
        study_id = session.get_one(Analysis, analysis_id).study_id
        assert [r.id for r in reviews.list_reviews(session, study_id)] == [first.id, second.id]
    assert standing is not None
    assert standing.id == second.id


def test_the_latest_amendment_is_found_whatever_the_clocks_say(
    database: Database, analysis_id: UUID
) -> None:
    standing = _sign(database, _draft(database, analysis_id))
    for clock in (NOW - timedelta(minutes=1), NOW):
        with database.write() as session:
            sam = _user(session, "sam")
            draft = reviews.amend(session, standing.id, sam, NOW)
            shown = reviews.load_judgment(draft).digest
            standing = reviews.sign(session, draft.id, sam, shown, clock)
    with database.read() as session:
        found = reviews.find_signed(session, analysis_id)
        (row,) = worklist.load_page(session, WorklistFilter(), worklist.WorklistOrder()).rows
    assert found is not None
    assert found.id == standing.id
    assert row.reader == "sam"


def test_earlier_signed_reviews_come_from_the_analyses_that_have_one(
    database: Database, analysis_id: UUID
) -> None:
    signed = _sign(database, _draft(database, analysis_id))
    with database.write() as session:
        study = session.scalars(select(Study)).one()
        unread = add_analysis(session, study, revision=2)
        newest = add_analysis(session, study, revision=3)
        unread.predecessor_id, newest.predecessor_id = analysis_id, unread.id
        first = session.get_one(Analysis, analysis_id)
        assert [found.id for found in reviews.iter_earlier_signed(session, newest)] == [signed.id]
        assert list(reviews.iter_earlier_signed(session, first)) == []


def test_a_review_that_was_amended_is_not_amended_again(
    database: Database, analysis_id: UUID
) -> None:
    first = _sign(database, _draft(database, analysis_id))
    for name in ("rita", "sam"):
        with database.write() as session:
            reviews.amend(session, first.id, _user(session, name), NOW)
    later = _draft(database, analysis_id, "sam", MODIFY)
    with database.write() as session:
        shown = reviews.load_judgment(later).digest
        sam = _user(session, "sam")
        reviews.sign(session, later.id, sam, shown, NOW + timedelta(minutes=1))
    with pytest.raises(AlreadySigned) as told:
        _sign(database, _draft(database, analysis_id, "rita"))
    assert told.value.review_id == later.id


def test_a_signed_review_prevents_other_drafts_except_amendments(
    database: Database, analysis_id: UUID
) -> None:
    _sign(database, _draft(database, analysis_id))
    with pytest.raises(AlreadySigned):
        _draft(database, analysis_id, "sam")


def test_the_database_itself_refuses_to_change_a_signed_review(
    database: Database, analysis_id: UUID
) -> None:
    signed = _sign(database, _draft(database, analysis_id))
    with pytest.raises(DBAPIError), database.write() as session:
        session.get_one(Review, signed.id).comment = "another"


# ------------------------------------------------------------------------------ outlines


@pytest.fixture
def redrawn(database: Database, analysis_id: UUID) -> Judgment:
    """The network's class with one outline corrected and one lesion drawn."""
    with database.write() as session:
        study = session.get_one(Analysis, analysis_id).study
        instance_id = add_instance(session, study).id
    triangle = ((1.0, 2.0), (9.25, 2.0), (5.0, 8.5))
    return Judgment(
        Decision.MODIFY,
        "malignant",
        reason="Inaccurate outline",
        outlines=(
            ReaderOutline(instance_id, 1, "2.25.1", 1, OutlineOrigin.CORRECTED, triangle),
            ReaderOutline(instance_id, 1, "2.25.2", 2, OutlineOrigin.DRAWN, triangle),
        ),
    )


def test_outlines_are_kept_with_the_draft_and_replaced_with_it(
    database: Database, analysis_id: UUID, redrawn: Judgment
) -> None:
    removed = replace(redrawn.outlines[0], contour=())
    _draft(database, analysis_id, judgment=redrawn)
    _draft(database, analysis_id, judgment=replace(redrawn, outlines=(removed,)))
    with database.read() as session:
        draft = session.scalars(select(Review)).one()
        assert reviews.load_judgment(draft).outlines == (removed,)
    _draft(database, analysis_id)
    assert _count(database, ReviewOutline.id) == 0


def test_a_modification_changes_the_class_or_an_outline(
    database: Database, analysis_id: UUID, redrawn: Judgment
) -> None:
    for judgment in (
        replace(redrawn, decision=Decision.ACCEPT),
        replace(redrawn, decision=Decision.REJECT, reason="Insufficient image quality"),
    ):
        with pytest.raises(ReviewInvalid, match="outlines were changed") as refused:
            _draft(database, analysis_id, judgment=judgment)
        assert refused.value.field == "outlines"
    with pytest.raises(ReviewInvalid, match="this is the class of the AI: accept the result"):
        _draft(database, analysis_id, judgment=replace(redrawn, outlines=()))


def test_outlines_that_were_not_shown_are_not_signed(
    database: Database, analysis_id: UUID, redrawn: Judgment
) -> None:
    shown = _draft(database, analysis_id, judgment=redrawn)
    digest = reviews.load_judgment(shown).digest
    moved = replace(redrawn.outlines[0], contour=((1.0, 2.0), (9.26, 2.0), (5.0, 8.5)))
    _draft(database, analysis_id, judgment=replace(redrawn, outlines=(moved,)))
    with pytest.raises(DraftChanged), database.write() as session:
        reviews.sign(session, shown.id, _user(session, "rita"), digest, NOW)


def test_the_shown_judgment_is_loaded_unchanged_from_the_rows(
    database: Database, analysis_id: UUID, redrawn: Judgment
) -> None:
    draft = _draft(database, analysis_id, judgment=redrawn)
    with database.read() as session:
        assert reviews.load_judgment(session.get_one(Review, draft.id)).digest == redrawn.digest


def test_the_database_itself_refuses_to_change_the_outlines_of_a_signed_review(
    database: Database, analysis_id: UUID, redrawn: Judgment
) -> None:
    signed = _sign(database, _draft(database, analysis_id, judgment=redrawn))
    kept = ReviewOutline.review_id == signed.id
    for change in (update(ReviewOutline).where(kept).values(number=9), delete(ReviewOutline)):
        with pytest.raises(DBAPIError), database.write() as session:
            session.execute(change)
    with pytest.raises(DBAPIError), database.write() as session:
        outlines.replace_outlines(session, session.get_one(Review, signed.id), [])
    late = ReviewOutline(
        review_id=signed.id,
        instance_id=redrawn.outlines[0].instance_id,
        frame_number=1,
        tracking_uid="2.25.3",
        number=3,
        origin=OutlineOrigin.DRAWN,
        contour=[],
    )
    with pytest.raises(DBAPIError), database.write() as session:
        session.add(late)
    assert _count(database, ReviewOutline.id) == 2


def test_an_amendment_copies_the_outlines_and_leaves_those_of_the_signed_review(
    database: Database, analysis_id: UUID, redrawn: Judgment
) -> None:
    first = _sign(database, _draft(database, analysis_id, judgment=redrawn))
    with database.write() as session:
        draft = reviews.amend(session, first.id, _user(session, "sam"), NOW)
        assert outlines.load_outlines(draft) == redrawn.outlines
    _draft(database, analysis_id, "sam")
    with database.read() as session:
        assert outlines.load_outlines(session.get_one(Review, first.id)) == redrawn.outlines
        assert outlines.load_outlines(session.get_one(Review, draft.id)) == ()


def test_an_undecided_analysis_cannot_be_accepted_and_takes_any_class(
    database: Database, analysis_id: UUID
) -> None:
    with database.write() as session:
        session.get_one(Analysis, analysis_id).undecided = True
    with pytest.raises(ReviewInvalid, match="choose modify and enter a class"):
        _draft(database, analysis_id)
    own = Judgment(Decision.MODIFY, "malignant", reason=reviews.NO_CLASS)
    assert _draft(database, analysis_id, judgment=own).final_label == "malignant"
