"""Progress and results of the demo's studies, read from the database and checked at the demo PACS."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.schema import (
    Analysis,
    Delivery,
    DeliveryStatus,
    Finding,
    FindingKind,
    ResultObject,
    ResultSet,
    Study,
    StudyStatus,
)
from dicom.errors import DicomError
from dicom.results.catalogue import parse_spec
from dicom.results.result_kind import ResultRole
from dicom.results.segmentation_reader import read_back_segmentation
from dicom.results.sr.verify import read_back_report
from dicom.terms.classification import CLASSES

NO_LESION: Final = "no lesion outlined"
DELIVERED: Final = "delivered"
PathOf = Callable[[str], Path]
"""Returns the file at the demo PACS of a SOP Instance UID."""


@dataclass(frozen=True)
class Progress:
    """The current step of a study. ``finished``: no further step follows."""

    text: str
    finished: bool = False


@dataclass(frozen=True)
class StudySummary:
    """The results of one study and their files at the demo PACS."""

    name: str
    status: str
    label: str | None = None
    """The most probable class. If `undecided`, the report states none."""
    undecided: bool = False
    probabilities: tuple[float, float, float] | None = None
    lesions: tuple[Finding, ...] = ()
    """One outline for each lesion; in a cine, the largest."""
    seg: tuple[Path, ...] = ()
    sr: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the summary for JSON output."""
        document: dict[str, Any] = {
            "study": self.name,
            "status": self.status,
            "class": self.label,
            "undecided": self.undecided,
            "probabilities": self.probabilities
            and dict(zip(CLASSES, self.probabilities, strict=True)),
            "lesions": [
                {
                    "long_axis_mm": lesion.long_axis_mm,
                    "short_axis_mm": lesion.short_axis_mm,
                    "area_mm2": lesion.area_mm2,
                    "area_px": lesion.area_px,
                }
                for lesion in self.lesions
            ],
            "seg": [str(path) for path in self.seg] or None,
            "sr": [str(path) for path in self.sr] or None,
            "problems": list(self.problems),
        }
        if not self.lesions:
            document["no_seg_reason"] = NO_LESION
        return document

    def lines(self) -> Iterator[str]:
        """Yield the summary as lines of text."""
        label = self.label or "not analyzed"
        if self.undecided:
            label = f"undecided (most probable: {self.label})"
        yield f"{self.name}: {label}, {self.status}"
        if self.probabilities:
            shares = zip(CLASSES, self.probabilities, strict=True)
            yield "  " + ", ".join(f"{name} {share:.0%}" for name, share in shares)
        for lesion in self.lesions:
            yield f"  Lesion {_size_text(lesion)}"
        for path in self.seg:
            yield f"  SEG    {path}"
        if self.label and not self.lesions:
            yield f"  No SEG: {NO_LESION}"
        for path in self.sr:
            yield f"  SR     {path}"
        for problem in self.problems:
            yield f"  ERROR  {problem}"


def find_progress(session: Session, study_instance_uid: str) -> Progress:
    """Return the current step of a study."""
    study = _find_study(session, study_instance_uid)
    if study is None:
        return Progress("not received yet")
    match study.status:
        case StudyStatus.RECEIVING:
            return Progress("receiving images")
        case StudyStatus.ANALYZING:
            return Progress("analyzing")
        case StudyStatus.FAILED:
            return Progress(f"failed: {study.status_reason}", finished=True)
    result_set = _find_result_set(session, study)
    if result_set is None:
        return Progress("creating SEG and SR")
    return _delivery_progress(result_set.deliveries)


def summarize(
    session: Session, name: str, study_instance_uid: str, path_of: PathOf
) -> StudySummary:
    """Return the results of one study, and check each expected object at the demo PACS."""
    progress = find_progress(session, study_instance_uid)
    study = _find_study(session, study_instance_uid)
    analysis = study.analyses[-1] if study and study.analyses else None
    if study is None or analysis is None:
        return StudySummary(name, progress.text, problems=("not analyzed",))
    result_set = _find_result_set(session, study)
    objects = result_set.objects if result_set else []
    files: dict[ResultRole, list[Path]] = {ResultRole.SEGMENTATION: [], ResultRole.REPORT: []}
    for result_object in objects:
        path = path_of(result_object.sop_instance_uid)
        if path.exists():
            files.setdefault(parse_spec(result_object.spec).role, []).append(path)
    lesions = tuple(_largest_outlines(analysis.findings))
    problems = [] if progress.text == DELIVERED else [f"stopped at: {progress.text}"]
    problems += _find_problems(objects, analysis.asserted_class, path_of, has_lesions=bool(lesions))
    return StudySummary(
        name,
        progress.text,
        analysis.label,
        analysis.undecided,
        analysis.probabilities,
        lesions,
        tuple(files[ResultRole.SEGMENTATION]),
        tuple(files[ResultRole.REPORT]),
        tuple(problems),
    )


def _find_study(session: Session, study_instance_uid: str) -> Study | None:
    return session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))


def _find_result_set(session: Session, study: Study) -> ResultSet | None:
    """Return the result set of the newest analysis, not one of a review."""
    return session.scalar(
        select(ResultSet)
        .join(Analysis)
        .where(Analysis.study_id == study.id, Analysis.revision == study.revision)
        .where(ResultSet.review_id.is_(None))
    )


def _delivery_progress(deliveries: Sequence[Delivery]) -> Progress:
    if not deliveries:
        return Progress("not sent: no route matches", finished=True)
    for delivery in deliveries:
        if delivery.status is DeliveryStatus.FAILED:
            return Progress(f"delivery failed: {delivery.error}", finished=True)
    if all(delivery.status is DeliveryStatus.DELIVERED for delivery in deliveries):
        return Progress(DELIVERED, finished=True)
    return Progress("delivering")


def _largest_outlines(findings: Iterable[Finding]) -> Iterable[Finding]:
    """Return one outline for each lesion; of those on several frames of a cine, the largest."""
    largest: dict[str, Finding] = {}
    for finding in findings:
        if finding.kind is FindingKind.LESION:
            known = largest.setdefault(finding.tracking_uid, finding)
            if (finding.area_px or 0) > (known.area_px or 0):
                largest[finding.tracking_uid] = finding
    return largest.values()


def _find_problems(
    objects: Iterable[ResultObject], label: str | None, path_of: PathOf, *, has_lesions: bool
) -> Iterator[str]:
    """Yield which objects are missing, and what is wrong with those that the demo PACS received."""
    missing = {ResultRole.REPORT: "SR"}
    if has_lesions:
        missing[ResultRole.SEGMENTATION] = "SEG"
    for result_object in objects:
        role = parse_spec(result_object.spec).role
        kind, path = result_object.kind.upper(), path_of(result_object.sop_instance_uid)
        missing.pop(role, None)
        if not path.exists():
            yield f"{kind}: not received by the demo PACS"
            continue
        try:
            if role is ResultRole.SEGMENTATION and not read_back_segmentation(path).segments:
                yield "SEG: contains no segment"
            if role is ResultRole.REPORT and read_back_report(path).label != label:
                yield "SR: states another class than the analysis"
        except DicomError as error:
            yield f"{kind}: {error}"
    yield from (f"{kind}: not created" for kind in sorted(missing.values()))


def _size_text(lesion: Finding) -> str:
    if lesion.long_axis_mm is None or lesion.short_axis_mm is None:
        return f"{lesion.area_px} pixels (image not calibrated)"
    return f"{lesion.long_axis_mm:.1f} x {lesion.short_axis_mm:.1f} mm, {lesion.area_mm2:.0f} mm²"
