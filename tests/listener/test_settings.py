"""Settings of the listener."""

from pathlib import Path

import pytest

from db.errors import SettingsError
from listener.settings import ListenerSettings


def test_the_defaults_listen_on_loopback_only() -> None:
    settings = ListenerSettings.load()
    assert (settings.dicom_host, settings.dicom_port) == ("127.0.0.1", 11112)
    assert settings.ae_title == "SONOGATE"
    assert settings.dicom_tls_certificate is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SONOGATE_AE_TITLE", "SEVENTEENLETTERSX"),
        ("SONOGATE_AE_TITLE", "BACK\\SLASH"),
        ("SONOGATE_AE_TITLE", "   "),
        ("SONOGATE_DICOM_PORT", "70000"),
        ("SONOGATE_DICOM_MAX_ASSOCIATIONS", "-5"),
        ("SONOGATE_DICOM_MAX_PDU_BYTES", "100"),
        ("SONOGATE_DICOM_NETWORK_TIMEOUT_SECONDS", "soon"),
        ("SONOGATE_DICOM_TLS_CERTIFICATE", "/no/such/file.pem"),
    ],
)
def test_a_wrong_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: ") as caught:
        ListenerSettings.load()
    assert value not in str(caught.value)


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.touch()
    with pytest.raises(SettingsError, match="SONOGATE_DICOM_TLS_KEY must be set together"):
        ListenerSettings.load(dicom_tls_certificate=pem)


def test_an_authority_needs_a_certificate(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.touch()
    with pytest.raises(SettingsError, match="SONOGATE_DICOM_TLS_CA requires"):
        ListenerSettings.load(dicom_tls_ca=pem)
