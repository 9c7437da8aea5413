"""Every service of one installation as child processes of one command."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from sonogate.database import prepare
from sonogate.errors import PortTaken
from sonogate.services import bundled_redis, run_file
from sonogate.services.ports import LOOPBACK, free_port, listens, reachable
from sonogate.services.supervisor import Program, Say, Supervisor
from sonogate.settings import Installation, as_environment

READY_WITHIN_S = 120.0

Address = tuple[str, int]


@dataclass(frozen=True)
class Plan:
    """What to run. ``given`` are the settings that override the environment, for children too."""

    installation: Installation
    given: dict[str, Any]
    redis_port: int | None
    """Of the bundled server; None: SONOGATE_REDIS_URL names another one."""

    @classmethod
    def make(cls, **given: Any) -> Self:
        """Raises SettingsError."""
        found = Installation.load(**given)
        given["home"] = found.front.home.absolute()  # the same for children, wherever they run
        redis_port = None if found.front.redis_url else free_port()
        if redis_port is not None:
            given["redis_url"] = bundled_redis.redis_url(redis_port)
        given["dicom_port"] = found.listener.dicom_port or free_port()
        given["web_port"] = found.web.web_port or free_port()
        return cls(Installation.load(**given), given, redis_port)

    def programs(self, workers: int) -> tuple[Program, ...]:
        """Raises NoRedisServer."""
        environment = {**os.environ, **as_environment(self.given)}
        broker = [
            Program("redis", bundled_redis.server_command(port), environment, port, foundation=True)
            for port in [self.redis_port]
            if port is not None
        ]
        return (
            *broker,
            _service("listener", environment, self._listener),
            *(_service("worker", environment, number=n) for n in range(1, workers + 1)),
            _service("web", environment, self._web),
        )

    def check_ports(self) -> None:
        """Raises PortTaken, which names the variable to set."""
        for (host, port), variable in (
            (self._listener, "SONOGATE_DICOM_PORT"),
            (self._web, "SONOGATE_WEB_PORT"),
        ):
            if listens(port, host):
                raise PortTaken(port, variable)

    @property
    def _listener(self) -> Address:
        settings = self.installation.listener
        return reachable(settings.dicom_host), settings.dicom_port

    @property
    def _web(self) -> Address:
        settings = self.installation.web
        return reachable(settings.web_host), settings.web_port

    def running(self) -> run_file.Running:
        """What `sonogate doctor` needs to know to find these services."""
        return run_file.Running(os.getpid(), {name: str(one) for name, one in self.given.items()})


@dataclass(frozen=True)
class Up:
    """An installation that is up."""

    installation: Installation
    supervisor: Supervisor

    @property
    def url(self) -> str:
        """Of the worklist."""
        web = self.installation.web
        return f"http://{reachable(web.web_host)}:{web.web_port}/"


@contextmanager
def started(plan: Plan, *, workers: int, say: Say) -> Iterator[Up]:
    """Run all services until the block ends.

    Raises AlreadyRunning, PortTaken, NoRedisServer, DidNotStart, and whatever an upgrade of the
    database raises.
    """
    front = plan.installation.front
    with run_file.held(front.home):
        plan.check_ports()
        run_file.write(front.home, plan.running())
        prepare(front)
        with Supervisor(plan.programs(workers), front.home / "logs", say) as supervisor:
            supervisor.wait_ready(READY_WITHIN_S)
            yield Up(plan.installation, supervisor)


def _service(
    command: str, environment: dict[str, str], address: Address | None = None, *, number: int = 1
) -> Program:
    name = command if number == 1 else f"{command}-{number}"
    host, port = address or (LOOPBACK, None)
    return Program(name, (sys.executable, "-m", "sonogate", command), environment, port, host)
