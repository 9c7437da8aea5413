from tests.webui.conftest import Visitor


def test_the_session_cookie_is_for_this_site_and_not_for_scripts(visitor: Visitor) -> None:
    cookie = visitor.sign_in("reader").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Expires" not in cookie  # it ends with the browser


def test_a_large_form_is_refused(visitor: Visitor) -> None:
    visitor.take_token("/login")
    assert visitor.post("/login", username="x" * 2_000_000).status_code == 413
