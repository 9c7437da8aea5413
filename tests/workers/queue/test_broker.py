from pathlib import Path
from uuid import uuid4

import pytest

from db.schema import JobKind
from tests import peers
from workers.queue.app import make_app
from workers.queue.broker import BrokerUnavailable, CeleryBroker
from workers.settings import WorkerSettings


def test_dispatching_without_redis_raises(free_port: int) -> None:
    broker = CeleryBroker(make_app(WorkerSettings(redis_url=f"redis://127.0.0.1:{free_port}/0")))
    assert not broker.is_available()
    with pytest.raises(BrokerUnavailable):
        broker.dispatch(uuid4(), JobKind.SIGN)


@pytest.mark.peer
def test_dispatching_works_again_after_redis_was_killed(tmp_path: Path) -> None:
    with peers.redis(tmp_path) as redis:
        broker = CeleryBroker(make_app(WorkerSettings(redis_url=redis.url)))
        broker.dispatch(uuid4(), JobKind.SIGN)
        redis.kill()
        with pytest.raises(BrokerUnavailable):
            broker.dispatch(uuid4(), JobKind.SIGN)
        redis.start()
        assert broker.is_available()
        broker.dispatch(uuid4(), JobKind.SIGN)
