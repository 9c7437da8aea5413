"""Suppresses TensorFlow's startup messages on a terminal."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2


@contextmanager
def suppress_native_stderr() -> Iterator[None]:
    """Discard what native code writes to standard error; print it if the block raises.

    TensorFlow prints a dozen lines before it reads its own log level, so no setting suppresses
    them.
    """
    sys.stderr.flush()
    original = os.dup(STDERR)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), STDERR)
        try:
            yield
        except BaseException:  # the suppressed lines may user_message the error
            captured.seek(0)
            os.write(original, captured.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, STDERR)
            os.close(original)
