"""Who may call what: every route of the application is judged, what is closed is closed, and the login covers the rest."""

import re

import pytest

from studio_avatar.ui.routes import CLOSED, OPEN, judged, served_paths
from studio_avatar.ui.server import app_arguments
from studio_avatar.ui.service import AvatarService
from studio_avatar.ui.sessions import SessionFolders
from studio_avatar.ui.shares import MOST_UPLOADS

gradio = pytest.importorskip("gradio")
testclient = pytest.importorskip("starlette.testclient")
OPEN_PATHS = {route.path for route in OPEN}


@pytest.fixture(scope="module")
def monkeypatch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def application(monkeypatch, **options):
    """The page's application as `launch` makes it, without networks."""
    from studio_avatar.ui.app import build_app

    sessions = SessionFolders()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
    service = AvatarService("nowhere", sessions, lambda weights: None)
    demo = build_app(service, lambda function: function)
    page = demo.blocks
    page.queue(max_size=2)
    page.max_file_size = None  # which `launch` sets
    for name, value in options.items():
        setattr(page, name, value)
    return gradio.routes.App.create_app(page, app_kwargs=app_arguments(service, demo))


@pytest.fixture(scope="module")
def client(monkeypatch):
    return testclient.TestClient(application(monkeypatch))


@pytest.fixture(scope="module")
def guarded(monkeypatch):
    """With a login, and nobody logged in."""
    return application(monkeypatch, auth=[("studio", "light")])


def filled(path: str) -> str:
    """A path with something in every place."""
    return re.sub(r"\{[^}]*\}", "x", path)


def test_every_route_is_judged(monkeypatch):
    """Fails on a new one: read what it does, then put it into `OPEN` or `CLOSED` of ui/routes.py."""
    served = served_paths(application(monkeypatch).routes)
    assert served - OPEN_PATHS - set(CLOSED) == set()
    assert OPEN_PATHS | set(CLOSED) == served  # nothing in the lists is out of date
    assert not OPEN_PATHS & set(CLOSED)


@pytest.mark.parametrize("path", CLOSED)
def test_closed_routes_are_closed(client, path):
    methods = {"GET", "HEAD", "POST", "PUT", "DELETE"}
    if path.startswith("/gradio_api/call/v2/"):
        methods -= {"GET"}  # reads as the result of a call of the name "v2"
    for method in methods:
        assert judged(method, filled(path)) is None
        assert client.request(method, filled(path)).status_code == 404


def test_a_deep_link_is_neither_made_nor_opened(client):
    assert client.get("/gradio_api/deep_link?session_hash=somebody").json() == {
        "detail": "There is nothing here."
    }
    assert client.get("/gradio_api/deep_link/").status_code == 404
    assert client.get("//gradio_api/deep_link").status_code == 404


def test_what_the_page_asks_for_is_open(client):
    for path in ("/config", "/gradio_api/info", "/health", "/robots.txt", "/gradio_api/app_id"):
        assert client.get(path).status_code == 200, path


@pytest.mark.parametrize("route", [route for route in OPEN if route.login], ids=lambda route: route.path)
def test_a_login_covers_every_route_of_sessions(guarded, route):
    client = testclient.TestClient(guarded)
    for method in route.methods:
        assert client.request(method, filled(route.path)).status_code == 401
        forged = {"Cookie": "access-token-x=y"}
        assert client.request(method, filled(route.path), headers=forged).status_code == 401


def test_who_logs_in_may_enter(guarded):
    client = testclient.TestClient(guarded)
    assert client.get("/health").status_code == 200
    assert client.post("/login", data={"username": "studio", "password": "light"}).status_code == 200
    assert client.get("/config").status_code == 200


def test_a_full_disk_is_a_sentence_before_the_upload(client):
    file = {"files": ("selfie.mp4", b"1" * 100)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studio_avatar.ui.sessions.MOST_BYTES", 50)
        refused = client.post("/gradio_api/upload", files=file)
    assert refused.status_code == 507 and "try again in a few minutes." in refused.json()["detail"]
    assert client.post("/gradio_api/upload", files=file).status_code == 200


def test_an_upload_without_a_length_is_refused(client):
    """It would count for nothing in anybody's share."""
    boundary = {"content-type": "multipart/form-data; boundary=x"}
    parts = (
        part
        for part in [
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n1\r\n--x--'
        ]
    )
    refused = client.post("/gradio_api/upload", content=parts, headers=boundary)
    assert refused.status_code == 411 and "Content-Length" in refused.json()["detail"]


def test_one_address_cannot_upload_without_end(client):
    file, mine = {"files": ("selfie.mp4", b"1")}, {"x-forwarded-for": "203.0.113.9"}
    answers = [client.post("/gradio_api/upload", files=file, headers=mine) for _ in range(MOST_UPLOADS + 1)]
    assert [one.status_code for one in answers] == [200] * MOST_UPLOADS + [429]
    assert answers[-1].json()["detail"].endswith("please wait a little.")
    assert client.post("/gradio_api/upload", files=file).status_code == 200  # another address
