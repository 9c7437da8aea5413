"""Orthanc as the demo PACS, whose DICOMweb plugin a viewer reads from."""

import json
import os
import shutil
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from sonogate.errors import CommandError
from sonogate.services.ports import LOOPBACK, find_free_port
from sonogate.services.supervisor import Program

SERVER_PLACES: Final = ("Orthanc", "/usr/sbin/Orthanc", "/usr/local/sbin/Orthanc")
PLUGIN_PLACES: Final = tuple(
    Path(folder) / "share/orthanc/plugins/libOrthancDicomWeb.so"
    for folder in ("/usr", "/usr/local")
)
TIMEOUT_SECONDS: Final = 30.0


class OrthancNotInstalled(CommandError):
    """Raised when Orthanc or its DICOMweb plugin is missing."""

    def __init__(self) -> None:
        super().__init__(
            "Orthanc with its DICOMweb plugin is not installed: on Debian, run as root"
            " `apt-get install --no-install-recommends orthanc orthanc-dicomweb`"
        )


def orthanc_configuration(
    storage: Path, *, ae_title: str, dicom_port: int, http_port: int, plugins: Iterable[Path]
) -> dict[str, Any]:
    """Return the configuration of an Orthanc that takes everything and is reachable on loopback."""
    return {
        "Name": "sonogate",
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "DicomAet": ae_title,
        "DicomPort": dicom_port,
        "HttpPort": http_port,
        "HttpBindAddresses": [LOOPBACK],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "UnknownSopClassAccepted": True,
        "Plugins": [str(plugin) for plugin in plugins],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }


class OrthancPacs:
    """An Orthanc in `home`, on free loopback ports. `program` is to be started by a supervisor.

    Raises:
        OrthancNotInstalled: Orthanc or its DICOMweb plugin is missing.
    """

    ae_title: Final = "DEMO-PACS"

    def __init__(self, home: Path) -> None:
        server = next(filter(None, map(shutil.which, SERVER_PLACES)), None)
        plugin = next((path for path in PLUGIN_PLACES if path.exists()), None)
        if server is None or plugin is None:
            raise OrthancNotInstalled
        self.port, self.http_port = find_free_port(), find_free_port()
        self.folder = home / "orthanc"
        """What Orthanc keeps, and in `received` the files that were asked for."""
        self._received = self.folder / "received"
        self._received.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "orthanc.json"
        configuration.write_text(
            json.dumps(
                orthanc_configuration(
                    self.folder.absolute() / "storage",
                    ae_title=self.ae_title,
                    dicom_port=self.port,
                    http_port=self.http_port,
                    plugins=[plugin],
                ),
                indent=2,
            )
        )
        # without TCP_NODELAY, every C-STORE waits some 45 ms for a delayed acknowledgment
        environment = {**os.environ, "TCP_NODELAY": "1"}
        command = (server, str(configuration))
        self.program = Program("orthanc", command, environment, self.port, stop_last=True)

    def path_of(self, sop_instance_uid: str) -> Path:
        """Fetch an object; return its file, which exists only if Orthanc has the object."""
        path = self._received / f"{sop_instance_uid}.dcm"
        path.unlink(missing_ok=True)
        found = json.loads(self._ask("POST", "/tools/lookup", sop_instance_uid) or b"[]")
        for place in (one["Path"] for one in found if one["Type"] == "Instance"):
            content = self._ask("GET", f"{place}/file")
            if content is not None:
                path.write_bytes(content)
        return path

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes | None:
        """Return the body of an answer, None if there is none."""
        connection = HTTPConnection(LOOPBACK, self.http_port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
        return content if answer.status == 200 else None
