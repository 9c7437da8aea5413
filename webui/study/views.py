"""/study/<id>: the page, its pictures, and the review."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, session
from flask import url_for as url
from flask.typing import ResponseReturnValue

from db import audit, reviews, users
from db.audit_tags import AuditTag
from db.outlines import lesion_numbers
from db.reviews import NO_CLASS, REASONS
from db.schema import Role, User
from dicom.terms.birads import BIRADS_CATEGORIES
from dicom.terms.classification import CLASSES
from webui.access import allow, background
from webui.context import now, reader, services, writer
from webui.identity import person
from webui.study import forms, history, loading, outlines, pictures, viewer
from webui.study.loading import StudyPage

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
PICTURE_AGE = timedelta(minutes=10)
_LOOKED, _REMEMBERED = "looked", 20


@blueprint.get(_STUDY)
@allow(*READERS)
def index(study_id: UUID) -> ResponseReturnValue:
    _record_look(study_id)
    page = loading.load_page(reader(), study_id, person().id)
    images = viewer.images_of(page, _addresses(page))
    return render_template(
        "study/index.html",
        page=page,
        study=page.study,
        images=images,
        viewer=viewer.as_json(images),
        start=viewer.first_image(images, page.analysis),
        lesions=viewer.lesions_of(page.instances, page.findings, page.outlines),
        edits=outlines.as_form(page.outlines),
        editable=person().may_sign and page.open_to_review,
        story=history.lines(page.story),
        reasons=REASONS,
        no_class=NO_CLASS,
        classes=CLASSES,
        birads_categories=BIRADS_CATEGORIES,
    )


@blueprint.get(f"{_STUDY}/news")
@allow(*READERS)
@background
def news(study_id: UUID) -> ResponseReturnValue:
    """Deliveries, and whether the page shows the newest analysis; 204 when nothing changed."""
    page = loading.load_standing(reader(), study_id)
    if request.args.get("seen") == page.state:
        return "", 204
    shown = {name: request.args.get(name, "") for name in ("analysis", "signed")}
    return render_template("study/_news.html", page=page, study=page.study, shown=shown)


# ------------------------------------------------------------------------------ pictures


@blueprint.get(f"{_INSTANCE}/frame/<int:number>.jpg")
@allow(*READERS)
def frame(study_id: UUID, instance_id: UUID, number: int) -> ResponseReturnValue:
    path = _file_with_frame(study_id, instance_id, number)
    return _picture(pictures.frame_jpeg(path, number), "image/jpeg")


@blueprint.get(f"{_INSTANCE}/thumbnail/<int:number>.jpg")
@allow(*READERS)
def thumbnail(study_id: UUID, instance_id: UUID, number: int) -> ResponseReturnValue:
    path = _file_with_frame(study_id, instance_id, number)
    return _picture(pictures.thumbnail_jpeg(path, number), "image/jpeg")


@blueprint.get(f"{_INSTANCE}/heatmap/<uuid:analysis_id>/<int:number>.png")
@allow(*READERS)
def heatmap(
    study_id: UUID, instance_id: UUID, analysis_id: UUID, number: int
) -> ResponseReturnValue:
    _record_first_look(study_id)
    finding = loading.load_image_finding(reader(), study_id, analysis_id, instance_id)
    frames = finding.frames or ()
    file = next((frame.heatmap_file for frame in frames if frame.frame_number == number), None)
    path = services().files.path(file) if file else None
    if path is None or not path.is_file():
        abort(404)
    return _picture(pictures.heatmap_png(path), "image/png")


# ------------------------------------------------------------------------------ review


@blueprint.post(f"{_STUDY}/review")
@allow(Role.RADIOLOGIST)
def save_review(study_id: UUID) -> ResponseReturnValue:
    analysis_id = forms.identity(request.form, "analysis_id")
    analysis = loading.load_analysis(reader(), study_id, analysis_id)
    findings = loading.load_findings(reader(), analysis)
    judgment = forms.judgment(request.form, findings, lesion_numbers(reader(), study_id))
    with writer() as rows:
        reader_row = rows.get_one(User, person().id)
        draft = reviews.save_draft(rows, analysis_id, reader_row, judgment, now())
    if "sign" in request.form:
        return redirect(url("study.confirm", study_id=study_id, review_id=draft.id), 303)
    if request.headers.get("HX-Request"):
        return render_template("study/_saved.html", at=now())
    flash("The draft is saved. It is not signed.")
    return redirect(url("study.index", study_id=study_id), 303)


@blueprint.post(f"{_STUDY}/lesions")
@allow(Role.RADIOLOGIST)
def lesions(study_id: UUID) -> ResponseReturnValue:
    """The list of lesions with the outlines of the form, measured; nothing is saved."""
    _record_first_look(study_id)
    analysis_id = forms.identity(request.form, "analysis_id")
    analysis = loading.load_analysis(reader(), study_id, analysis_id)
    findings = loading.load_findings(reader(), analysis)
    numbered = lesion_numbers(reader(), study_id)
    changed = outlines.read(request.form.get("outlines", ""), findings, numbered)
    shown = viewer.lesions_of(loading.load_instances(reader(), study_id), findings, changed)
    return render_template("study/_lesions.html", lesions=shown, analysis=analysis)


@blueprint.get(f"{_STUDY}/review/<uuid:review_id>/sign")
@allow(Role.RADIOLOGIST)
def confirm(study_id: UUID, review_id: UUID) -> ResponseReturnValue:
    return _confirmation(study_id, review_id)


@blueprint.post(f"{_STUDY}/review/<uuid:review_id>/sign")
@allow(Role.RADIOLOGIST)
def sign(study_id: UUID, review_id: UUID) -> ResponseReturnValue:
    password = request.form.get("password", "")
    if users.verify_login(services().database, person().username, password, now()) is None:
        return _confirmation(study_id, review_id, "That is not your password."), 422
    with writer() as rows:
        review = loading.load_review(rows, study_id, review_id)
        reader_row = rows.get_one(User, person().id)
        reviews.sign(rows, review.id, reader_row, request.form.get("shown", ""), now())
    flash("Signed. The verified report is on its way.")
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
    part = bool(request.headers.get("HX-Request"))
    return render_template(
        "study/_sign.html" if part else "study/sign.html",
        review=review,
        study=review.analysis.study,
        shown=reviews.judgment_of(review).digest,
        problem=problem,
    )


# ------------------------------------------------------------------------------ helpers


def _record_look(study_id: UUID) -> None:
    """Each look at a patient's data is an event; of the pictures, the first in a session."""
    with writer() as rows:
        loading.load_study(rows, study_id)
        audit.append(
            rows, AuditTag.STUDY_VIEWED, actor=person().actor, now=now(), study_id=study_id
        )
    session[_LOOKED] = [*session.get(_LOOKED, []), study_id.hex][-_REMEMBERED:]


def _record_first_look(study_id: UUID) -> None:
    if study_id.hex not in session.get(_LOOKED, []):
        _record_look(study_id)


def _file_with_frame(study_id: UUID, instance_id: UUID, number: int) -> Path:
    _record_first_look(study_id)
    instance = loading.load_instance(reader(), study_id, instance_id)
    if not 1 <= number <= max(1, instance.number_of_frames):
        abort(404)
    return services().files.path(instance.file)


def _picture(content: bytes, mimetype: str) -> Response:
    response = Response(content, mimetype=mimetype)
    seconds = int(PICTURE_AGE.total_seconds())
    response.headers["Cache-Control"] = f"private, max-age={seconds}, immutable"
    return response


def _addresses(page: StudyPage) -> viewer.Addresses:
    study_id = page.study.id
    analysis_id = page.analysis.id if page.analysis else None

    def picture(endpoint: str, instance_id: UUID, number: int) -> str:
        return url(endpoint, study_id=study_id, instance_id=instance_id, number=number)

    def heat(instance_id: UUID, number: int) -> str:
        return url(
            "study.heatmap",
            study_id=study_id,
            instance_id=instance_id,
            analysis_id=analysis_id,
            number=number,
        )

    return viewer.Addresses(
        frame=partial(picture, "study.frame"),
        thumbnail=partial(picture, "study.thumbnail"),
        heatmap=heat,
    )
