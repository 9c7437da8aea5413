from datetime import timedelta
from pathlib import Path

from db.engine import Database
from db.incoming import IncomingName, new_instance_id
from tests.webui.conftest import Visitor
from tests.webui.seeding import Site
from webui.app import create_app
from webui.settings import WebSettings


def test_a_process_with_a_database_is_ready(visitor: Visitor) -> None:
    backlog = {"files": 0, "oldest_seconds": 0}
    assert visitor.get("/healthz").json == {"status": "ok", "backlog": backlog}
    assert visitor.get("/readyz").json == {"status": "ok"}


def test_health_tells_how_many_files_wait_for_the_indexer(visitor: Visitor, site: Site) -> None:
    name = IncomingName(new_instance_id(site.now - timedelta(seconds=90)), 1)
    site.files.prepare()
    (site.files.incoming / str(name)).touch()
    answer = visitor.get("/healthz").json
    assert answer
    assert answer["backlog"]["files"] == 1
    assert answer["backlog"]["oldest_seconds"] >= 90


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
