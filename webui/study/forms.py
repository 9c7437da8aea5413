"""Parsing of the review form."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from werkzeug.exceptions import BadRequest

from db.reviews import Judgment, ReviewInvalid
from db.schema import Decision, Finding
from webui.study import outlines


def parse_judgment(
    form: Mapping[str, str], findings: Sequence[Finding], numbered: Mapping[str, int]
) -> Judgment:
    """Return the reader's judgment of an analysis with ``findings``.

    `db.reviews` checks that it is complete. ``numbered`` is as in `webui.study.outlines.read`.

    Raises:
        ReviewInvalid: no decision is chosen, or an outline is invalid.
    """
    try:
        decision = Decision(form.get("decision", ""))
    except ValueError:
        raise ReviewInvalid(
            "decision", "choose to accept, modify or reject the AI result"
        ) from None
    return Judgment(
        decision=decision,
        final_label=form.get("final_label") or None,
        birads=form.get("birads") or None,
        reason=form.get(f"reason_{decision}", ""),
        comment=form.get("comment", "").replace("\r\n", "\n"),
        outlines=outlines.parse_outlines(form.get("outlines", ""), findings, numbered),
    )


def parse_id(form: Mapping[str, str], name: str) -> UUID:
    """Return the id in field ``name``.

    Raises:
        BadRequest: it is missing or malformed.
    """
    try:
        return UUID(form.get(name, ""))
    except ValueError:
        raise BadRequest from None
