"""One-time passwords that commands print."""

import re

from db.engine import Database
from db.settings import StoreSettings
from db.types import now_utc
from db.users import verify_login


def can_log_in(username: str, password: str) -> bool:
    database = Database(StoreSettings.load().effective_database_url)
    try:
        return verify_login(database, username, password, now_utc()) is not None
    finally:
        database.close()


def one_time_password(output: str) -> str:
    found = re.search(r"one-time password (\S+)", output)
    assert found, output
    return found[1]
