"""Cut the person out of the picture around the fitted head, so that no background is painted on cheek, ear or neck.

GrabCut (Rother, Kolmogorov and Blake 2004) started from the fitted head: sure inside it, doubtful along its border,
where the fit is off by a few percent of the face, background far outside.
"""

import numpy as np

WORKING_FACE_HEIGHT_PX = 100
ITERATIONS = 2
# Over face height: how deep inside the fitted head, and how far outside, nothing is in doubt.
SURE_INSIDE = {
    "ears": np.inf,
    "neck": np.inf,
    "scalp": 0.2,
}  # no landmarks hold these: they may be off by far
SURE_INSIDE_ELSEWHERE = 0.06
SURE_OUTSIDE = 0.15


def person_mask(
    rgb: np.ndarray, region: np.ndarray, region_names: list[str], face_height_px: float
) -> np.ndarray:
    """Find the person's head in a part of a picture.

    rgb: (H, W, 3) uint8, the part of the picture around the head; region: (h, w) int, index into `region_names` of
    what the fitted head shows at each place of that part, -1 where it is not; face_height_px: in pixels of `rgb`.
    Returns (h, w) bool. Everything is the person when there is too little background to learn from.
    """
    import cv2

    scale = WORKING_FACE_HEIGHT_PX / face_height_px
    size = tuple(max(round(n * scale), 8) for n in rgb.shape[1::-1])
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR)
    labels = cv2.resize(region.astype(np.int16), size, interpolation=cv2.INTER_NEAREST)
    on_head = (labels >= 0).astype(np.uint8)
    inside, outside = (
        cv2.distanceTransform(m, cv2.DIST_L2, 3) / WORKING_FACE_HEIGHT_PX for m in (on_head, 1 - on_head)
    )
    sure_inside = np.array([SURE_INSIDE.get(name, SURE_INSIDE_ELSEWHERE) for name in (*region_names, "air")])
    guess = np.where(
        on_head > 0,
        np.where(inside > sure_inside[labels], cv2.GC_FGD, cv2.GC_PR_FGD),
        np.where(outside > SURE_OUTSIDE, cv2.GC_BGD, cv2.GC_PR_BGD),
    ).astype(np.uint8)
    if min((guess == cv2.GC_BGD).sum(), (guess == cv2.GC_FGD).sum()) < 50:
        return np.ones(region.shape, bool)
    cv2.setRNGSeed(0)  # its clustering starts at random; a capture must give the same bytes again
    cv2.grabCut(small, guess, None, np.zeros((1, 65)), np.zeros((1, 65)), ITERATIONS, cv2.GC_INIT_WITH_MASK)
    person = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return cv2.resize(person, region.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5
