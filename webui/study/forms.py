"""The review form, read."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from werkzeug.exceptions import BadRequest

from db.reviews import Judgment, ReviewInvalid
from db.schema import Decision, Finding
from webui.study import outlines


def judgment(
    form: Mapping[str, str], findings: Sequence[Finding], numbered: Mapping[str, int]
) -> Judgment:
    """What the reader entered of an analysis with ``findings``; ``db.reviews`` judges whether it
    is complete. ``numbered`` as in `webui.study.outlines.read`.

    Raises:
        ReviewInvalid: no decision is chosen, or an outline cannot be one.
    """
    try:
        decision = Decision(form.get("decision", ""))
    except ValueError:
        raise ReviewInvalid("decision", "choose whether you accept the AI result") from None
    return Judgment(
        decision=decision,
        final_label=form.get("final_label") or None,
        birads=form.get("birads") or None,
        reason=form.get(f"reason_{decision}", ""),
        comment=form.get("comment", "").replace("\r\n", "\n"),
        outlines=outlines.read(form.get("outlines", ""), findings, numbered),
    )


def identity(form: Mapping[str, str], name: str) -> UUID:
    """Raises BadRequest."""
    try:
        return UUID(form.get(name, ""))
    except ValueError:
        raise BadRequest from None
