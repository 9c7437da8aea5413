"""Startup messages of native code."""

import os

import pytest

from sonogate.tensorflow_log import STDERR, suppress_native_stderr


def test_native_messages_are_suppressed(capfd: pytest.CaptureFixture[str]) -> None:
    with suppress_native_stderr():
        os.write(STDERR, b"startup message\n")
    os.write(STDERR, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_native_messages_are_printed_if_the_block_raises(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImportError):
        fail_to_load()
    assert capfd.readouterr().err == "no such library\n"


@suppress_native_stderr()
def fail_to_load() -> None:
    os.write(STDERR, b"no such library\n")
    raise ImportError
