"""Runs that wait for their turn, and visitors that leave and come back; without gradio, networks and a browser."""

import threading
import time
from contextlib import closing

import pytest
from starlette.requests import HTTPConnection

from studio_avatar.ui import handover, shares
from studio_avatar.ui import visitors as visitors_module
from studio_avatar.ui.jobs import Job, Lane, QueueFullError, Waiting
from studio_avatar.ui.progress import Pace, RunProgress
from studio_avatar.ui.sessions import KEEP_SECONDS, SessionFolders
from studio_avatar.ui.shares import MOST_RUNS
from studio_avatar.ui.visitors import Visitors
from studio_avatar.ui.worker import Done, StageProgress

SECRET = "0123456789abcdef" * 2


def test_a_lane_lets_one_in_tells_the_others_and_refuses_more_than_may_wait():
    lane = Lane(Pace(), longest=1)
    lane.pace.note(10.0, 30.0)  # this machine has been half as fast as the reference until now
    with closing(lane.in_turn(10.0, lambda: (one for one in [1, 2]))) as first:
        assert next(first) == 1 and lane.busy and lane.waiting == 0
        second = lane.in_turn(5.0, lambda: (one for one in [3]))
        waiting = next(second)
        assert isinstance(waiting, Waiting) and waiting.before == 1
        assert waiting.seconds == pytest.approx(20.0, abs=1.0)
        with pytest.raises(QueueFullError, match="try again in a few minutes."):
            next(lane.in_turn(5.0, lambda: (one for one in [4])))
    assert next(second) == 3
    second.close()
    assert not lane.busy


def test_who_stops_waiting_makes_room():
    lane = Lane(Pace())
    first, second, third = (lane.in_turn(1.0, lambda: (one for one in "xy")) for _ in range(3))
    next(first)
    next(second)
    assert next(third).before == 2
    second.close()
    assert next(third).before == 1
    first.close()
    assert next(third) == "x"


def test_a_job_goes_on_unwatched_and_a_stopped_one_is_over_at_once():
    release = threading.Event()

    def run(job):
        yield StageProgress("fit", 0.5)
        release.wait(10)
        yield Done(1)

    job = Job("check", run, RunProgress({"fit": 1.0})).start()
    with closing(job.watch()) as watching:
        next(watching)
    release.set()
    assert [None for _ in job.watch()] and job.state == "done"
    release.clear()
    stopped = Job("check", run, RunProgress({"fit": 1.0})).start()
    stopped.stop()
    assert stopped.over and stopped.state == "stopped" and len(list(stopped.watch())) == 1
    release.set()


@pytest.fixture
def visitors(monkeypatch):
    monkeypatch.setattr(visitors_module, "LEAVING_SECONDS", 0.2)
    monkeypatch.setattr(visitors_module, "LOST_SECONDS", 0.6)
    return Visitors(SessionFolders())


def folder_of(visitors, visitor):
    file = visitors._sessions.new(visitor.key) / "face.png"
    file.write_bytes(b"1")
    return file


def wait_until_gone(file) -> float:
    began = time.monotonic()
    while file.exists() and time.monotonic() - began < 10:
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_reload_comes_back_and_a_closed_page_is_forgotten(visitors):
    visitor = visitors.enter("page1", SECRET)
    file = folder_of(visitors, visitor)
    visitors.say_goodbye(SECRET)  # loading again says goodbye, too
    visitors.close("page1")
    assert visitors.enter("page2", SECRET) is visitor
    time.sleep(0.4)
    assert file.exists()
    visitors.say_goodbye(SECRET)
    visitors.close("page2")
    assert wait_until_gone(file) < 0.5
    assert visitors.enter("page3", SECRET) is not visitor


def test_a_lost_connection_has_more_time_and_no_secret_none(visitors):
    lost, nobody = visitors.enter("page1", SECRET), visitors.of("page2")
    files = [folder_of(visitors, visitor) for visitor in (lost, nobody)]
    visitors.close("page1")
    visitors.close("page2")
    assert not files[1].exists()
    assert 0.3 < wait_until_gone(files[0]) < 5


def busy(visitors, page):
    """A visitor who gave a capture to this page, and a file of theirs."""
    visitor = visitors.of(page)
    visitor.job = Job("check", lambda *_: None, RunProgress({"fit": 1.0}))
    return visitor, folder_of(visitors, visitor)


def test_a_capture_that_was_quicker_than_the_secret_takes_its_place(visitors):
    earlier = folder_of(visitors, visitors.enter("page1", SECRET))
    visitors.close("page1")
    visitor, file = busy(visitors, "page2")
    assert visitors.enter("page2", SECRET) is visitor and visitors.on_page(SECRET) is visitor
    assert file.exists() and not earlier.exists()
    visitors.close("page2")
    assert wait_until_gone(file) > 0.3  # it may come back: it has the secret now


def test_a_second_page_of_one_secret_takes_nothing_from_the_first(visitors):
    first = visitors.enter("page1", SECRET)
    kept, (visitor, file) = folder_of(visitors, first), busy(visitors, "page2")
    assert visitors.enter("page2", SECRET) is visitor and visitors.on_page(SECRET) is first
    visitors.close("page2")
    assert kept.exists() and not file.exists()


def test_a_page_without_work_gets_what_its_secret_has(visitors):
    first = visitors.enter("page1", SECRET)
    empty = folder_of(visitors, visitors.of("page2"))
    assert visitors.enter("page2", SECRET) is first and not empty.exists()


def test_a_page_that_stays_open_keeps_nothing_after_an_hour(visitors):
    visitor = visitors.enter("page1", SECRET)
    visitor.result = visitor.check = object()
    visitors._sessions.sweep()
    assert visitor.result is not None
    visitor.since -= KEEP_SECONDS + 1
    visitors._sessions.sweep()
    assert visitor.result is None and visitor.check is None


@pytest.mark.parametrize("secret", [None, "", "short", "../" * 11, SECRET.upper()])
def test_what_is_no_secret_opens_nothing(visitors, secret):
    mine = visitors.enter("page1", SECRET)
    other = visitors.enter("page2", secret)
    assert other is not mine and not other.secrets


HERE, ELSEWHERE = "a" * 32, "b" * 32  # cookies of two browsers
SECRETS = [f"{number}" * 32 for number in range(1, 5)]  # of tabs


def with_result(visitors, page, secret):
    visitor = visitors.enter(page, secret, browser=HERE)
    visitor.result = object()
    return visitor


def test_a_results_address_opens_it_in_its_own_browser_alone(visitors):
    maker = with_result(visitors, "page1", SECRET)
    other = visitors.enter("page2", SECRETS[0], browser=HERE, token=maker.token)
    assert other is maker and visitors.why_not_shown(maker.token, other) == ""
    assert visitors.on_page(SECRETS[0]) is maker  # from now on a reload of that tab comes back to it
    for number, cookie in enumerate((ELSEWHERE, None, "")):
        stranger = visitors.enter(f"page{3 + number}", SECRETS[1], browser=cookie, token=maker.token)
        assert stranger is not maker and "in the browser that made it" in visitors.why_not_shown(
            maker.token, stranger
        )
    nothing = visitors.enter("page6", SECRETS[2], browser=HERE)
    assert visitors.enter("page7", SECRETS[3], browser=HERE, token=nothing.token) is not nothing  # no result
    assert "is gone" in visitors.why_not_shown(nothing.token, maker)
    assert visitors.why_not_shown("", nothing) == ""


def test_a_results_address_keeps_nothing_longer(visitors):
    maker = with_result(visitors, "page1", SECRET)
    file, token = folder_of(visitors, maker), maker.token
    visitors.enter("page2", SECRETS[0], browser=HERE, token=token)
    visitors.say_goodbye(SECRET)
    visitors.close("page1")
    time.sleep(0.4)
    assert file.exists()  # the other tab shows it
    visitors.say_goodbye(SECRETS[0])
    visitors.close("page2")
    assert wait_until_gone(file) < 0.5
    assert visitors.why_not_shown(token, visitors.enter("page3", SECRET, browser=HERE, token=token))

    maker = with_result(visitors, "page4", SECRET)
    maker.since -= KEEP_SECONDS + 1
    token = maker.token
    visitors._sessions.sweep()
    assert "is gone" in visitors.why_not_shown(token, maker)
    maker.result = object()
    assert "is gone" in visitors.why_not_shown(token, maker)  # the next one has another address


def test_a_tab_of_one_visitor_may_go_over_to_another(visitors):
    one, other = with_result(visitors, "page1", SECRET), with_result(visitors, "page2", SECRETS[0])
    files = folder_of(visitors, one), folder_of(visitors, other)
    visitors.say_goodbye(SECRETS[0])  # the other's tab opens the address of the first one's result
    visitors.close("page2")
    assert visitors.enter("page3", SECRETS[0], browser=HERE, token=one.token) is one
    assert wait_until_gone(files[1]) < 0.5 and files[0].exists()
    assert visitors.on_page(SECRET) is one and visitors.on_page(SECRETS[0]) is one


def test_work_that_has_begun_on_a_page_is_not_left_for_an_address(visitors):
    maker, (visitor, file) = with_result(visitors, "page1", SECRET), busy(visitors, "page2")
    assert visitors.enter("page2", SECRETS[0], browser=HERE, token=maker.token) is visitor and file.exists()
    assert visitors.on_page(SECRETS[0]) is visitor and maker.pages == {"page1"}


def test_an_api_clients_files_go_with_its_connection(visitors):
    file = visitors._sessions.new("client") / "face.png"
    file.write_bytes(b"1")
    visitors.close("client")
    assert not file.exists()


def test_one_address_has_a_share_of_the_queue():
    lane, mine = Lane(Pace()), []
    for _ in range(MOST_RUNS):
        mine.append(lane.in_turn(1.0, lambda: (one for one in "x"), "10.0.0.1"))
        next(mine[-1])
    with pytest.raises(QueueFullError, match="already have 4 runs"):
        next(lane.in_turn(1.0, lambda: (one for one in "y"), "10.0.0.1"))
    other = lane.in_turn(1.0, lambda: (one for one in "z"), "10.0.0.2")
    assert next(other).before == MOST_RUNS
    mine.pop().close()
    mine.append(lane.in_turn(1.0, lambda: (one for one in "y"), "10.0.0.1"))
    assert next(mine[-1]).before == MOST_RUNS
    for run in (*mine, other):
        run.close()


def test_one_address_has_a_share_of_the_uploads(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(shares.time, "monotonic", lambda: now[0])
    uploads = shares.UploadShares(most_uploads=3, most_bytes=100)
    assert [uploads.take("a", size) for size in (60, 50, 40, 0, 0)] == [True, False, True, True, False]
    assert uploads.take("b", 100)
    now[0] = shares.WINDOW_SECONDS + 1
    assert uploads.take("a", 100) and len(uploads._of) == 1  # what is over is not kept
    proxied, direct = (
        HTTPConnection({"type": "http", "headers": headers, "client": ("10.0.0.1", 80)})
        for headers in ([(b"x-forwarded-for", b"203.0.113.7, 10.0.0.1")], [])
    )
    assert shares.address_of(proxied) == "203.0.113.7"
    assert shares.address_of(direct) == "10.0.0.1"


def test_the_phones_address_is_one_that_it_can_reach(monkeypatch):
    monkeypatch.setattr(handover, "network_address", lambda: "192.168.0.7")
    address = handover.phone_address("https://localhost:7860", SECRET)
    assert address == f"https://192.168.0.7:7860/#film={SECRET}"
    assert handover.phone_address("https://demo.example", SECRET) == f"https://demo.example/#film={SECRET}"
    for origin, secret in (("file:///x", SECRET), ("https://demo.example", "guess"), ("", SECRET)):
        assert handover.phone_address(origin, secret) is None
    monkeypatch.setattr(handover, "network_address", lambda: None)  # no network at all
    assert handover.phone_address("http://127.0.0.1:7860", SECRET) is None
