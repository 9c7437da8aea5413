from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import select

from db.engine import Database
from db.routes import DestinationTable
from db.schema import Destination
from dicom.results import profiles
from dicom.results.catalogue import parse_spec
from dicom.results.profiles import DEFAULT_PROFILE, PROFILES
from workers.destinations.rows import sync_destinations


def table(
    name: str, port: int = 104, chosen: Mapping[str, object] | None = None
) -> DestinationTable:
    settings = {"ae_title": "PACS", "host": "pacs.example", "port": port}
    return DestinationTable.model_validate({"name": name, **settings, **(chosen or {})})


def test_rows_are_updated_from_the_file(database: Database) -> None:
    with database.write() as session:
        sync_destinations(session, [table("a"), table("b")])
    with database.write() as session:
        active = sync_destinations(session, [table("b", port=105), table("c")])
        assert set(active) == {"b", "c"}
    with database.read() as session:
        rows = {row.name: row for row in session.scalars(select(Destination))}
    assert {name: row.active for name, row in rows.items()} == {"a": False, "b": True, "c": True}
    default = [spec.explicit_text for spec in DEFAULT_PROFILE.specs]
    assert (rows["b"].settings["port"], rows["b"].results) == (105, default)


def test_rows_hold_selections_with_their_variants_and_in_the_order_of_sending(
    database: Database,
) -> None:
    asked = ("sr:comprehensive", "key-objects", "seg:fractional", "sr")
    wanting = table("a").model_copy(update={"results": asked})
    with database.write() as session:
        row = sync_destinations(session, [wanting])["a"]
        assert row.results == ["seg:fractional", "sr:comprehensive", "key-objects:of-interest"]


def test_a_destination_that_returns_is_the_same_row(database: Database) -> None:
    with database.write() as session:
        before = sync_destinations(session, [table("a")])["a"].id
    for tables in ([], [table("a")]):
        with database.write() as session:
            after = sync_destinations(session, tables)
    assert after["a"].id == before


def sync(database: Database, **chosen: object) -> Destination:
    with database.write() as session:
        return sync_destinations(session, [table("a", chosen=chosen)])["a"]


def change_profile(monkeypatch: pytest.MonkeyPatch, name: str, *specs: str) -> None:
    """Change what a profile stands for, as another release does."""
    changed = replace(PROFILES[name], specs=tuple(map(parse_spec, specs)))
    monkeypatch.setattr(profiles, "PROFILES", {**PROFILES, name: changed})


def test_a_row_holds_the_results_of_its_profile(database: Database) -> None:
    row = sync(database, profile="minimal")
    assert row.results == [spec.explicit_text for spec in PROFILES["minimal"].specs]
    assert (row.chosen, row.former_results) == ({"profile": "minimal"}, [])


def test_what_a_profile_stood_for_in_an_earlier_release_is_remembered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sync(database, profile="minimal").results
    change_profile(monkeypatch, "minimal", "heatmap-sc")
    for _ in range(2):
        row = sync(database, profile="minimal")
        assert (row.results, row.former_results) == (["heatmap-sc:native"], [first])
    change_profile(monkeypatch, "minimal", "sr:enhanced")
    assert sync(database, profile="minimal").former_results == [first, ["heatmap-sc:native"]]


@pytest.mark.parametrize("chosen", [{}, {"profile": "ohif"}, {"results": ["sr"]}])
def test_another_choice_in_the_file_forgets_what_the_former_one_stood_for(
    database: Database, monkeypatch: pytest.MonkeyPatch, chosen: dict[str, object]
) -> None:
    sync(database, profile="minimal")
    change_profile(monkeypatch, "minimal", "heatmap-sc")
    assert sync(database, profile="minimal").former_results
    assert sync(database, **chosen).former_results == []


def test_the_results_of_the_first_release_are_remembered_whatever_the_file_says(
    database: Database,
) -> None:
    """Its rows do not say whether the file listed them."""
    old = ["seg:binary", "sr:comprehensive"]
    with database.write() as session:
        session.add(Destination(id=uuid4(), name="a", kind="dimse", settings={}, results=old))
    row = sync(database)
    assert (row.chosen, row.former_results) == ({}, [old])
