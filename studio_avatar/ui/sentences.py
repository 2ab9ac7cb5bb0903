"""What visitors read of an error, and what the log keeps of it."""

import logging
import traceback
from pathlib import Path

from studio_avatar.errors import StudioAvatarError

LOGGER = logging.getLogger(__name__)
UNEXPECTED = "Something went wrong here that is not your fault; the server's log has the details."


def user_sentence(error: Exception) -> str:
    """The one sentence that the browser may see; anything unexpected goes to the log instead."""
    if isinstance(error, StudioAvatarError):
        return str(error)
    LOGGER.error("A request failed: %s", where_it_failed(error))
    return UNEXPECTED


def where_it_failed(error: BaseException) -> str:
    """Kind and places of an error, and of what caused it, without its text, which may name a visitor's file."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)
    )
    cause = error.__cause__ or error.__context__
    return f"{type(error).__name__} in {places or 'no code'}" + (
        f"; after {where_it_failed(cause)}" if cause else ""
    )
