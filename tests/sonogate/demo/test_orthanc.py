"""Orthanc as the demo PACS."""

from pathlib import Path

import pytest
from pydicom import dcmread

from sonogate.demo import orthanc
from sonogate.demo.orthanc import OrthancNotInstalled, OrthancPacs
from tests import peers
from tests.sonogate import pictures
from workers.destinations.dimse.association import AssociationRequestor, Peer
from workers.destinations.dimse.store_scu import send


@pytest.mark.peer
def test_a_received_object_is_fetched_and_another_has_no_file(tmp_path: Path) -> None:
    try:
        pacs = OrthancPacs(tmp_path / "home")
    except OrthancNotInstalled as error:
        pytest.skip(str(error))
    source = pictures.still(tmp_path / "a.dcm")
    uid = dcmread(source).SOPInstanceUID
    command, environment = list(pacs.program.command), dict(pacs.program.environment)
    with peers.run_process(command, log=tmp_path / "log", env=environment) as process:
        peers.wait_until(lambda: peers.is_listening(pacs.port), seconds=60, what="Orthanc")
        assert not pacs.path_of(uid).exists()
        (outcome,) = send(
            AssociationRequestor(Peer(pacs.ae_title, "127.0.0.1", pacs.port), "T"), [source]
        )
        assert outcome.accepted
        assert dcmread(pacs.path_of(uid)) == dcmread(source)
        assert process.poll() is None
    assert not pacs.path_of(uid).exists()  # nobody answers any more


def test_what_is_missing_is_said_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orthanc, "PLUGIN_PLACES", (tmp_path / "no.so",))
    with pytest.raises(OrthancNotInstalled, match=r"apt-get install .* orthanc-dicomweb"):
        OrthancPacs(tmp_path)
