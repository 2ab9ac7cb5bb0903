"""One picture that shows how a capture went: key frames with the fitted head over them, texture, seen map."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.errors import first_line
from studio_avatar.head.geometry import geometry
from studio_avatar.imaging.image_io import unit_to_uint8

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

LOGGER = logging.getLogger(__name__)
TILE_PX = 480  # height of a key frame
PER_ROW = 6
LINE, SEEN = (64, 220, 255), (90, 200, 120)  # colors of mesh and of what was seen
MESH_OPACITY = 0.25


def contact_sheet(observation, head: HeadModel) -> np.ndarray:
    """Draw a capture's evidence.

    observation: from `studio_avatar.capture.observe`; head: the same `HeadModel`. Returns (H, W, 3) uint8 sRGB: rows of
    key frames with the mesh drawn over them and their time, yaw and pitch; below them the phone texture, the seen map
    (bright where seen) and the texture with the map laid over it. A capture is not lost for its picture: where that cannot
    be drawn, the phone texture stands for it, and the log says why.
    """
    try:
        return _drawn(observation, head)
    except Exception as error:
        LOGGER.warning(
            "The contact sheet shows the texture alone: %s", first_line(error, type(error).__name__)
        )
        return unit_to_uint8(observation.texture.rgb)


def _drawn(observation, head: HeadModel) -> np.ndarray:
    tiles = [_keyframe_tile(observation, head, k) for k in range(len(observation.keyframes))]
    width = max(tile.shape[1] for tile in tiles) * min(PER_ROW, max(len(tiles), 3))
    rows = [_row(tiles[begin : begin + PER_ROW], width) for begin in range(0, len(tiles), PER_ROW)]
    return np.concatenate([*rows, _textures(observation.texture, width)])


def _keyframe_tile(observation, head: HeadModel, k: int) -> np.ndarray:
    import cv2
    import torch

    from studio_avatar.capture.texture.unwrap import FrameCamera

    keyframe, fit = observation.keyframes[k], observation.texture.fit
    vertices = (
        head.vertices(torch.from_numpy(fit.identity), torch.from_numpy(fit.expression[k])).cpu().numpy()
    )
    camera = FrameCamera(
        fit.focal_px, fit.rotation[k], fit.translation[k], fit.image_size, keyframe.face.height_px
    )
    picture = keyframe.frame.rgb
    scale = TILE_PX / picture.shape[0]
    size = (max(round(picture.shape[1] * scale), 8), TILE_PX)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    corners = camera.in_picture(camera.see(vertices))[0][geometry(head).faces] * scale  # (F, 3, 2)
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    towards = corners[a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > 0.0]
    drawn = small.copy()
    cv2.polylines(drawn, list((towards * 16).astype(np.int32)), True, LINE, 1, cv2.LINE_AA, shift=4)
    tile = cv2.addWeighted(drawn, MESH_OPACITY, small, 1.0 - MESH_OPACITY, 0)
    label = f"{keyframe.frame.time:.1f} s  {keyframe.face.yaw_deg:+.0f} {keyframe.face.pitch_deg:+.0f}"
    cv2.putText(tile, label, (6, TILE_PX - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def _row(tiles: list[np.ndarray], width: int) -> np.ndarray:
    row = np.concatenate(tiles, axis=1)[:, :width]
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)))


def _textures(texture, width: int) -> np.ndarray:
    """Texture, seen map and both together, side by side over the whole width."""
    import cv2

    side = width // 3
    rgb = cv2.resize(texture.rgb, (side, side), interpolation=cv2.INTER_AREA)
    seen = cv2.resize(texture.seen, (side, side), interpolation=cv2.INTER_AREA)[..., None]
    tint = np.array(SEEN, np.float32) / 255.0
    parts = [rgb, seen * tint, rgb * (0.25 + 0.75 * seen)]
    row = np.concatenate([(part.clip(0, 1) * 255).round().astype(np.uint8) for part in parts], axis=1)
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)))
