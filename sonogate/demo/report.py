"""What became of the demo's studies: read from the rows, checked against the PACS stand-in."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
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
from dicom.results.seg.verify import read_back_segmentation
from dicom.results.sr.verify import read_back_report
from dicom.terms.classification import CLASSES

NO_LESION: Final = "no lesion outlined"
PathOf = Callable[[str], Path]
"""Where the stand-in keeps the object of a SOP Instance UID."""


@dataclass(frozen=True)
class Stage:
    """How far a study has come; ``settled`` when it goes no further by itself."""

    text: str
    settled: bool = False


@dataclass(frozen=True)
class StudyReport:
    """One study: what was said of it, and the files at the stand-in that say so."""

    name: str
    stage: str
    label: str | None = None
    """The most probable class; not asserted where the study is undecided."""
    undecided: bool = False
    probabilities: tuple[float, float, float] | None = None
    lesions: tuple[Finding, ...] = ()
    seg: tuple[Path, ...] = ()
    sr: tuple[Path, ...] = ()
    problems: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        shares = self.probabilities and dict(zip(CLASSES, self.probabilities, strict=True))
        return {
            "study": self.name,
            "stage": self.stage,
            "class": self.label,
            "undecided": self.undecided,
            "probabilities": shares,
            "lesions": [_size(lesion) for lesion in self.lesions],
            "seg": [str(path) for path in self.seg] or None,
            **({} if self.lesions else {"reason": NO_LESION}),
            "sr": [str(path) for path in self.sr] or None,
            "problems": list(self.problems),
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        said = f"undecided, most probably {self.label}" if self.undecided else self.label
        yield f"{self.name}: {said or 'not analyzed'}, {self.stage}"
        if self.probabilities:
            shares = zip(CLASSES, self.probabilities, strict=True)
            yield "  " + ", ".join(f"{name} {share:.0%}" for name, share in shares)
        yield from (f"  lesion {_words(lesion)}" for lesion in self.lesions)
        yield from (f"  SEG {path}" for path in self.seg)
        if self.label and not self.lesions:
            yield f"  no SEG: {NO_LESION}"
        yield from (f"  SR  {path}" for path in self.sr)
        yield from (f"  PROBLEM: {problem}" for problem in self.problems)


def stage_of(session: Session, study_instance_uid: str) -> Stage:
    """How far the study has come."""
    study = _study(session, study_instance_uid)
    if study is None:
        return Stage("not received yet")
    match study.status:
        case StudyStatus.RECEIVING:
            return Stage("received, waiting for more images")
        case StudyStatus.ANALYZING:
            return Stage("being analyzed")
        case StudyStatus.FAILED:
            return Stage(f"failed: {study.status_reason}", settled=True)
    results = _results(session, study)
    return _delivery_stage(results.deliveries) if results else Stage("SEG and SR being made")


def report_on(session: Session, name: str, study_instance_uid: str, path_of: PathOf) -> StudyReport:
    """Everything about one study, each due object checked where it should have arrived."""
    stage = stage_of(session, study_instance_uid)
    study = _study(session, study_instance_uid)
    analysis = study.analyses[-1] if study and study.analyses else None
    if study is None or analysis is None:
        return StudyReport(name, stage.text, problems=("it was not analyzed",))
    results = _results(session, study)
    objects = results.objects if results else []
    lesions = tuple(_largest_of_each(analysis.findings))
    return StudyReport(
        name,
        stage.text,
        analysis.label,
        analysis.undecided,
        analysis.probabilities,
        lesions,
        tuple(_arrived(objects, "seg", path_of)),
        tuple(_arrived(objects, "sr", path_of)),
        tuple(_problems(stage, analysis, lesions, objects, path_of)),
    )


def _study(session: Session, study_instance_uid: str) -> Study | None:
    return session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))


def _results(session: Session, study: Study) -> ResultSet | None:
    """The result objects of the study's newest analysis, without those of reviews."""
    return session.scalar(
        select(ResultSet)
        .join(Analysis)
        .where(Analysis.study_id == study.id, Analysis.revision == study.revision)
        .where(ResultSet.review_id.is_(None))
    )


def _delivery_stage(deliveries: Iterable[Delivery]) -> Stage:
    found = list(deliveries)
    if not found:
        return Stage("no route took it", settled=True)
    failed = [delivery for delivery in found if delivery.status is DeliveryStatus.FAILED]
    if failed:
        return Stage(f"not delivered: {failed[0].error}", settled=True)
    if all(delivery.status is DeliveryStatus.DELIVERED for delivery in found):
        return Stage("delivered", settled=True)
    return Stage("being delivered")


def _largest_of_each(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Of a lesion that is outlined on several frames of a cine, the largest outline."""
    largest: dict[str, Finding] = {}
    for finding in findings:
        if finding.kind is FindingKind.LESION:
            held = largest.setdefault(finding.tracking_uid, finding)
            if (finding.area_px or 0) > (held.area_px or 0):
                largest[finding.tracking_uid] = finding
    yield from largest.values()


def _arrived(objects: Iterable[ResultObject], kind: str, path_of: PathOf) -> Iterator[Path]:
    paths = (path_of(each.sop_instance_uid) for each in objects if each.kind == kind)
    return (path for path in paths if path.exists())


def _problems(
    stage: Stage,
    analysis: Analysis,
    lesions: tuple[Finding, ...],
    objects: Iterable[ResultObject],
    path_of: PathOf,
) -> Iterator[str]:
    if stage.text != "delivered":
        yield f"it came no further than: {stage.text}"
    kinds = {each.kind for each in objects}
    for kind in {"sr"} | ({"seg"} if lesions else set()):
        if kind not in kinds:
            yield f"no {kind.upper()} was made"
    for each in objects:
        problem = _read_back(each, analysis.asserted_class, path_of(each.sop_instance_uid))
        if problem:
            yield f"{each.kind.upper()}: {problem}"


def _read_back(made: ResultObject, label: str | None, path: Path) -> str:
    if not path.exists():
        return "it did not arrive"
    try:
        if made.kind == "seg":
            return "" if read_back_segmentation(path).segments else "it holds no segment"
        return "" if read_back_report(path).label == label else "it names another class"
    except DicomError as error:
        return str(error)


def _size(lesion: Finding) -> dict[str, float | None]:
    return {
        "long_axis_mm": lesion.long_axis_mm,
        "short_axis_mm": lesion.short_axis_mm,
        "area_mm2": lesion.area_mm2,
        "area_px": lesion.area_px,
    }


def _words(lesion: Finding) -> str:
    if lesion.long_axis_mm is None or lesion.short_axis_mm is None:
        return f"of {lesion.area_px} pixels, the image is uncalibrated"
    return f"{lesion.long_axis_mm:.1f} x {lesion.short_axis_mm:.1f} mm, {lesion.area_mm2:.0f} mm²"
