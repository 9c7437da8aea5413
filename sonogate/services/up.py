"""All services of one installation as child processes of one command."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from sonogate.database import prepare_installation
from sonogate.errors import PortInUse
from sonogate.services import bundled_redis, run_file
from sonogate.services.ports import LOOPBACK, connectable_host, find_free_port, is_listening
from sonogate.services.run_file import RunFile
from sonogate.services.supervisor import Notify, Program, Supervisor
from sonogate.settings import Installation, to_environment

START_TIMEOUT_SECONDS = 120.0

Address = tuple[str, int]


@dataclass(frozen=True)
class LaunchPlan:
    """The programs to start and their ports, chosen before anything is started."""

    installation: Installation
    overrides: dict[str, Any]
    """Settings that override the environment, in this process and in its children."""
    redis_port: int | None
    """Port of the bundled server; None if SONOGATE_REDIS_URL names another one."""

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Load the settings and choose free ports where they leave the choice.

        Raises:
            SettingsError: A variable is invalid.
        """
        configured = Installation.load(**overrides)
        # absolute, because children may run in another directory
        overrides["home"] = configured.cli.home.absolute()
        redis_port = None if configured.cli.redis_url else find_free_port()
        if redis_port is not None:
            overrides["redis_url"] = bundled_redis.redis_url(redis_port)
        overrides["dicom_port"] = configured.listener.dicom_port or find_free_port()
        overrides["web_port"] = configured.web.web_port or find_free_port()
        return cls(Installation.load(**overrides), overrides, redis_port)

    def programs(self, workers: int) -> tuple[Program, ...]:
        """Return the programs in the order of their start.

        Raises:
            RedisServerNotFound: The bundled server is needed and missing.
        """
        environment = {**os.environ, **to_environment(self.overrides)}
        programs = [
            _service("listener", environment, self._listener),
            _service("indexer", environment),
            *(_service("worker", environment, number=n) for n in range(1, workers + 1)),
            _service("web", environment, self._web),
        ]
        if self.redis_port is not None:
            command = bundled_redis.server_command(self.redis_port)
            redis = Program("redis", command, environment, self.redis_port, stop_last=True)
            programs.insert(0, redis)
        return tuple(programs)

    def check_ports(self) -> None:
        """Raise PortInUse, which names the variable to set, if a port is not free."""
        for (host, port), variable in (
            (self._listener, "SONOGATE_DICOM_PORT"),
            (self._web, "SONOGATE_WEB_PORT"),
        ):
            if is_listening(port, host):
                raise PortInUse(port, variable)

    @property
    def _listener(self) -> Address:
        settings = self.installation.listener
        return connectable_host(settings.dicom_host), settings.dicom_port

    @property
    def _web(self) -> Address:
        settings = self.installation.web
        return connectable_host(settings.web_host), settings.web_port

    def run_file(self) -> RunFile:
        """Return what `sonogate doctor` needs to find the running services."""
        return RunFile(os.getpid(), {name: str(value) for name, value in self.overrides.items()})


@dataclass(frozen=True)
class RunningServices:
    """An installation whose services are ready."""

    installation: Installation
    supervisor: Supervisor

    @property
    def url(self) -> str:
        """Address of the web interface."""
        web = self.installation.web
        return f"http://{connectable_host(web.web_host)}:{web.web_port}/"


@contextmanager
def run_services(
    plan: LaunchPlan, *, workers: int, notify: Notify, others: tuple[Program, ...] = ()
) -> Iterator[RunningServices]:
    """Run all services until the block ends. The database is created or upgraded first.

    `others` are programs to run beside the services.

    Raises:
        AlreadyRunning: Another process runs in the same home directory.
        PortInUse: Another program listens on the port of a service.
        RedisServerNotFound: The bundled server is needed and missing.
        ServiceStartError: A service exited or is not ready in time.
    """
    settings = plan.installation.cli
    with run_file.lock_home(settings.home):
        plan.check_ports()
        run_file.write(settings.home, plan.run_file())
        prepare_installation(settings)
        programs = (*others, *plan.programs(workers))
        with Supervisor(programs, settings.home / "logs", notify) as supervisor:
            supervisor.wait_ready(START_TIMEOUT_SECONDS)
            yield RunningServices(plan.installation, supervisor)


def _service(
    command: str, environment: dict[str, str], address: Address | None = None, *, number: int = 1
) -> Program:
    name = command if number == 1 else f"{command}-{number}"
    host, port = address or (LOOPBACK, None)
    return Program(name, (sys.executable, "-m", "sonogate", command), environment, port, host)
