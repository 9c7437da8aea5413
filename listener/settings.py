"""Settings of the listener."""

from typing import Annotated, Self

from pydantic import Field, FilePath, StringConstraints, model_validator

from db.settings import StoreSettings

Seconds = Annotated[float, Field(gt=0, le=3600)]
# PS3.5 6.2: default character repertoire without backslash and control characters, not blank
AeTitle = Annotated[
    str,
    StringConstraints(min_length=1, max_length=16, strip_whitespace=True, pattern=r"^[ -\[\]-~]+$"),
]


class ListenerSettings(StoreSettings):
    """AE title, address, limits and TLS of the listener."""

    ae_title: AeTitle = "SONOGATE"
    """AE title of Sonogate, 1 to 16 characters, for the listener and for deliveries."""
    dicom_host: str = "127.0.0.1"
    """Address to listen on. Use `0.0.0.0` for every IPv4 address of the machine."""
    dicom_port: Annotated[int, Field(ge=0, lt=65536)] = 11112
    """TCP port to listen on. 0 selects a free port."""
    dicom_require_called_ae_title: bool = False
    """Reject associations with a called AE title other than `SONOGATE_AE_TITLE`."""
    dicom_max_associations: Annotated[int, Field(gt=0, le=10_000)] = 100
    """Maximum number of concurrent associations. Any more are rejected temporarily."""
    dicom_max_associations_per_address: Annotated[int, Field(gt=0, le=10_000)] = 50
    """Maximum number of concurrent associations from one address."""
    dicom_max_associations_per_sender: Annotated[int, Field(gt=0, le=10_000)] = 25
    """Maximum number of concurrent associations of one AE title at one address."""
    dicom_max_pending_connections: Annotated[int, Field(gt=0, le=10_000)] = 100
    """Maximum number of connections that have not requested an association yet. For any more, the
    oldest one of the address that has most of them is closed."""
    dicom_max_pdu_bytes: Annotated[int, Field(ge=16_384, le=4_194_304)] = 131_072
    """Maximum PDU length that the listener accepts, in bytes."""
    dicom_network_timeout_seconds: Seconds = 60
    """Seconds without traffic after which an association is aborted."""
    dicom_acse_timeout_seconds: Seconds = 30
    """Seconds that a peer may take for the TLS handshake and the association request together."""
    dicom_object_timeout_seconds: Annotated[float, Field(gt=0, le=86400)] = 1800
    """Seconds that the transfer of one object may take, however often something of it arrives."""
    dicom_stop_grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 10
    """Seconds that open associations may continue when the listener stops."""
    dicom_max_backlog_files: Annotated[int, Field(ge=0)] = 1_000_000
    """Number of received files without database rows from which C-STORE is answered with status
    A700 (out of resources). 0 sets no limit: objects are then received until the disk is full."""
    dicom_max_inflated_bytes: Annotated[int, Field(ge=1_048_576)] = 268_435_456
    """Maximum size of a deflated data set once it is inflated, in bytes. A larger one is refused."""
    dicom_tls_certificate: FilePath | None = None
    """PEM file with the certificate chain of the listener. If set, the port accepts TLS only."""
    dicom_tls_key: FilePath | None = None
    """PEM file with the private key of the certificate."""
    dicom_tls_ca: FilePath | None = None
    """PEM file with the certificate authorities of the peers. If set, every peer must present a
    certificate."""

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.dicom_tls_certificate is None) != (self.dicom_tls_key is None):
            raise ValueError(
                "SONOGATE_DICOM_TLS_CERTIFICATE and SONOGATE_DICOM_TLS_KEY must be set together"
            )
        if self.dicom_tls_ca and not self.dicom_tls_certificate:
            raise ValueError("SONOGATE_DICOM_TLS_CA requires SONOGATE_DICOM_TLS_CERTIFICATE")
        return self
