"""/study/<id>: the study page, its images, and the review."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, session
from flask import url_for as url
from flask.typing import ResponseReturnValue

from db import audit, reviews, users
from db.audit_tags import AuditTag
from db.outlines import load_lesion_numbers
from db.reviews import NO_CLASS, REASONS
from db.schema import Decision, Role, User
from dicom.terms.birads import BIRADS_CATEGORIES
from dicom.terms.classification import CLASSES
from webui.access import allow, background
from webui.context import app_context, now, reader, writer
from webui.identity import person
from webui.study import forms, history, loading, outlines, rendering, viewer

blueprint = Blueprint(
    "study",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/static/study",
)
_STUDY = "/study/<uuid:study_id>"
_INSTANCE = f"{_STUDY}/instance/<uuid:instance_id>"
READERS = (Role.RADIOLOGIST, Role.ADMINISTRATOR)
IMAGE_CACHE_TIME = timedelta(minutes=10)
_VIEWED, _MAX_VIEWED = "viewed", 20


@blueprint.get(_STUDY)
@allow(*READERS)
def index(study_id: UUID) -> ResponseReturnValue:
    _record_view(study_id)
    page = loading.load_page(reader(), study_id, person().id)
    addresses = _build_addresses(study_id, page.analysis.id if page.analysis else None)
    images = viewer.list_images(page, addresses)
    return render_template(
        "study/index.html",
        page=page,
        study=page.study,
        images=images,
        viewer=viewer.to_json(images),
        start=viewer.first_image(images, page.analysis),
        lesions=viewer.list_lesions(page.instances, page.findings, page.outlines),
        edits=outlines.to_form(page.outlines),
        editable=person().may_sign and page.is_reviewable,
        history=history.to_lines(page.history),
        decisions=Decision,
        reasons=REASONS,
        no_class=NO_CLASS,
        classes=CLASSES,
        birads_categories=BIRADS_CATEGORIES,
    )


@blueprint.get(f"{_STUDY}/updates")
@allow(*READERS)
@background
def updates(study_id: UUID) -> ResponseReturnValue:
    """Return the deliveries, and a warning if the open page is out of date; 204 if unchanged."""
    page = loading.load_state(reader(), study_id)
    if request.args.get("seen") == page.digest:
        return "", 204
    shown = {name: request.args.get(name, "") for name in ("analysis", "signed")}
    return render_template("study/_updates.html", page=page, study=page.study, shown=shown)


# ------------------------------------------------------------------------------ images


@blueprint.get(f"{_INSTANCE}/frame/<int:number>.jpg")
@allow(*READERS)
def frame(study_id: UUID, instance_id: UUID, number: int) -> ResponseReturnValue:
    path = _find_file(study_id, instance_id, number)
    return _cached_response(rendering.frame_jpeg(path, number), "image/jpeg")


@blueprint.get(f"{_INSTANCE}/thumbnail/<int:number>.jpg")
@allow(*READERS)
def thumbnail(study_id: UUID, instance_id: UUID, number: int) -> ResponseReturnValue:
    path = _find_file(study_id, instance_id, number)
    return _cached_response(rendering.thumbnail_jpeg(path, number), "image/jpeg")


@blueprint.get(f"{_INSTANCE}/heatmap/<uuid:analysis_id>/<int:number>.png")
@allow(*READERS)
def heatmap(
    study_id: UUID, instance_id: UUID, analysis_id: UUID, number: int
) -> ResponseReturnValue:
    _record_first_view(study_id)
    finding = loading.load_image_finding(reader(), study_id, analysis_id, instance_id)
    frames = finding.frames or ()
    file = next((frame.heatmap_file for frame in frames if frame.frame_number == number), None)
    path = app_context().files.path(file) if file else None
    if path is None or not path.is_file():
        abort(404)
    return _cached_response(rendering.heatmap_png(path), "image/png")


# ------------------------------------------------------------------------------ review


@blueprint.post(f"{_STUDY}/review")
@allow(Role.RADIOLOGIST)
def save_review(study_id: UUID) -> ResponseReturnValue:
    analysis_id = forms.parse_id(request.form, "analysis_id")
    analysis = loading.load_analysis(reader(), study_id, analysis_id)
    findings = loading.load_findings(reader(), analysis)
    numbered = load_lesion_numbers(reader(), study_id)
    judgment = forms.parse_judgment(request.form, findings, numbered)
    with writer() as rows:
        user = rows.get_one(User, person().id)
        draft = reviews.save_draft(rows, analysis_id, user, judgment, now())
    if "sign" in request.form:
        return redirect(url("study.confirm", study_id=study_id, review_id=draft.id), 303)
    if request.headers.get("HX-Request"):
        return render_template("study/_saved.html", at=now())
    flash("Draft saved. It is not signed.")
    return redirect(url("study.index", study_id=study_id), 303)


@blueprint.post(f"{_STUDY}/lesions")
@allow(Role.RADIOLOGIST)
def lesions(study_id: UUID) -> ResponseReturnValue:
    """Return the list of lesions with the form's outlines measured. Nothing is saved."""
    _record_first_view(study_id)
    analysis_id = forms.parse_id(request.form, "analysis_id")
    analysis = loading.load_analysis(reader(), study_id, analysis_id)
    findings = loading.load_findings(reader(), analysis)
    numbered = load_lesion_numbers(reader(), study_id)
    changed = outlines.parse_outlines(request.form.get("outlines", ""), findings, numbered)
    shown = viewer.list_lesions(loading.load_instances(reader(), study_id), findings, changed)
    return render_template("study/_lesions.html", lesions=shown, analysis=analysis)


@blueprint.get(f"{_STUDY}/review/<uuid:review_id>/sign")
@allow(Role.RADIOLOGIST)
def confirm(study_id: UUID, review_id: UUID) -> ResponseReturnValue:
    return _confirmation(study_id, review_id)


@blueprint.post(f"{_STUDY}/review/<uuid:review_id>/sign")
@allow(Role.RADIOLOGIST)
def sign(study_id: UUID, review_id: UUID) -> ResponseReturnValue:
    password = request.form.get("password", "")
    if users.verify_login(app_context().database, person().username, password, now()) is None:
        return _confirmation(study_id, review_id, "Incorrect password."), 422
    with writer() as rows:
        review = loading.load_review(rows, study_id, review_id)
        user = rows.get_one(User, person().id)
        reviews.sign(rows, review.id, user, request.form.get("shown", ""), now())
    flash("Review signed. The verified report will be sent.")
    return redirect(url("study.index", study_id=study_id), 303)


@blueprint.post(f"{_STUDY}/review/<uuid:review_id>/amend")
@allow(Role.RADIOLOGIST)
def amend(study_id: UUID, review_id: UUID) -> ResponseReturnValue:
    with writer() as rows:
        signed = loading.load_review(rows, study_id, review_id)
        reviews.amend(rows, signed.id, rows.get_one(User, person().id), now())
    return redirect(url("study.index", study_id=study_id), 303)


def _confirmation(study_id: UUID, review_id: UUID, problem: str = "") -> str:
    review = loading.load_review(reader(), study_id, review_id)
    if review.reader_id != person().id:
        abort(403)
    is_dialog = bool(request.headers.get("HX-Request"))
    return render_template(
        "study/_sign.html" if is_dialog else "study/sign.html",
        review=review,
        study=review.analysis.study,
        shown=reviews.load_judgment(review).digest,
        problem=problem,
    )


# ------------------------------------------------------------------------------ helpers


def _record_view(study_id: UUID) -> None:
    """Record an audit event for the access to a patient's data.

    Raises:
        NoResultFound: there is no such study.
    """
    with writer() as rows:
        loading.load_study(rows, study_id)
        audit.append(
            rows, AuditTag.STUDY_VIEWED, actor=person().actor, now=now(), study_id=study_id
        )
    session[_VIEWED] = [*session.get(_VIEWED, []), study_id.hex][-_MAX_VIEWED:]


def _record_first_view(study_id: UUID) -> None:
    """Record the access to an image unless this session has opened the study already."""
    if study_id.hex not in session.get(_VIEWED, []):
        _record_view(study_id)


def _find_file(study_id: UUID, instance_id: UUID, frame_number: int) -> Path:
    """Return the file of an instance that has this frame."""
    _record_first_view(study_id)
    instance = loading.load_instance(reader(), study_id, instance_id)
    if not 1 <= frame_number <= max(1, instance.number_of_frames):
        abort(404)
    return app_context().files.path(instance.file)


def _cached_response(content: bytes, mimetype: str) -> Response:
    response = Response(content, mimetype=mimetype)
    seconds = int(IMAGE_CACHE_TIME.total_seconds())
    response.headers["Cache-Control"] = f"private, max-age={seconds}, immutable"
    return response


def _build_addresses(study_id: UUID, analysis_id: UUID | None) -> viewer.Addresses:
    def address(endpoint: str, instance_id: UUID, number: int) -> str:
        return url(endpoint, study_id=study_id, instance_id=instance_id, number=number)

    def heatmap_address(instance_id: UUID, number: int) -> str:
        return url(
            "study.heatmap",
            study_id=study_id,
            instance_id=instance_id,
            analysis_id=analysis_id,
            number=number,
        )

    return viewer.Addresses(
        frame=partial(address, "study.frame"),
        thumbnail=partial(address, "study.thumbnail"),
        heatmap=heatmap_address,
    )
