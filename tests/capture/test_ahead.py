"""Decoding the next picture while the one before is looked at."""

import threading
import time

import pytest

from studio_avatar.capture.io.ahead import one_ahead


def test_items_come_in_order_and_the_next_is_made_meanwhile():
    made = []

    def numbers():
        for number in range(5):
            made.append((number, threading.current_thread() is threading.main_thread()))
            yield number

    got = []
    for number in one_ahead(numbers()):
        waited = time.perf_counter()
        while len(made) < min(number + 2, 5) and time.perf_counter() < waited + 5:
            time.sleep(0.001)
        assert len(made) == min(number + 2, 5)
        got.append(number)
    assert got == list(range(5)) and not any(in_main for _, in_main in made)


def test_an_error_comes_where_it_would_have_come():
    def broken():
        yield 1
        yield 2
        raise ValueError("It breaks off.")

    got = []
    with pytest.raises(ValueError, match="breaks off"):
        for item in one_ahead(broken()):
            got.append(item)
    assert got == [1, 2]


def test_stopping_early_closes_what_was_read():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    frames = one_ahead(endless())
    assert next(frames) == 0
    frames.close()
    assert closed.is_set()
