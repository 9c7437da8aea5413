"""What a destination wishes for, as specs and in the words that rows and the routes file hold."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from db.schema import ResultObject, ResultSet, Study
from dicom.results.catalogue import DEFAULT, ResultSpec, in_order, parse_spec
from dicom.results.model import ReportReference

Wish = tuple[ResultSpec, ...]
"""Without repetition and in the order of sending, so that two that ask for the same are equal."""

OURS: Final[Wish] = DEFAULT
"""Made of every analysis, whoever gets it: what our own pages show and successors name."""


def read_wish(results: Iterable[str]) -> Wish:
    """Raises UnknownResult."""
    return tuple(in_order(map(parse_spec, results)))


def in_words(wish: Wish) -> list[str]:
    return [str(spec) for spec in wish]


def reports_before(
    study: Study, before: ResultSet, wish: Wish
) -> dict[ResultSpec, ReportReference]:
    """The report in `before` that each report of `wish` takes the place of."""
    return reports_among(study, before.objects, wish)


def reports_among(
    study: Study, objects: Iterable[ResultObject], wish: Wish
) -> dict[ResultSpec, ReportReference]:
    """The report among `objects` that each report of `wish` takes the place of; nothing where
    they hold no report.
    """
    # rows come in no order of their own, and the same wish must name the same report
    reports = sorted(
        (made for made in objects if made.kind == "sr"), key=lambda made: made.sop_instance_uid
    )
    return {
        spec: _reference(study, _nearest(reports, wish, spec))
        for spec in wish
        if spec.kind == "sr" and reports
    }


def signed_before(
    study: Study, before: ResultSet, wish: Wish, had: Collection[Wish]
) -> dict[ResultSpec, tuple[ReportReference, ...]]:
    """The signed reports in `before` that each report of `wish` takes the place of.

    These are the ones that its destinations have: they got `before` by the wishes `had`. Where
    none did, what `reports_before` names.
    """
    if not had:
        named = reports_before(study, before, wish)
        return {spec: (report,) for spec, report in named.items()}
    held = [
        reports_among(
            study, [made for made in before.objects if in_words(each) in made.wishes], wish
        )
        for each in sorted(had, key=in_words)
    ]
    return {
        spec: tuple(dict.fromkeys(one[spec] for one in held if spec in one))
        for spec in wish
        if spec.kind == "sr"
    }


def _nearest(reports: Sequence[ResultObject], wish: Wish, spec: ResultSpec) -> ResultObject:
    """The one of the same spec and wish; where the wish has changed, or is new, the nearest."""

    def nearness(report: ResultObject) -> tuple[bool, bool, bool]:
        wished = in_words(wish) in report.wishes
        return report.spec == str(spec), wished, in_words(OURS) in report.wishes

    return max(reports, key=nearness)


def _reference(study: Study, report: ResultObject) -> ReportReference:
    return ReportReference(
        study_instance_uid=study.study_instance_uid,
        series_instance_uid=report.series_instance_uid,
        sop_class_uid=report.sop_class_uid,
        sop_instance_uid=report.sop_instance_uid,
    )
