"""Result selections, and the reports that new reports of a selection replace."""

from collections.abc import Collection, Iterable
from typing import Final

from db.routes import DestinationTable
from db.schema import ResultObject, Study
from dicom.results.catalogue import DEFAULT, parse_spec, sort_specs
from dicom.results.model import ReportReference
from dicom.results.profiles import DEFAULT_PROFILE, Profile, find_profile
from dicom.results.result_kind import ResultRole, ResultSpec

ResultSelection = tuple[ResultSpec, ...]
"""Without repetition and in the order of sending, so that equal selections compare equal."""

DEFAULT_SELECTION: Final[ResultSelection] = DEFAULT
"""Built for every analysis, whatever its destinations receive: the pages show it, and later reports
can name it as their predecessor."""


def parse_selection(results: Iterable[str]) -> ResultSelection:
    """Parse the `results` of a destination. Raises UnknownResult."""
    return tuple(sort_specs(map(parse_spec, results)))


def find_named_profile(table: DestinationTable) -> Profile | None:
    """Return the profile of a `[[destination]]`; None if it lists its results.

    Raises:
        ValueError: the profile is unknown, or the results are listed as well.
    """
    if table.results is None:
        return DEFAULT_PROFILE if table.profile is None else find_profile(table.profile)
    if table.profile is not None:
        raise ValueError(
            "profile and results are both given. Keep one of them: a profile is a list of results"
        )
    return None


def select_results(table: DestinationTable) -> ResultSelection:
    """Return the result selection of a `[[destination]]`.

    Raises:
        ValueError: as `find_named_profile`, or for an unknown result.
    """
    profile = find_named_profile(table)
    return profile.specs if profile else parse_selection(table.results or ())


def selection_as_text(selection: ResultSelection) -> list[str]:
    """Return the selection as rows store it: with variants, so that it stays what it was when a
    later release has other defaults.
    """
    return [spec.explicit_text for spec in selection]


def find_predecessors(
    study: Study, objects: Iterable[ResultObject], selection: ResultSelection
) -> dict[ResultSpec, ReportReference]:
    """Return the report among `objects` that each report of `selection` replaces.

    Prefers a report of the same spec and selection. The result is empty where `objects` holds no
    report.
    """
    # rows have no order of their own, and the same selection must name the same report
    reports = sorted(
        (row for row in objects if parse_spec(row.spec).role is ResultRole.REPORT),
        key=lambda row: row.sop_instance_uid,
    )
    own_selection = selection_as_text(selection)
    default_selection = selection_as_text(DEFAULT_SELECTION)
    predecessors = {}
    for spec in selection:
        if spec.role is ResultRole.REPORT and reports:
            same_spec = [row for row in reports if row.spec == spec.explicit_text]
            nearest = max(
                same_spec or reports,
                key=lambda row: (
                    own_selection in row.selections,
                    default_selection in row.selections,
                ),
            )
            predecessors[spec] = ReportReference(
                study_instance_uid=study.study_instance_uid,
                series_instance_uid=nearest.series_instance_uid,
                sop_class_uid=nearest.sop_class_uid,
                sop_instance_uid=nearest.sop_instance_uid,
            )
    return predecessors


def find_signed_predecessors(
    study: Study,
    objects: Collection[ResultObject],
    selection: ResultSelection,
    delivered: Collection[ResultSelection],
) -> dict[ResultSpec, tuple[ReportReference, ...]]:
    """Return the signed reports among `objects` that each report of `selection` replaces.

    `delivered` are the selections by which its destinations received `objects`. Where there are
    none, the result is that of `find_predecessors`.
    """
    if not delivered:
        predecessors = find_predecessors(study, objects, selection)
        return {spec: (report,) for spec, report in predecessors.items()}
    by_delivery = []
    for received in sorted(delivered, key=selection_as_text):
        rows = [row for row in objects if selection_as_text(received) in row.selections]
        by_delivery.append(find_predecessors(study, rows, selection))
    return {
        spec: tuple(dict.fromkeys(reports[spec] for reports in by_delivery if spec in reports))
        for spec in selection
        if spec.role is ResultRole.REPORT
    }
