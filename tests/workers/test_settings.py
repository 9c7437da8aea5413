from datetime import timedelta

import pytest

from db.errors import SettingsError
from workers.queue.app import make_app
from workers.settings import WorkerSettings


def test_the_defaults_suit_one_machine() -> None:
    settings = WorkerSettings.load()
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert settings.lease == timedelta(seconds=60)
    assert settings.redispatch_after == timedelta(seconds=30)


def test_at_least_one_slot_stays_free_of_analyses() -> None:
    with pytest.raises(SettingsError, match="SONOGATE_WORKER_ANALYSIS_SLOTS must be less"):
        WorkerSettings.load(worker_concurrency=2, worker_analysis_slots=2)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SONOGATE_WORKER_CONCURRENCY", "1"),
        ("SONOGATE_MAX_CINE_FRAMES", "0"),
        ("SONOGATE_BATCH_SIZE", "many"),
        ("SONOGATE_AE_TITLE", "LONGER-THAN-SIXTEEN"),
        ("SONOGATE_LEASE_SECONDS", "-1"),
        ("SONOGATE_REDIS_URL", "nonsense"),
    ],
)
def test_an_invalid_value_names_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable) as raised:
        WorkerSettings.load()
    assert f"={value}" not in str(raised.value)


def test_every_setting_is_described() -> None:
    for name, field in WorkerSettings.model_fields.items():
        assert field.description, name


def test_messages_are_acknowledged_before_the_job_runs() -> None:
    app = make_app(WorkerSettings(redis_url="redis://127.0.0.1:1/0"))
    assert app.conf.task_acks_late is False
    assert app.conf.broker_url == "redis://127.0.0.1:1/0"
    assert set(app.conf.accept_content) == {"json"}
