from flask import Flask

from webui import context


def test_a_transaction_ends_the_session_for_reading(app: Flask) -> None:
    with app.test_request_context():
        session = context.reader()
        assert context.reader() is session
        with context.writer():
            pass
        assert context.reader() is not session
