"""Accepted presentation contexts."""

from itertools import chain

from listener.contexts import LOSSLESS, LOSSY, NATIVE, STORAGE_CLASSES, STORED_ONLY
from listener.contexts import TRANSFER_SYNTAXES as SYNTAXES


def test_nothing_is_listed_twice() -> None:
    assert len(set(SYNTAXES)) == len(SYNTAXES)
    assert len(set(STORAGE_CLASSES)) == len(STORAGE_CLASSES)


def test_every_uid_is_registered_in_the_standard() -> None:
    assert all(syntax.is_transfer_syntax for syntax in SYNTAXES)
    assert all(uid.type == "SOP Class" for uid in STORAGE_CLASSES)


def test_native_and_lossless_come_before_lossy_and_video() -> None:
    assert tuple(chain(NATIVE, LOSSLESS, LOSSY, STORED_ONLY)) == SYNTAXES
    assert not any(syntax.is_encapsulated for syntax in NATIVE)
