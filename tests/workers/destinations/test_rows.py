from sqlalchemy import select

from db.engine import Database
from db.routes import DestinationTable
from db.schema import Destination
from workers.destinations.rows import sync_destinations


def table(name: str, port: int = 104) -> DestinationTable:
    settings = {"ae_title": "PACS", "host": "pacs.example", "port": port}
    return DestinationTable.model_validate({"name": name, **settings})


def test_rows_are_updated_from_the_file(database: Database) -> None:
    with database.write() as session:
        sync_destinations(session, [table("a"), table("b")])
    with database.write() as session:
        active = sync_destinations(session, [table("b", port=105), table("c")])
        assert set(active) == {"b", "c"}
    with database.read() as session:
        rows = {row.name: row for row in session.scalars(select(Destination))}
    assert {name: row.active for name, row in rows.items()} == {"a": False, "b": True, "c": True}
    assert (rows["b"].settings["port"], rows["b"].results) == (
        105,
        ["seg:binary", "sr:comprehensive"],
    )


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
