"""The Flask application."""

from collections.abc import Callable
from datetime import datetime

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from db.engine import Database
from db.types import now_utc
from webui import access, context, errors, formats, identity, labels, security
from webui.admin.views import blueprint as admin
from webui.audit.views import blueprint as audit
from webui.auth.views import blueprint as auth
from webui.health.views import blueprint as health
from webui.secret_key import effective_secret_key
from webui.settings import WebSettings
from webui.study.views import blueprint as study
from webui.worklist.views import blueprint as worklist


def create_app(
    settings: WebSettings, database: Database, clock: Callable[[], datetime] = now_utc
) -> Flask:
    """Create the application.

    Args:
        clock: returns the current time with its time zone.
    """
    app = Flask(__name__)
    app.secret_key = effective_secret_key(settings)
    app.config["SESSION_COOKIE_SECURE"] = settings.cookie_secure
    context.install(app, context.AppContext(settings, database, settings.file_store(), clock))
    for blueprint in (auth, worklist, study, audit, admin, health):
        app.register_blueprint(blueprint)
    for part in (formats, labels, identity, access, security, errors):
        part.install(app)
    app.context_processor(lambda: {"person": identity.current_person(), "settings": settings})
    if settings.web_trusted_proxies:
        count = settings.web_trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count)  # type: ignore[method-assign]  # Flask's documented way
    return app
