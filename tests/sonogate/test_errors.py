"""Texts of errors that depend on their data."""

from sonogate.errors import NothingToExport, UnknownDestination


def test_an_unknown_destination_is_reported_with_the_known_ones() -> None:
    assert str(UnknownDestination("x", ["a", "b"])).endswith("known destinations: a, b")
    assert str(UnknownDestination("x", [])).endswith("it has no destinations")


def test_an_empty_export_is_reported_with_the_reasons() -> None:
    assert "(2 rejected, 1 outdated)" in str(NothingToExport({"rejected": 2, "outdated": 1}))
    assert str(NothingToExport({})) == "nothing to export: no signed reviews"
