"""Settings of the web service."""

from typing import Annotated

from pydantic import Field

from db.settings import StoreSettings


class WebSettings(StoreSettings):
    """How people reach Sonogate and how long they stay."""

    web_host: str = "127.0.0.1"
    """Address to listen on; loopback unless a proxy with TLS stands in front."""
    web_port: Annotated[int, Field(ge=0, lt=65536)] = 8080
    """TCP port of the pages."""
    web_threads: Annotated[int, Field(gt=0)] = 8
    """Requests served at the same time by this process."""
    web_proxies: Annotated[int, Field(ge=0)] = 0
    """Trusted reverse proxies in front, whose X-Forwarded-For and -Proto are believed."""
    secret_key: str = ""
    """Signs the session cookie; empty: made once and kept in the home directory. All web
    processes of one installation need the same."""
    cookie_secure: bool = False
    """Send the session cookie over HTTPS only; switch on wherever there is TLS."""
    session_minutes: Annotated[int, Field(gt=0)] = 30
    """A session ends after so many minutes without a click or key."""
    session_hours: Annotated[int, Field(gt=0)] = 12
    """A session ends after so many hours, whatever happens in it."""
    page_size: Annotated[int, Field(gt=0, le=500)] = 50
    """Lines on a page of the worklist and of the audit log."""
    refresh_seconds: Annotated[int, Field(gt=0)] = 4
    """How often an open worklist asks for changes."""
    suspicion_first: bool = False
    """Research option: offer to order the worklist by suspected malignancy, and start so. That
    makes the list a triage device, which Sonogate is not cleared to be."""
