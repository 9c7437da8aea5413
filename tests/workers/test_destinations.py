import os
from pathlib import Path

import pytest
from sqlalchemy import select

from db.engine import Database
from db.errors import SettingsError
from db.routes import DestinationTable
from db.schema import Destination, ResultKind
from workers.destinations import RouteBook, keep_in_step

ROUTES = '[[destination]]\nname="a"\nae_title="A"\nhost="a.example"\nport=104\n'


def table(name: str, port: int = 104) -> DestinationTable:
    return DestinationTable(name=name, ae_title="PACS", host="pacs.example", port=port)


def test_rows_follow_the_file(database: Database) -> None:
    with database.write() as session:
        keep_in_step(session, [table("a"), table("b")])
    with database.write() as session:
        active = keep_in_step(session, [table("b", port=105), table("c")])
        assert set(active) == {"b", "c"}
    with database.read() as session:
        rows = {row.name: row for row in session.scalars(select(Destination))}
    assert {name: row.active for name, row in rows.items()} == {"a": False, "b": True, "c": True}
    assert (rows["b"].port, rows["b"].results) == (105, ["seg", "sr"])


def test_a_destination_that_returns_is_the_same_row(database: Database) -> None:
    with database.write() as session:
        before = keep_in_step(session, [table("a")])["a"].id
    for tables in ([], [table("a")]):
        with database.write() as session:
            after = keep_in_step(session, tables)
    assert after["a"].id == before


@pytest.fixture
def routes_file(tmp_path: Path) -> Path:
    path = tmp_path / "routes.toml"
    path.write_text(ROUTES)
    return path


def names(book: RouteBook) -> list[str]:
    return [each.name for each in book.current().destination]


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))


def test_a_changed_file_holds_from_the_next_look_on(routes_file: Path) -> None:
    book = RouteBook(routes_file)
    rewrite(routes_file, ROUTES.replace('"a"', '"z"'))
    assert names(book) == ["z"]
    assert book.current().destination[0].results == (ResultKind.SEG, ResultKind.SR)


def test_a_file_that_goes_bad_leaves_the_last_routes_in_force_and_is_told_once(
    routes_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = RouteBook(routes_file)
    rewrite(routes_file, "not toml")
    assert (names(book), names(book)) == (["a"], ["a"])
    assert caplog.text.count("the routes file is wrong") == 1


def test_a_file_that_goes_away_leaves_the_last_routes_in_force(routes_file: Path) -> None:
    book = RouteBook(routes_file)
    routes_file.unlink()
    assert names(book) == ["a"]


def test_a_bad_file_at_the_start_is_an_error(routes_file: Path) -> None:
    routes_file.write_text("not toml")
    with pytest.raises(SettingsError):
        RouteBook(routes_file)


def test_no_file_means_no_destination(tmp_path: Path) -> None:
    assert names(RouteBook(tmp_path / "absent.toml")) == []
