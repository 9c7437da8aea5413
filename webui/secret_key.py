"""The key that signs session cookies: configured, or generated once."""

import os
import secrets
from pathlib import Path

from webui.settings import WebSettings


def effective_secret_key(settings: WebSettings) -> str:
    """Return the configured key, or the one in the home directory, which is generated if missing."""
    if settings.secret_key:
        return settings.secret_key
    path = settings.home / "secret_key"
    if not path.exists():
        _generate(path)
    return path.read_text().strip()


def _generate(path: Path) -> None:
    """Write a new key. Of several processes that start together, the first to link its file wins,
    and the others never read an incomplete one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
