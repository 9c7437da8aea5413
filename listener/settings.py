"""Settings of the listener."""

from typing import Annotated, Self

from pydantic import Field, FilePath, StringConstraints, model_validator

from db.settings import StoreSettings

Seconds = Annotated[float, Field(gt=0, le=3600)]
# PS3.5 6.2: the default repertoire without backslash and control characters, not spaces alone
AeTitle = Annotated[
    str,
    StringConstraints(min_length=1, max_length=16, strip_whitespace=True, pattern=r"^[ -\[\]-~]+$"),
]


class ListenerSettings(StoreSettings):
    """Who we are on the network, and how long we wait."""

    ae_title: AeTitle = "SONOGATE"
    """Our AE title, 1 to 16 characters."""
    dicom_host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every IPv4 address of the machine."""
    dicom_port: Annotated[int, Field(ge=0, lt=65536)] = 11112
    """TCP port to listen on; 0 takes a free one."""
    dicom_require_called_ae: bool = False
    """Refuse callers that call us by another AE title than ours."""
    dicom_max_associations: Annotated[int, Field(gt=0, le=10_000)] = 100
    """Associations served at once; one more is refused for the time being."""
    dicom_max_pdu_bytes: Annotated[int, Field(ge=16_384, le=4_194_304)] = 131_072
    """Largest PDU that we offer to take, in bytes."""
    dicom_network_timeout_s: Seconds = 60
    """An association without traffic for so long is aborted, in seconds."""
    dicom_acse_timeout_s: Seconds = 30
    """How long a caller may take to introduce itself, in seconds."""
    dicom_dimse_timeout_s: Seconds = 30
    """How long we wait for an answer to a message of ours, in seconds."""
    dicom_stop_grace_s: Annotated[float, Field(ge=0, le=3600)] = 10
    """How long transfers may go on after the listener was told to stop, in seconds."""
    dicom_tls_certificate: FilePath | None = None
    """PEM file of our certificate chain; with it the port speaks TLS only."""
    dicom_tls_key: FilePath | None = None
    """PEM file of the certificate's private key."""
    dicom_tls_ca: FilePath | None = None
    """PEM file of the authorities that sign callers' certificates; with it each needs one."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.dicom_tls_certificate is None) != (self.dicom_tls_key is None):
            raise ValueError(
                "SONOGATE_DICOM_TLS_CERTIFICATE and SONOGATE_DICOM_TLS_KEY go together: set both"
            )
        if self.dicom_tls_ca and not self.dicom_tls_certificate:
            raise ValueError("SONOGATE_DICOM_TLS_CA needs SONOGATE_DICOM_TLS_CERTIFICATE beside it")
        return self
