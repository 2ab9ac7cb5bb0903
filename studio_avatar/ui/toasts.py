"""Errors as the browser sees them: one sentence, never a traceback."""

from collections.abc import Callable, Iterator
from contextlib import closing

import gradio as gr
from gradio.exceptions import InvalidPathError

from .sentences import LOGGER, user_sentence, where_it_failed

NOT_UPLOADED = (
    "A file of this call was not uploaded here: send it to /gradio_api/upload first, then name it by the path that comes "
    "back."
)
UNREADABLE = (
    "A value of this call cannot be read: 'Use via API' at the foot of the page shows what each one looks like. A file is "
    '{"path": "…", "meta": {"_type": "gradio.FileData"}}, with a path that /gradio_api/upload gave.'
)


class OneSentence(gr.Blocks):
    """A page that says why a value is refused. gradio itself answers {"error": null}, and its log names the file."""

    async def preprocess_data(self, *arguments, **named):
        """As gradio has it.

        Raises:
            gradio.Error: a value cannot be taken.
        """
        try:
            return await super().preprocess_data(*arguments, **named)
        except gr.Error as error:
            error.print_exception = False
            raise
        except InvalidPathError:
            raise gr.Error(NOT_UPLOADED, print_exception=False) from None
        except Exception as error:
            LOGGER.info("A call's value was refused: %s", where_it_failed(error))
            raise gr.Error(UNREADABLE, print_exception=False) from None


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
