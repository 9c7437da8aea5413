"""Accounts that commands make by themselves."""

from pathlib import Path

from db.schema import Role
from db.settings import StoreSettings
from db.users import NewUser
from sonogate.database import create_account, must_change_password, prepare_installation

READER = NewUser("reader", Role.RADIOLOGIST, organization="Clinic")


def test_a_new_account_gets_its_one_time_password_once(tmp_path: Path) -> None:
    settings = StoreSettings(home=tmp_path)
    prepare_installation(settings)
    assert create_account(settings, READER, actor="demo")
    assert create_account(settings, READER, actor="demo") is None
    assert must_change_password(settings, "reader")


def test_an_account_that_is_not_there_has_no_password_to_tell(tmp_path: Path) -> None:
    settings = StoreSettings(home=tmp_path)
    prepare_installation(settings)
    assert not must_change_password(settings, "reader")
