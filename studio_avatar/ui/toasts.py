"""Errors as the browser sees them: one sentence, never a traceback."""

from collections.abc import Callable, Iterator
from contextlib import closing

import gradio as gr

from .sentences import user_sentence


def with_toasts(run: Callable[..., Iterator], *arguments) -> Iterator:
    """The updates of `run(*arguments)`; its errors become toasts of one sentence.

    Raises:
        gradio.Error: in place of whatever the run raised.
    """
    try:
        with closing(run(*arguments)) as updates:
            yield from updates
    except Exception as error:
        raise gr.Error(user_sentence(error), title="That did not work", print_exception=False) from None
