from pathlib import Path
from uuid import uuid4

import pytest

from db.schema import JobKind
from tests import peers
from workers.queue.app import make_app
from workers.queue.broker import BrokerUnavailable, CeleryBroker
from workers.settings import WorkerSettings


def test_a_bell_without_redis_is_silent(free_port: int) -> None:
    broker = CeleryBroker(make_app(WorkerSettings(redis_url=f"redis://127.0.0.1:{free_port}/0")))
    assert not broker.answers()
    with pytest.raises(BrokerUnavailable):
        broker.ring(uuid4(), JobKind.SIGN)


@pytest.mark.peer
def test_a_bell_rings_again_after_redis_was_killed(tmp_path: Path) -> None:
    with peers.redis(tmp_path) as redis:
        broker = CeleryBroker(make_app(WorkerSettings(redis_url=redis.url)))
        broker.ring(uuid4(), JobKind.SIGN)
        redis.kill()
        with pytest.raises(BrokerUnavailable):
            broker.ring(uuid4(), JobKind.SIGN)
        redis.start()
        assert broker.answers()
        broker.ring(uuid4(), JobKind.SIGN)
