"""The face of a `head-v1` texture as face recognizers want it: 112×112, eyes and mouth where ArcFace alignment has them."""

import torch
import torch.nn.functional as F

from studio_avatar.head.layout import landmark_uv

# ArcFace alignment of a 112×112 crop, (x, y) in pixels: outer/inner corners averaged to eye centers, mouth corners
TEMPLATE = torch.tensor([[38.3, 51.7], [73.5, 51.5], [41.5, 92.4], [70.7, 92.2]])
# MediaPipe indices in the order of TEMPLATE: the person's right eye (image left), left eye, right and left mouth corner
LANDMARKS = ((33, 133), (263, 362), (61,), (291,))
SIZE = 112


class FaceCrop:
    """Differentiable crop, a fixed similarity-plus-stretch (least-squares affine) from the layout to the template."""

    def __init__(self, head):
        uv = torch.from_numpy(landmark_uv(head))
        points = torch.stack([uv[list(group)].mean(0) for group in LANDMARKS])  # (4, 2) in [0, 1]
        template = torch.cat([(TEMPLATE + 0.5) / SIZE * 2 - 1, torch.ones(4, 1)], dim=1)
        self.theta = torch.linalg.lstsq(template, points * 2 - 1).solution.t()[None]  # (1, 2, 3)

    def __call__(self, texture):
        """(B, 3, R, R) in [-1, 1] → (B, 3, 112, 112)."""
        grid = F.affine_grid(self.theta.to(texture), (1, 3, SIZE, SIZE), align_corners=False)
        return F.grid_sample(
            texture, grid.expand(len(texture), -1, -1, -1), padding_mode="border", align_corners=False
        )
