import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import event, insert
from sqlalchemy.orm import Session

from db import results, reviews, worklist
from db.engine import Database
from db.reviews import Judgment
from db.schema import (
    Analysis,
    AnalysisStatus,
    Decision,
    Delivery,
    DeliveryStatus,
    Destination,
    Role,
    Study,
    StudyStatus,
)
from db.worklist import DeliveryState, ReviewState, SortKey, WorklistFilter, WorklistOrder
from dicom.terms.classification import UNDECIDED
from tests.db.rows import NOW, add_analysis, add_study, add_user

ANY = WorklistFilter()
LATEST = WorklistOrder()


def _names(
    session: Session, wanted: WorklistFilter = ANY, order: WorklistOrder = LATEST
) -> list[str]:
    return [row.patient_name for row in worklist.load_page(session, wanted, order).rows]


@contextmanager
def _statements(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def test_a_row_contains_study_analysis_review_and_deliveries(database: Database) -> None:
    with database.write() as session:
        study = add_study(session, "Berg^Anna", accession_number="A7", description="US left")
        analysis = add_analysis(session, study, (0.1, 0.2, 0.7))
    with database.read() as session:
        (row,) = worklist.load_page(session, ANY, LATEST).rows
    assert (row.id, row.analysis_id, row.status) == (study.id, analysis.id, "analyzed")
    assert (row.patient_name, row.accession_number) == ("Berg^Anna", "A7")
    assert (row.label, row.confidence, row.review) == ("malignant", 0.7, ReviewState.UNREVIEWED)
    assert row.delivery.state is DeliveryState.NONE


def test_a_study_without_an_analysis_has_a_row_too(database: Database) -> None:
    with database.write() as session:
        add_study(session, status=StudyStatus.RECEIVING)
    with database.read() as session:
        (row,) = worklist.load_page(session, ANY, LATEST).rows
    assert (row.analysis_id, row.label, row.confidence) == (None, None, None)


def test_a_row_shows_the_newest_finished_analysis(database: Database) -> None:
    with database.write() as session:
        study = add_study(session)
        add_analysis(session, study, (0.9, 0.1, 0.0), revision=1)
        add_analysis(session, study, (0.1, 0.8, 0.1), revision=2)
        running = add_analysis(session, study, (0.0, 0.1, 0.9), revision=3)
        running.status = AnalysisStatus.RUNNING
    with database.read() as session:
        (row,) = worklist.load_page(session, ANY, LATEST).rows
        current = worklist.find_current_analysis(session, study.id)
    assert row.label == "benign"
    assert current is not None
    assert current.revision == 2


def test_text_is_searched_in_names_ids_and_accession_numbers(database: Database) -> None:
    with database.write() as session:
        add_study(session, "Berg^Anna", accession_number="ACC-1")
        add_study(session, "Berg^Eva")
        add_study(session, "MÜLLER^Änne", patient_id="ID-9")
        add_study(session, "Yamada^Tarou=山田^太郎")
    expected = {
        "berg": ["Berg^Anna", "Berg^Eva"],
        "anna berg": ["Berg^Anna"],
        "Berg^Anna": ["Berg^Anna"],
        "müller": ["MÜLLER^Änne"],
        "id-9": ["MÜLLER^Änne"],
        "acc-1": ["Berg^Anna"],
        "%": [],
        "_": [],
        "山田": ["Yamada^Tarou=山田^太郎"],
    }
    with database.read() as session:
        found = {text: sorted(_names(session, WorklistFilter(text=text))) for text in expected}
    assert found == expected


def test_filters_for_status_label_and_dates(database: Database) -> None:
    with database.write() as session:
        add_analysis(session, add_study(session, "A", study_date="20260101"), (0.1, 0.8, 0.1))
        add_analysis(session, add_study(session, "B", study_date="20260601"), (0.1, 0.1, 0.8))
        add_study(session, "C", study_date="", status=StudyStatus.RECEIVING)
    with database.read() as session:
        assert _names(session, WorklistFilter(status=StudyStatus.RECEIVING)) == ["C"]
        assert _names(session, WorklistFilter(label="benign")) == ["A"]
        assert _names(session, WorklistFilter(date_from="20260301")) == ["B"]
        assert _names(session, WorklistFilter(label=UNDECIDED)) == []
        assert _names(session, WorklistFilter(date_to="20260301")) == ["A"]
        assert _names(session, WorklistFilter(date_from="20260101", date_to="20260101")) == ["A"]


def test_an_undecided_study_matches_undecided_and_no_class(database: Database) -> None:
    with database.write() as session:
        add_analysis(session, add_study(session, "A"), (0.1, 0.8, 0.1))
        add_analysis(session, add_study(session, "B"), (0.3, 0.4, 0.3)).undecided = True
    with database.read() as session:
        assert _names(session, WorklistFilter(label=UNDECIDED)) == ["B"]
        assert _names(session, WorklistFilter(label="benign")) == ["A"]
        row = worklist.load_page(session, WorklistFilter(label=UNDECIDED), LATEST).rows[0]
    assert (row.displayed_class, row.label, row.confidence) == ("undecided", "benign", 0.4)


def test_the_review_state_of_drafts_signatures_and_amendments(database: Database) -> None:
    with database.write() as session:
        rita = add_user(session, "rita", Role.RADIOLOGIST)
        for name in ("to read", "draft", "signed", "outdated"):
            study = add_study(session, name)
            analysis = add_analysis(session, study)
            if name == "to read":
                continue
            draft = reviews.save_draft(session, analysis.id, rita, Judgment(Decision.ACCEPT), NOW)
            if name == "draft":
                continue
            shown = reviews.load_judgment(draft).digest
            reviews.sign(session, draft.id, rita, shown, NOW)
            if name == "outdated":
                add_analysis(session, study, revision=2)
    with database.read() as session:
        rows = {r.patient_name: r for r in worklist.load_page(session, ANY, LATEST).rows}
        states = {name: row.review.value for name, row in rows.items()}
        assert _names(session, WorklistFilter(review=ReviewState.SIGNED)) == ["signed"]
        assert _names(session, WorklistFilter(review=ReviewState.UNREVIEWED)) == ["to read"]
    assert states == {
        "to read": "unreviewed",
        "draft": "draft",
        "signed": "signed",
        "outdated": "outdated",
    }
    assert (rows["signed"].reader, rows["signed"].decision) == ("rita", Decision.ACCEPT)


def _send(session: Session, study: Study, *statuses: DeliveryStatus) -> None:
    made = results.add_result_set(session, add_analysis(session, study).id, [], NOW)
    for status in statuses:
        destination = Destination(
            name=f"d{uuid4().hex[:8]}", kind="dimse", settings={}, results=["sr"]
        )
        session.add(destination)
        session.flush()
        session.add(_delivery(made.id, destination.id, status))


def _delivery(set_id: UUID, destination_id: UUID, status: DeliveryStatus) -> Delivery:
    failed = status in (DeliveryStatus.FAILED, DeliveryStatus.RETRYING)
    return Delivery(
        result_set_id=set_id,
        destination_id=destination_id,
        route="all",
        selection=[],
        status=status,
        attempts=1,
        error="no answer" if failed else "",
        created_at=NOW,
    )


def test_the_delivery_state_is_the_worst_of_all_deliveries(database: Database) -> None:
    done, retrying, failed = (
        DeliveryStatus.DELIVERED,
        DeliveryStatus.RETRYING,
        DeliveryStatus.FAILED,
    )
    with database.write() as session:
        _send(session, add_study(session, "fine"), done, done)
        _send(session, add_study(session, "slow"), done, retrying)
        _send(session, add_study(session, "broken"), retrying, failed)
        _send(session, add_study(session, "under way"), DeliveryStatus.PENDING)
    with database.read() as session:
        rows = worklist.load_page(session, ANY, LATEST).rows
        assert _names(session, WorklistFilter(delivery=DeliveryState.FAILED)) == ["broken"]
        assert _names(session, WorklistFilter(delivery=DeliveryState.RETRYING)) == ["slow"]
    found = {row.patient_name: row.delivery for row in rows}
    assert (found["fine"].delivered, found["fine"].total) == (2, 2)
    assert found["slow"].state is DeliveryState.RETRYING
    assert found["broken"].state is DeliveryState.FAILED
    assert all(line.endswith(": no answer") for line in found["broken"].errors)
    assert found["under way"].state is DeliveryState.WAITING


def test_every_order_in_both_directions(database: Database) -> None:
    says = {"alpha": (0.9, 0.05, 0.05), "Beta": (0.2, 0.35, 0.45), "gamma": (0.2, 0.78, 0.02)}
    with database.write() as session:
        for number, (name, probabilities) in enumerate(says.items()):
            moment = NOW + timedelta(minutes=number)
            study = add_study(session, name, study_date=f"2026010{9 - number}", received_at=moment)
            add_analysis(session, study, probabilities)
    ascending = {
        SortKey.PATIENT: ["alpha", "Beta", "gamma"],
        SortKey.STUDY_DATE: ["gamma", "Beta", "alpha"],
        SortKey.CONFIDENCE: ["Beta", "gamma", "alpha"],
        SortKey.SUSPICION: ["gamma", "alpha", "Beta"],
        SortKey.RECEIVED: ["alpha", "Beta", "gamma"],
    }
    with database.read() as session:
        for key, names in ascending.items():
            assert _names(session, ANY, WorklistOrder(key, descending=False)) == names
            assert _names(session, ANY, WorklistOrder(key, descending=True)) == names[::-1]


def test_studies_without_a_result_are_last_in_both_directions(database: Database) -> None:
    with database.write() as session:
        add_study(session, "none", status=StudyStatus.RECEIVING)
        add_analysis(session, add_study(session, "some"))
    with database.read() as session:
        for descending in (True, False):
            assert _names(session, ANY, WorklistOrder(SortKey.CONFIDENCE, descending))[-1] == "none"


def test_a_page_number_out_of_range_is_the_last_page(sqlite_database: Database) -> None:
    with sqlite_database.write() as session:
        for number in range(5):
            add_study(session, f"P{number}", received_at=NOW + timedelta(minutes=number))
    with sqlite_database.read() as session:
        page = worklist.load_page(session, ANY, LATEST, number=9, size=2)
    assert (page.number, page.pages, page.total) == (3, 3, 5)
    assert [row.patient_name for row in page.rows] == ["P0"]


def test_a_page_of_two_thousand_studies_takes_three_statements(database: Database) -> None:
    studies = [uuid4() for _ in range(2000)]
    with database.write() as session:
        session.execute(insert(Study), [_study_values(n, key) for n, key in enumerate(studies)])
        session.execute(insert(Analysis), [_analysis_values(key) for key in studies])
    with database.read() as session, _statements(database) as statements:
        page = worklist.load_page(
            session,
            WorklistFilter(text="number", label="benign"),
            WorklistOrder(SortKey.PATIENT),
            number=3,
        )
    assert (page.total, len(page.rows)) == (2000, 50)
    assert page.rows[0].patient_name == "Number^1899"
    assert len(statements) == 3


def test_combined_filters_do_not_join_every_study_with_every_analysis(database: Database) -> None:
    studies = [uuid4() for _ in range(2000)]
    with database.write() as session:
        session.execute(insert(Study), [_study_values(n, key) for n, key in enumerate(studies)])
        session.execute(insert(Analysis), [_analysis_values(key) for key in studies])
    together = WorklistFilter(
        label="benign", review=ReviewState.UNREVIEWED, delivery=DeliveryState.NONE
    )
    began = time.monotonic()
    with database.read() as session:
        page = worklist.load_page(session, together, WorklistOrder(SortKey.CONFIDENCE))
    assert page.total == 2000
    assert time.monotonic() - began < 4  # some 0.02 s; four million tries take over 10 s


def _study_values(number: int, key: UUID) -> dict[str, object]:
    return {
        "id": key,
        "study_instance_uid": f"2.25.{key.int}",
        "patient_name": f"Number^{number:04}",
        "source_ae": "PROBE",
        "status": StudyStatus.ANALYZED,
        "received_at": NOW,
        "last_instance_at": NOW,
    }


def _analysis_values(study_id: UUID) -> dict[str, object]:
    return {
        "id": uuid4(),
        "study_id": study_id,
        "revision": 1,
        "study_digest": "0" * 64,
        "pipeline_version": "test 1",
        "classifier_digest": "0" * 64,
        "segmenter_digest": "0" * 64,
        "status": AnalysisStatus.DONE,
        "label": "benign",
        "p_normal": 0.1,
        "p_benign": 0.8,
        "p_malignant": 0.1,
        "started_at": NOW,
    }
