"""Decode the next picture while the one before is looked at: both spend their time outside of Python's lock."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
END = object()


def one_ahead(items: Generator[T, None, None]) -> Iterator[T]:
    """The same items and the same errors at the same places, each made in a thread while the one before is used.

    A caller that stops early closes `items`, after the one that was begun.
    """
    try:
        with ThreadPoolExecutor(1) as thread:
            following = thread.submit(next, items, END)
            while (item := following.result()) is not END:
                following = thread.submit(next, items, END)
                yield item
    finally:
        items.close()
