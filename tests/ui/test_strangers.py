"""Two strangers, one of whom has the other's session hash: nothing of the other's is reachable, stopped or deleted."""

import contextlib

import httpx
import pytest
from helpers.demo_server import wait_until
from helpers.quick_demo import look_at_a_capture, open_page, quick_demo

from studio_avatar.ui import owners
from studio_avatar.ui.owners import TOKEN
from studio_avatar.ui.sessions import KEEP_SECONDS

gradio = pytest.importorskip("gradio")
API = "/gradio_api"
OWNER = "0wn3r5h4sh1"
ELSEWHERE = {"x-forwarded-for": "203.0.113.9"}


@pytest.fixture(scope="module")
def demo():
    with pytest.MonkeyPatch.context() as patch, quick_demo(patch) as demo:
        yield demo


@pytest.fixture
def browser(demo):
    """Makes browsers, which keep cookies, with the page open."""
    with contextlib.ExitStack() as clients:

        def browse() -> httpx.Client:
            client = clients.enter_context(httpx.Client(base_url=demo.url, timeout=30))
            assert client.get("/").status_code == 200
            return client

        yield browse


def fn_index(client, element: str, event: str = "click") -> int:
    """The number of the first event of a component of the page."""
    config = client.get("/config").json()
    (component,) = (c["id"] for c in config["components"] if c["props"].get("elem_id") == element)
    return next(d["id"] for d in config["dependencies"] if [component, event] in d["targets"])


def cancel_call(client, session: str | None) -> dict:
    """What the page's Cancel sends; it answers with all that the visitor has."""
    return {"fn_index": fn_index(client, "cancel"), "session_hash": session, "data": []}


def attempts(client, session: str) -> dict[str, httpx.Response]:
    """All that can be asked for with a session hash."""
    cancel = cancel_call(client, session)
    other = {"session_hash": session, "fn_index": 1, "event_id": "x"}
    return {
        "run": client.post(f"{API}/run/predict", json=cancel),
        "join": client.post(f"{API}/queue/join", json=cancel),
        "call": client.post(f"{API}/call/check_capture", json={"data": [None, 256], "session_hash": session}),
        "cancel": client.post(f"{API}/cancel", json=other),
        "data": client.get(f"{API}/queue/data", params={"session_hash": session}),
        "twice": client.get(f"{API}/queue/data?session_hash=mine&session_hash={session}"),
        "answer": client.get(f"{API}/call/check_capture/{session}"),
        "heartbeat": client.get(f"{API}/heartbeat/{session}"),
    }


def test_a_session_hash_is_no_proof(demo, browser):
    owner, stranger, service = browser(), browser(), demo.service
    with open_page(demo.url, OWNER, owner):
        answer = look_at_a_capture(demo.url, OWNER, owner)
        kept = sorted(service.sessions.root.rglob("*.png"))
        assert "session-" in answer and len(kept) == 3
        for client in (stranger, httpx.Client(base_url=demo.url, headers=ELSEWHERE)):
            for name, refused in attempts(client, OWNER).items():
                assert (name, refused.status_code) == (name, 403)
                assert refused.json()["detail"].endswith("load the page again.")
        assert sorted(service.sessions.root.rglob("*.png")) == kept and len(service.alive) == 1
        mine = owner.post(f"{API}/run/predict", json=cancel_call(owner, OWNER))
        assert mine.status_code == 200 and "session-" in mine.text
    wait_until(lambda: not list(service.sessions.root.rglob("*.png")), 20)


def test_the_cookie_is_the_browsers_alone(demo, browser):
    first, second = browser(), browser()
    cookies = [client.cookies["studio-avatar"] for client in (first, second)]
    assert cookies[0] != cookies[1] and all(TOKEN.fullmatch(cookie) for cookie in cookies)
    assert "set-cookie" not in first.get("/").headers  # it stays as it is
    fresh = httpx.get(demo.url).headers["set-cookie"]
    assert "HttpOnly" in fresh and "SameSite=Lax" in fresh and "Max-Age" not in fresh
    framed = httpx.get(demo.url, headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert framed.startswith("__Host-") and "Secure" in framed and "Partitioned" in framed


def test_who_keeps_no_cookies_is_known_by_the_address(demo):
    """Plain HTTP: a call is a session of its own, and one that names a session keeps it."""
    with open_page(demo.url, "plain", httpx):
        assert "session-" in look_at_a_capture(demo.url, "plain", httpx)
        elsewhere = httpx.Client(base_url=demo.url, headers=ELSEWHERE)
        assert all(answer.status_code == 403 for answer in attempts(elsewhere, "plain").values())


def test_a_page_s_event_without_a_session_is_nobodys(demo, browser):
    client = browser()
    answer = client.post(f"{API}/run/predict", json=cancel_call(client, None))
    assert answer.status_code == 500 and "load the page" in answer.text


def test_what_cannot_be_read_is_refused(demo):
    for path in ("queue/join", "run/predict", "call/check_capture", "cancel"):
        url = f"{demo.url}{API}/{path}"
        for body, status in ((b"[" * 100_000, 400), (b"{", 400), (b" " * 1_000_001, 413)):
            assert httpx.post(url, content=body).status_code == status
        assert httpx.post(url, json={"data": [], "session_hash": "x" * 129}).status_code == 400
        assert httpx.post(url, json={"data": [], "session_hash": 7}).status_code == 400


def test_sessions_are_forgotten_when_nobody_uses_them(monkeypatch):
    now, ended = [0.0], []
    monkeypatch.setattr(owners.time, "monotonic", lambda: now[0])
    known = owners.Owners(ended.append, most=2)
    assert known.claim("a", "cookie", "here") and known.claim("a", "cookie", "there")
    assert not known.claim("a", None, "here") and not known.claim("a", "other", "here")
    with known.stream("a"):
        now[0] = 2 * KEEP_SECONDS
        assert known.claim("b", None, "here") and not known.claim("a", "other", "here")
    assert known.claim("b", "new cookie", "here")  # a client that got one later
    assert known.claim("c", None, "here") and ended == ["a"] and len(known) == 2
    assert known.claim("d", None, "here") and ended == ["a", "b"]
