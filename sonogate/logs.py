"""Logging, set up once by the command that starts a process: lines for people, or JSON lines.

No line carries patient data: the rooms log Sonogate's own ids, and libraries that quote what they
read (pydicom prints attribute values, pynetdicom prints messages) are kept to their errors.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from sonogate.settings import FrontDoorSettings

TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
QUOTING_LIBRARIES = {
    "pydicom": logging.CRITICAL,  # quotes the value that it could not convert
    "pynetdicom": logging.WARNING,
    "highdicom": logging.WARNING,
    "alembic": logging.WARNING,
    "PIL": logging.INFO,
}


class JsonLines(logging.Formatter):
    """One JSON object a line, for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(settings: FrontDoorSettings, stream: TextIO | None = None) -> None:
    """Send every log line to `stream` (standard error) in the format of the settings."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name, level in QUOTING_LIBRARIES.items():
        logging.getLogger(name).setLevel(level)
