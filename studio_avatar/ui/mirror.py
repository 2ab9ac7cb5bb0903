"""The mirror: a small picture of the visitor's camera comes in, what the head is to do goes back.

A picture lives as long as its answer takes, in memory alone; nothing of it is written or logged. Every mirror has a
landmarker of its own, which follows the face from picture to picture, and goes some seconds after the last one.
"""

import asyncio
import io
import os
import threading
import time

import numpy as np

from studio_avatar.errors import InvalidInputError

from .mirror_motion import Motion
from .routes import small_body
from .sentences import user_sentence
from .shares import address_of
from .visitors import Visitors

SECRET_HEADER = "x-studio-avatar"  # not in the address, which others may log
MOST_BYTES, MOST_PIXELS = 20_000, 400  # of a picture; the page sends 320 pixels or fewer each way
PER_SECOND = 20.0  # pictures of one mirror that are answered; the rest of the time is everybody's
IDLE_SECONDS = 5.0
MOST_MIRRORS = max(2, os.cpu_count() or 1)  # one at full speed takes a third of a core
MOST_OF_ONE_ADDRESS = max(1, MOST_MIRRORS // 2)
STRANGER = (
    "The mirror belongs to an open page: load the page again. A browser that keeps nothing for it has none."
)
WORKING = "The mirror stopped, because the machine works on your capture."
TAKEN = "Too many mirrors are in use at the moment: please try again in a minute."
ONE_AT_A_TIME = "The mirror takes one picture at a time."
NO_PICTURE = (
    f"The mirror takes JPEGs of at most {MOST_PIXELS} × {MOST_PIXELS} pixels and {MOST_BYTES // 1000} kB."
)


class Refused(Exception):
    """Why a picture is not looked at, for the visitor; status: of HTTP."""

    def __init__(self, sentence: str, status: int):
        super().__init__(sentence)
        self.status = status


class Mirror:
    """One visitor's, for one picture after the other, in any thread.

    address: where from. busy: whether it is at a picture. asked, left: when the last picture's turn came, and when it was
    done with [s, monotonic].
    """

    def __init__(self, address: str):
        self.address, self.busy = address, False
        self.asked = self.left = self._began = time.monotonic()
        self._landmarker, self._motion = None, Motion()

    def wait(self) -> float:
        """Seconds until the next picture's turn comes."""
        return max(0.0, self.asked + 1.0 / PER_SECOND - time.monotonic())

    def look(self, jpeg: bytes) -> dict | None:
        """What the head is to do, see `Motion.of`; None where there is no face.

        Raises:
            InvalidInputError: it is no JPEG, or one of too many pixels.
            MissingDependencyError: MediaPipe is not there.
        """
        self.asked = time.monotonic()
        rgb = read_picture(jpeg)
        if self._landmarker is None:
            from studio_avatar.capture.detection.landmarks import FaceLandmarker

            self._landmarker = FaceLandmarker(max_faces=1, live=True)
        seconds = time.monotonic() - self._began
        faces = self._landmarker.follow(rgb, 1 + round(1000 * seconds))
        return self._motion.of(faces[0], seconds) if faces else None

    def close(self) -> None:
        """Free the landmarker."""
        if self._landmarker is not None:
            self._landmarker.close()


class Mirrors:
    """The mirrors in use, by visitor."""

    def __init__(self):
        self._of: dict[str, Mirror] = {}
        self._lock = threading.Lock()
        self._watching = False

    def __len__(self) -> int:
        return len(self._of)

    def begin(self, visitor: str, address: str) -> Mirror:
        """The visitor's mirror for one picture.

        Raises:
            Refused: it is still at the last one, or there are too many.
        """
        with self._lock:
            mirror = self._of.get(visitor)
            if mirror is None:
                of_address = sum(one.address == address for one in self._of.values())
                if len(self._of) >= MOST_MIRRORS or of_address >= MOST_OF_ONE_ADDRESS:
                    raise Refused(TAKEN, 503)
                mirror = self._of[visitor] = Mirror(address)
            elif mirror.busy:
                raise Refused(ONE_AT_A_TIME, 429)
            mirror.busy = True
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="mirrors", daemon=True).start()
            return mirror

    def end(self, mirror: Mirror) -> None:
        """A picture was answered."""
        with self._lock:
            mirror.busy, mirror.left = False, time.monotonic()

    def close_idle(self, seconds: float = IDLE_SECONDS) -> bool:
        """Free mirrors that had no picture for so long; whether none is left."""
        with self._lock:
            for visitor, mirror in list(self._of.items()):
                if not mirror.busy and time.monotonic() - mirror.left >= seconds:
                    self._of.pop(visitor).close()
            self._watching = bool(self._of)
            return not self._of

    def _watch(self) -> None:
        while not self.close_idle():
            time.sleep(1.0)


def mirror_route(visitors: Visitors, mirrors: Mirrors):
    """`POST /mirror`: a JPEG, answered with `Motion.of` of the face in it, or null; else with `detail`, a sentence."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def answer(request):
        visitor = visitors.on_page(request.headers.get(SECRET_HEADER, ""))
        if visitor is None:
            raise Refused(STRANGER, 403)
        if visitor.working:
            raise Refused(WORKING, 409)
        jpeg = await small_body(request, MOST_BYTES)
        if jpeg is None:
            raise Refused(NO_PICTURE, 413)
        mirror = mirrors.begin(visitor.key, address_of(request))
        try:
            await asyncio.sleep(mirror.wait())
            return await run_in_threadpool(mirror.look, jpeg)
        finally:
            mirrors.end(mirror)

    async def mirror(request):
        try:
            return JSONResponse(await answer(request))
        except Refused as refusal:
            return JSONResponse({"detail": str(refusal)}, refusal.status)
        except InvalidInputError as error:
            return JSONResponse({"detail": str(error)}, 400)
        except Exception as error:
            return JSONResponse({"detail": user_sentence(error)}, 500)

    return Route("/mirror", mirror, methods=["POST"])


def read_picture(jpeg: bytes) -> np.ndarray:
    """(H, W, 3) uint8 sRGB; its size is read from the header first.

    Raises:
        InvalidInputError: it is no JPEG, or one of too many pixels.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as picture:
            if max(picture.size) > MOST_PIXELS:
                raise InvalidInputError(NO_PICTURE)
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInputError(NO_PICTURE) from error
