"""Serves the OHIF viewer on loopback, with the DICOMweb server whose studies it shows.

The viewer and `/dicom-web`, which is forwarded to the server, are of one origin, so that the browser
asks for no CORS headers, which Orthanc does not send.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlencode, urlsplit

from sonogate.errors import CommandError
from sonogate.services.ports import LOOPBACK

DISTRIBUTION: Final = Path(__file__).resolve().parents[2] / ".tools" / "ohif" / "dist"
"""Where `deploy/install-ohif.sh` puts the built viewer."""
DICOM_WEB: Final = "/dicom-web"
ANSWER_TIMEOUT_SECONDS: Final = 60.0
FORWARDED_HEADERS: Final = ("Accept", "Content-Type")
CONFIGURATION: Final[dict[str, Any]] = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "showStudyList": True,
    "maxNumberOfWebWorkers": 2,
    "showWarningMessageForCrossOrigin": False,
    "showCPUFallbackMessage": False,
    "showLoadingIndicator": True,
    "strictZSpacingForVolumeViewport": True,
    "groupEnabledModesFirst": True,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "Sonogate",
                "name": "sonogate",
                "qidoRoot": DICOM_WEB,
                "wadoRoot": DICOM_WEB,
                "wadoUriRoot": DICOM_WEB,
                "qidoSupportsIncludeField": True,
                "supportsReject": False,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "dicomUploadEnabled": False,
                "omitQuotationForMultipartRequest": True,
                "bulkDataURI": {"enabled": True},
            },
        }
    ],
}
"""The viewer's `window.config` (docs.ohif.org, Configuration)."""


class OhifNotInstalled(CommandError):
    """Raised when the built viewer is not where its install script puts it."""

    def __init__(self) -> None:
        super().__init__("the OHIF viewer is not installed: run deploy/install-ohif.sh")


def check_installed(distribution: Path = DISTRIBUTION) -> None:
    """Raise OhifNotInstalled unless `distribution` is the folder of a built viewer."""
    if not (distribution / "index.html").is_file():
        raise OhifNotInstalled


def study_url(address: str, study_instance_uid: str) -> str:
    """Return the page of a study in the viewer at `address`."""
    return f"{address}/viewer?{urlencode({'StudyInstanceUIDs': study_instance_uid})}"


@contextmanager
def serve_ohif(
    server: tuple[str, int], *, port: int = 0, distribution: Path = DISTRIBUTION
) -> Iterator[str]:
    """Serve the viewer on loopback until the block ends, and yield its address.

    `server` is the host and port of an HTTP server with DICOMweb at `/dicom-web`. Port 0 is any
    free port.

    Raises:
        OhifNotInstalled: `distribution` is not the folder of a built viewer.
        OSError: The port is in use.
    """
    check_installed(distribution)
    with _Server(port, server, distribution) as ohif:
        thread = threading.Thread(target=ohif.serve_forever, name="ohif", daemon=True)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{ohif.server_port}"
        finally:
            ohif.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    def __init__(self, port: int, dicom_web: tuple[str, int], distribution: Path) -> None:
        self.dicom_web, self.distribution = dicom_web, distribution
        super().__init__((LOOPBACK, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print errors, except that the browser closed a connection before the answer's end."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # as received


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def __init__(self, request: Any, address: Any, server: _Server) -> None:
        super().__init__(request, address, server, directory=str(server.distribution))

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if not self._is_addressed_to_loopback():
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"Open the viewer by its address.")
        elif path == "/app-config.js":
            script = f"window.config = {json.dumps(CONFIGURATION)};"
            self._answer(HTTPStatus.OK, "text/javascript", script.encode())
        elif path.startswith(f"{DICOM_WEB}/"):
            self._forward()
        else:
            if not Path(self.translate_path(self.path)).is_file():
                self.path = "/index.html"  # a page of the application, which reads the address
            super().do_GET()

    def do_HEAD(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"")

    def do_POST(self) -> None:
        if self._is_addressed_to_loopback() and self.path.startswith(f"{DICOM_WEB}/"):
            self._forward()
        else:
            self.close_connection = True  # the body is not read
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"Only DICOMweb accepts data.")

    def end_headers(self) -> None:
        """Isolate the page, without which Cornerstone has no SharedArrayBuffer."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as in the base class
        """Log nothing: addresses contain UIDs."""

    def _is_addressed_to_loopback(self) -> bool:
        """Refuse a name that someone else's DNS server resolves to this machine."""
        port = self.server.server_port
        return self.headers.get("Host") in (f"{LOOPBACK}:{port}", f"localhost:{port}")

    def _forward(self) -> None:
        if ".." in unquote(urlsplit(self.path).path).split("/"):
            self.close_connection = True
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"No such path.")
            return
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        headers = {name: self.headers[name] for name in FORWARDED_HEADERS if name in self.headers}
        connection = HTTPConnection(*self.server.dicom_web, timeout=ANSWER_TIMEOUT_SECONDS)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content, kind = answer.read(), answer.getheader("Content-Type", "")
        except (OSError, HTTPException):
            self._answer(HTTPStatus.BAD_GATEWAY, "text/plain", b"The DICOMweb server is not there.")
            return
        finally:
            connection.close()
        if "json" in kind:  # holds addresses of bulk data, as the server knows itself
            itself = "http://{}:{}/".format(*self.server.dicom_web)
            viewer = f"http://{self.headers['Host']}/"
            content = content.replace(itself.encode(), viewer.encode())
        self._answer(answer.status, kind, content)

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
