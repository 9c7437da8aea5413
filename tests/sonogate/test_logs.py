"""Log lines for people and for collectors."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from sonogate import logs
from sonogate.settings import CliSettings

logger = logging.getLogger("listener.handlers")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_text_lines_name_level_and_logger() -> None:
    stream = io.StringIO()
    logs.configure(CliSettings(), stream)
    logger.info("instance %s stored", "c475")
    assert "INFO" in stream.getvalue()
    assert "listener.handlers: instance c475 stored" in stream.getvalue()


def test_json_lines_are_one_object_each_with_the_exception_inside() -> None:
    stream = io.StringIO()
    logs.configure(CliSettings(log_format="json"), stream)
    logger.info("first")
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("second")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["level"], first["logger"], first["message"]) == (
        "info",
        "listener.handlers",
        "first",
    )
    assert "ValueError: why" in second["exception"]


def test_the_level_is_a_setting() -> None:
    stream = io.StringIO()
    logs.configure(CliSettings(log_level="WARNING"), stream)
    logger.info("not shown")
    assert stream.getvalue() == ""


def test_libraries_that_quote_attribute_values_are_kept_quiet() -> None:
    stream = io.StringIO()
    logs.configure(CliSettings(log_level="DEBUG"), stream)
    logging.getLogger("pydicom").warning("Invalid value for VR PN: 'Doe^Jane'")
    logging.getLogger("pynetdicom.events").info("Doe^Jane")
    assert stream.getvalue() == ""
