"""What a destination selections for, as specs and in the words that rows and the routes file hold."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from db.schema import ResultObject, ResultSet, Study
from dicom.results.catalogue import DEFAULT, ResultSpec, in_order, parse_spec
from dicom.results.model import ReportReference

ResultSelection = tuple[ResultSpec, ...]
"""Without repetition and in the order of sending, so that two that ask for the same are equal."""

DEFAULT_SELECTION: Final[ResultSelection] = DEFAULT
"""WrittenObject of every analysis, whoever gets it: what our own pages show and successors name."""


def parse_selection(results: Iterable[str]) -> ResultSelection:
    """Raises UnknownResult."""
    return tuple(in_order(map(parse_spec, results)))


def selection_as_text(selection: ResultSelection) -> list[str]:
    return [str(spec) for spec in selection]


def reports_before(
    study: Study, before: ResultSet, selection: ResultSelection
) -> dict[ResultSpec, ReportReference]:
    """The report in `before` that each report of `selection` takes the place of."""
    return reports_among(study, before.objects, selection)


def reports_among(
    study: Study, objects: Iterable[ResultObject], selection: ResultSelection
) -> dict[ResultSpec, ReportReference]:
    """The report among `objects` that each report of `selection` takes the place of; nothing where
    they hold no report.
    """
    # rows come in no order of their own, and the same selection must name the same report
    reports = sorted(
        (made for made in objects if made.kind == "sr"), key=lambda made: made.sop_instance_uid
    )
    return {
        spec: _reference(study, _nearest(reports, selection, spec))
        for spec in selection
        if spec.kind == "sr" and reports
    }


def signed_before(
    study: Study, before: ResultSet, selection: ResultSelection, had: Collection[ResultSelection]
) -> dict[ResultSpec, tuple[ReportReference, ...]]:
    """The signed reports in `before` that each report of `selection` takes the place of.

    These are the ones that its destinations have: they got `before` by the selections `had`. Where
    none did, what `reports_before` names.
    """
    if not had:
        named = reports_before(study, before, selection)
        return {spec: (report,) for spec, report in named.items()}
    held = [
        reports_among(
            study,
            [made for made in before.objects if selection_as_text(each) in made.selections],
            selection,
        )
        for each in sorted(had, key=selection_as_text)
    ]
    return {
        spec: tuple(dict.fromkeys(one[spec] for one in held if spec in one))
        for spec in selection
        if spec.kind == "sr"
    }


def _nearest(
    reports: Sequence[ResultObject], selection: ResultSelection, spec: ResultSpec
) -> ResultObject:
    """The one of the same spec and selection; where the selection has changed, or is new, the nearest."""

    def nearness(report: ResultObject) -> tuple[bool, bool, bool]:
        wished = selection_as_text(selection) in report.selections
        return (
            report.spec == str(spec),
            wished,
            selection_as_text(DEFAULT_SELECTION) in report.selections,
        )

    return max(reports, key=nearness)


def _reference(study: Study, report: ResultObject) -> ReportReference:
    return ReportReference(
        study_instance_uid=study.study_instance_uid,
        series_instance_uid=report.series_instance_uid,
        sop_class_uid=report.sop_class_uid,
        sop_instance_uid=report.sop_instance_uid,
    )
