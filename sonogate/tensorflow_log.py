"""Keeps TensorFlow's start-up chatter out of a terminal."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back what native code writes to standard error; show it when the block fails.

    TensorFlow greets with a dozen lines before its own log level is read, so no setting helps.
    """
    sys.stderr.flush()
    kept = os.dup(STDERR)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        except BaseException:  # whatever went wrong, the chatter may say why
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, STDERR)
            os.close(kept)
