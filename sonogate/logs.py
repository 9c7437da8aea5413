"""Logging of a process: plain lines or JSON lines on standard error.

Log lines carry Sonogate's own ids, never patient data. Libraries that quote attribute values or
DICOM messages are therefore limited to the levels in `LIBRARY_LEVELS`.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from sonogate.settings import CliSettings

TEXT_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
LIBRARY_LEVELS = {
    "pydicom": logging.CRITICAL,  # its errors quote attribute values
    "pynetdicom": logging.WARNING,
    "highdicom": logging.WARNING,
    "alembic": logging.WARNING,
    "PIL": logging.INFO,
}


class JsonFormatter(logging.Formatter):
    """One JSON object per line, for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a JSON object; ``exception`` holds the traceback."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(settings: CliSettings, stream: TextIO | None = None) -> None:
    """Send the log to `stream`, by default standard error, in the configured format."""
    handler = logging.StreamHandler(stream or sys.stderr)
    is_json = settings.log_format == "json"
    handler.setFormatter(JsonFormatter() if is_json else logging.Formatter(TEXT_FORMAT))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name, level in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(level)
