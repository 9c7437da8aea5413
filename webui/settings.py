"""Settings of the web service."""

from typing import Annotated

from pydantic import Field

from db.settings import StoreSettings


class WebSettings(StoreSettings):
    """Address, sessions and worklist of the web service."""

    web_host: str = "127.0.0.1"
    """Address to listen on. Use another address than loopback only behind a reverse proxy with
    TLS."""
    web_port: Annotated[int, Field(ge=0, lt=65536)] = 8080
    """TCP port of the web pages."""
    web_threads: Annotated[int, Field(gt=0)] = 8
    """Number of requests that the process serves at the same time."""
    web_trusted_proxies: Annotated[int, Field(ge=0)] = 0
    """Number of reverse proxies in front of the web service whose X-Forwarded-For and
    X-Forwarded-Proto headers are trusted."""
    secret_key: str = ""
    """Key that signs session cookies, the same for all web processes. If not set, one is generated
    and stored in the home directory."""
    cookie_secure: bool = False
    """Send the session cookie over HTTPS only. Enable this wherever TLS is used."""
    session_idle_minutes: Annotated[int, Field(gt=0)] = 30
    """Minutes without user activity after which a session ends."""
    session_lifetime_hours: Annotated[int, Field(gt=0)] = 12
    """Hours after which a session ends, even during activity."""
    page_size: Annotated[int, Field(gt=0, le=500)] = 50
    """Number of rows on a page of the worklist and of the audit log."""
    refresh_interval_seconds: Annotated[int, Field(gt=0)] = 4
    """Seconds between two checks for changes by an open worklist or study page."""
    suspicion_first: bool = False
    """For research: sort the worklist by suspected malignancy unless the user selects another
    order. This makes the worklist a triage device, and Sonogate is not cleared as one."""
