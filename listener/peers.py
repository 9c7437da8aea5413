"""The peer at the other end of an association."""

from dataclasses import dataclass

from db.intake import Sender


@dataclass(frozen=True)
class Caller:
    """Who requested an association, and under which called AE title."""

    sender: Sender
    called_ae: str
    certificate_subject: str
    """Subject of its TLS certificate (RFC 2253); empty without one."""
