"""The key that signs session cookies: given by the site, or made once."""

import os
import secrets
from pathlib import Path

from webui.settings import WebSettings


def effective_secret_key(settings: WebSettings) -> str:
    """The site's key, or the one in the home directory, which is made if it is not there."""
    if settings.secret_key:
        return settings.secret_key
    path = settings.home / "secret_key"
    if not path.exists():
        _make(path)
    return path.read_text().strip()


def _make(path: Path) -> None:
    """Of several processes that start together one wins, and the file is never seen half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    try:
        os.link(own, path)
    except FileExistsError:
        pass
    finally:
        own.unlink()
