"""A painted head and pictures of it with a known answer; nothing of the capture is used here."""

import cv2
import numpy as np
import torch

SIZE = 256  # texture
IMAGE = (480, 600)  # width, height
FOCAL = 720.0


def paint(head) -> np.ndarray:
    """A face that a detector believes in: skin with spots, dark brows, red lips, white eyes with an iris."""
    from studio_avatar.head.layout import region_mask, texel_map, texel_positions

    texels = texel_map(head, SIZE)
    rng = np.random.default_rng(0)
    spots = cv2.resize(
        rng.normal(0, 0.05, (96, 96, 1)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC
    )
    paint = np.array([0.78, 0.58, 0.48], np.float32) + spots[..., None]
    paint[region_mask(head, SIZE, "brows")] = (0.22, 0.15, 0.12)
    paint[region_mask(head, SIZE, "lips")] = (0.62, 0.28, 0.28)
    paint[region_mask(head, SIZE, "scalp")] *= 0.35
    position = texel_positions(texels, head, head.neutral.numpy())
    for name in ("eyeball_left", "eyeball_right"):
        eye = region_mask(head, SIZE, name)
        pole = position[eye][position[eye][:, 2].argmax()]
        from_pole = np.linalg.norm(position - pole, axis=-1)
        paint[eye] = 0.9
        paint[eye & (from_pole < 0.0065)] = (0.25, 0.18, 0.12)
    return paint.clip(0, 1).astype(np.float32)


def facing(yaw_deg: float = 0.0, pitch_deg: float = 0.0) -> np.ndarray:
    """Rotation of a head that looks into the camera, turned to the person's left by `yaw_deg`, then up."""
    yaw, pitch = np.radians([yaw_deg, pitch_deg])
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    return np.diag([1.0, -1.0, -1.0]) @ turn @ nod


def render(
    head,
    painting,
    vertices,
    rotation,
    shift=(0.0, 0.03, 0.5),
    lit: bool = True,
    background=(90, 110, 120),
    focal: float = FOCAL,
):
    """The painted head as a photo (H, W, 3) uint8; shift: meters from the camera; focal: pixels."""
    from studio_avatar.head.layout import rasterize

    camera = vertices @ rotation.T + np.asarray(shift)
    pixel = focal * camera[:, :2] / camera[:, 2:] + np.array(IMAGE) / 2
    faces = head.faces.numpy()
    near = 1.0 / camera[:, 2]
    triangle, shares = rasterize(pixel[faces], IMAGE[1], IMAGE[0], -near[faces])
    shares = shares * near[faces][triangle]
    shares = shares / np.maximum(shares.sum(-1, keepdims=True), 1e-9)
    uv = (head.uv.numpy()[head.uv_faces.numpy()[triangle]] * shares[..., None]).sum(2)
    picture = cv2.remap(painting, (uv * SIZE - 0.5).astype(np.float32), None, cv2.INTER_LINEAR)
    if lit:
        normals = head.normals(torch.as_tensor(vertices, dtype=torch.float32)).numpy() @ rotation.T
        normal = (normals[faces[triangle]] * shares[..., None]).sum(2)
        picture = picture * (0.55 + 0.45 * np.clip(normal @ (-0.3, -0.5, -0.81), 0, 1))[..., None]
    picture[triangle < 0] = np.array(background) / 255
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)
