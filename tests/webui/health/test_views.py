from pathlib import Path

from db.engine import Database
from tests.webui.conftest import Visitor
from webui.app import create_app
from webui.settings import WebSettings


def test_a_process_with_a_database_is_ready(visitor: Visitor) -> None:
    assert visitor.get("/healthz").json == {"status": "ok"}
    assert visitor.get("/readyz").json == {"status": "ok"}


def test_without_its_database_the_process_is_alive_but_not_ready(
    settings: WebSettings, tmp_path: Path
) -> None:
    gone = Database(f"sqlite:///{tmp_path / 'nowhere' / 'gone.db'}")
    client = create_app(settings, gone).test_client()
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"status": "the database is unavailable"})
    assert client.get("/login").status_code == 200
    gone.close()


def test_an_old_schema_is_reported_with_the_remedy(settings: WebSettings, tmp_path: Path) -> None:
    empty = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    answer = create_app(settings, empty).test_client().get("/readyz")
    assert answer.status_code == 503
    assert "sonogate db upgrade" in answer.text
    empty.close()
