"""Choose the few frames of a capture that show the most of the head, sharp, eyes open and mouth closed."""

import numpy as np

from .people import FaceFrame

MIN_KEYFRAMES = 8
NEW_VIEW_DEG = 4.0  # views closer than this to a chosen one add nothing once there are enough
FULL_VIEW_DEG = 14.0  # views this far apart count as fully different: the size of a bin of yaw and pitch


def choose_keyframes(candidates: list[FaceFrame], max_keyframes: int) -> list[FaceFrame]:
    """The most frontal good frame first, then those that add new views, at most `max_keyframes`.

    Yaw and pitch are covered like by bins of `FULL_VIEW_DEG`, but without their borders: each next frame is the one
    with the best product of quality and distance to the views already chosen.
    """
    quality = np.array([c.quality for c in candidates])
    quality = quality / quality.max()
    views = np.stack([c.view for c in candidates])
    chosen = [int(np.argmax(quality / (1.0 + (np.linalg.norm(views, axis=1) / 8.0) ** 2)))]
    while len(chosen) < min(max_keyframes, len(candidates)):
        distance = np.linalg.norm(views[:, None] - views[None, chosen], axis=-1).min(axis=1)
        gain = quality * np.minimum(distance / FULL_VIEW_DEG, 1.0)
        gain[chosen] = -1.0
        best = int(np.argmax(gain))
        if len(chosen) >= MIN_KEYFRAMES and distance[best] < NEW_VIEW_DEG:
            break
        chosen.append(best)
    return [candidates[i] for i in chosen]
