"""The animatable head: one person's shape, studio texture and expressions.

Avatar ─ avatar_mesh (shapes, lids, lips, neck) ─┬─ full ── light ─┬─► GLB · OBJ · plain folder
       └ skin_material (color, bump, roughness) ────────────────┘
       └ Scene (renderer) ─► picture · three lights · turntable
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.avatar.export.folder import write_obj_folder, write_plain_folder
from studio_avatar.avatar.export.glb import write_glb
from studio_avatar.avatar.export.lod import light_mesh, light_vertices
from studio_avatar.avatar.export.motion import Motion, captured_motion
from studio_avatar.avatar.export.skin import Rig
from studio_avatar.avatar.hair.cards import Hair
from studio_avatar.avatar.hair.scalp import shaded
from studio_avatar.avatar.hair.wear import Worn, wear_hair
from studio_avatar.avatar.material.eyes import paint_eyes_and_mouth
from studio_avatar.avatar.material.iris import captured_iris
from studio_avatar.avatar.material.lids import paint_lids
from studio_avatar.avatar.material.seams import level_seams
from studio_avatar.avatar.material.skin_material import Material, shrunk, skin_material
from studio_avatar.avatar.shapes.mesh import AvatarMesh, avatar_mesh
from studio_avatar.avatar.shapes.person_shapes import worn_expression
from studio_avatar.avatar.shapes.rest import beyond_rest, resting_expression
from studio_avatar.avatar.shapes.skeleton import MIXAMO, NO_RIG, RIGS, person_skeleton, skin_weights
from studio_avatar.avatar.shapes.visemes import ARKIT, ARKIT_AND_OCULUS, shape_names
from studio_avatar.errors import InvalidInputError
from studio_avatar.imaging.files import write_atomically
from studio_avatar.imaging.image_io import encode_png, unit_to_uint8

if TYPE_CHECKING:
    from studio_avatar.head.hair_styles import HairStyles
    from studio_avatar.head.model import HeadModel

LEVELS = ("full", "light")
LIGHT_TEXTURE_SIZE, LIGHT_HAIR_SIZE = 512, 256


@dataclass(frozen=True)
class Avatar:
    """One person's head, ready to export, to pose or to look at.

    Attributes:
        head: `HeadModel` that the coefficients belong to.
        identity: (125,) float identity coefficients or the first of them, about N(0, 1).
        texture: (H, W, 3) uint8 sRGB in the head's texture layout, row 0 at v = 0.
        expression: expression coefficients seen in the capture, (52,) or one row a keyframe (K, 52), in the
            order of `head.config.expression_names`, for the exported shapes; None when they are not known. They are
            information for the receiver of the file: the exported mesh itself is at rest.
        phone_texture: what the phone saw, (H, W, 3) uint8 sRGB in the same layout, for comparison; or None.
        motion: the capture's expressions and head pose over time, for the animation track; or None.
        worn: what was decided about hair, or None where nobody asked; `hair` is its cards.
        shapes: "arkit" for ARKit's 52, "arkit+oculus" for the Oculus visemes and a few mixtures, too; see `visemes`.
        rig: "mixamo" for bones in GLB files, see `skeleton`; "none".
        rest: (52,) how the face rests, in the head's own shapes, see `shapes.rest`; None for the model's neutral face.
    """

    head: object
    identity: np.ndarray
    texture: np.ndarray
    expression: np.ndarray | None = None
    phone_texture: np.ndarray | None = None
    motion: Motion | None = None
    worn: Worn | None = None
    shapes: str = ARKIT
    rig: str = NO_RIG
    rest: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        """Of the shapes, in the order of `full_mesh.offsets`; raises `InvalidInputError` where `shapes` is no set."""
        return shape_names(self.head, self.shapes)

    @property
    def hair(self) -> Hair | None:
        """The hair's cards on the neutral head, or None."""
        return None if self.worn is None else self.worn.hair

    @cached_property
    def full_mesh(self) -> AvatarMesh:
        """Neutral shape, expressions, triangles and texture coordinates; the neck is closed.

        Raises:
            InvalidInputError: the avatar's arrays have wrong shapes or types, or are not finite.
        """
        _check(self)
        return avatar_mesh(self.head, self.identity, self.shapes, self.rest)

    @cached_property
    def material(self) -> Material:
        """Color, bump and roughness as PNGs, at the texture's own size."""
        return skin_material(self.under_hair(self.texture), self.head)

    def under_hair(self, texture: np.ndarray) -> np.ndarray:
        """A texture (H, H, 3) uint8 with the scalp under the hair as dark as hair; as it is without hair."""
        if self.worn is None or self.worn.cover is None:
            return texture
        return shaded(texture, self.worn.cover, self.worn.color)

    def mesh(self, expression: Mapping[str, float] | None = None) -> np.ndarray:
        """Vertices (V, 3) float32 in meters, +Y up, +Z out of the face, in the order of the head's own.

        Args:
            expression: name of a shape -> coefficient, usually in [0, 1]; names left out are 0.
        Raises:
            InvalidInputError: a name is not one of the avatar's shapes.
        """
        return self.full_mesh.posed(self.coefficients(expression))[: len(self.head.neutral)]

    def coefficients(self, expression: Mapping[str, float] | None) -> np.ndarray:
        """Name of a shape -> coefficient as a vector (E,) in the order of `names`; raises as `mesh`."""
        names = self.names
        values = np.zeros(len(names), dtype=np.float32)
        for name, value in (expression or {}).items():
            if name not in names:
                raise InvalidInputError(
                    f"There is no expression '{name}': use ARKit names such as '{names[0]}'."
                )
            values[names.index(name)] = value
        return values

    def export(self, path: str | os.PathLike, level: str = "full", animation: bool = False) -> Path:
        """Write the avatar; what is written follows from the path's suffix.

        Args:
            path: `.glb` for binary glTF; `.vrm` for a VRM 1.0 avatar, which has bones and all shapes; `.obj` for a
                folder of that name without the suffix, with OBJ, MTL and PNGs; no suffix for a plain folder with
                `mesh.npz`, `expressions.json` and PNGs.
            level: "full", or "light" with at most 5,000 triangles, the hair's own aside, and textures of at most 512².
            animation: add the capture's expressions and head pose as an animation; GLB and VRM only.
        Returns:
            the file or folder.
        Raises:
            InvalidInputError: an argument cannot work, or the avatar's arrays have wrong shapes.
            OSError: it cannot be written; nothing partial stays behind.
        """
        path = Path(path)
        if path.suffix.lower() == ".vrm" and (self.shapes, self.rig) != (ARKIT_AND_OCULUS, MIXAMO):
            return replace(self, shapes=ARKIT_AND_OCULUS, rig=MIXAMO).export(path, level, animation)
        writers = {
            ".glb": self._write_glb,
            ".vrm": self._write_glb,
            ".obj": self._write_obj,
            "": self._write_folder,
        }
        if path.suffix.lower() not in writers:
            raise InvalidInputError(
                f"'{path.name}' must end in .glb, .vrm or .obj, or have no suffix for a plain folder."
            )
        if level not in LEVELS:
            raise InvalidInputError(f"There is no level '{level}': use one of {', '.join(LEVELS)}.")
        if animation and (path.suffix.lower() not in (".glb", ".vrm") or self.motion is None):
            raise InvalidInputError(
                "Only a GLB or VRM file of a capture with several keyframes can have an animation."
            )
        mesh, hair = self.full_mesh, self.hair
        if level == "full":
            material = self.material
        else:
            mesh = light_mesh(mesh)
            hair = hair and replace(hair, texture=shrunk(hair.texture, LIGHT_HAIR_SIZE))
            material = skin_material(shrunk(self.under_hair(self.texture), LIGHT_TEXTURE_SIZE), self.head)
        return writers[path.suffix.lower()](path, mesh, material, hair, animation)

    def render(
        self,
        light="studio",
        yaw: float = 0.0,
        expression: Mapping[str, float] | None = None,
        size: tuple[int, int] = (512, 640),
    ) -> np.ndarray:
        """Picture of the avatar, (height, width, 3) uint8 sRGB.

        Args:
            light: "studio", "window", "sunset", "even", or a `studio_avatar.rendering.Light`.
            yaw: turn of the head in degrees, positive towards the person's left (the picture's right).
            expression: name of a shape -> coefficient. size: (width, height) in pixels.
        Raises:
            InvalidInputError: there is no such light or expression.
            MissingDependencyError: warp-lang is not installed.
        """
        from .preview import Scene, named_light

        return Scene(self, expression).view(self.texture, yaw, named_light(light), size)

    def preview(self, path: str | os.PathLike) -> Path:
        """Write a PNG of the avatar under three lights, with the phone texture (if there is one) and with the studio
        texture; raises as `render`.
        """
        from .preview import three_lights

        return write_atomically(path, encode_png(three_lights(self)))

    def turntable(self, path: str | os.PathLike, light="studio") -> Path:
        """Write a looping MP4 (H.264) of one full turn in three seconds; raises as `render`."""
        from studio_avatar.imaging.video_io import encode_h264

        from .preview import TURNTABLE_FPS, TURNTABLE_SIZE, named_light, turntable_frames

        frames = turntable_frames(self, named_light(light))
        return write_atomically(path, encode_h264(frames, TURNTABLE_SIZE, TURNTABLE_FPS))

    @property
    def _extras(self) -> dict:
        """What files say beside the geometry: the texture's layout and the capture's expression coefficients."""
        extras = {"textureLayout": self.head.config.layout}
        if self.expression is not None:
            extras["captureExpressions"] = np.atleast_2d(self.expression).astype(float).round(6).tolist()
        if self.rest is not None:
            extras["restingExpression"] = self.rest.astype(float).round(6).tolist()
        return extras

    def _rig_of(self, mesh: AvatarMesh) -> Rig | None:
        """The rig of the full mesh or the light one."""
        if self.rig == NO_RIG:
            return None
        full = self.full_mesh
        weights = skin_weights(self.head)
        if len(mesh.vertices) < len(full.vertices):
            weights = weights[light_vertices(full)]
        return Rig(person_skeleton(self.head, full.vertices), weights)

    def _write_glb(self, path, mesh, material, hair, animation):
        motion, vrm = self.motion if animation else None, path.suffix.lower() == ".vrm"
        return write_glb(
            path, mesh, material, self.names, self._extras, motion, hair, self._rig_of(mesh), vrm
        )

    def _write_obj(self, path, mesh, material, hair, _animation):
        return write_obj_folder(path.with_suffix(""), mesh, material, hair)

    def _write_folder(self, path, mesh, material, hair, _animation):
        regions = list(self.head.config.region_names)
        return write_plain_folder(path, mesh, material, self.names, regions, self._extras, hair)


def build_avatar(
    head: HeadModel,
    capture,
    texture: np.ndarray,
    hair_styles: HairStyles | None = None,
    hair: str = "none",
    shapes: str = ARKIT,
    rig: str = NO_RIG,
    hair_color: str = "auto",
) -> Avatar:
    """The captured person's head wearing a studio texture.

    Args:
        head: `HeadModel`. capture: `PhoneTexture` of the person, same size as `texture`.
        texture: (H, W, 3) float32 sRGB in [0, 1] in the head's layout. Its small eye and mouth charts, which a phone
            never sees well, are painted, the irises in the captured color, and so are the lids' rims; lashes are taken off
            the upper lids; a step in color where its borders meet on the head is evened out.
        hair_styles: the weights' `HairStyles`, or None for a bare head. hair: "auto", "none" or the name of a style.
        shapes, rig: see `Avatar`. hair_color: "auto", as in the pictures, or "#rrggbb".
    Raises:
        InvalidInputError: there is no such hair.
    """
    iris = captured_iris(head, capture, texture)
    studio, phone = (
        paint_lids(paint_eyes_and_mouth(rgb, head, iris_rgb=iris), head)
        for rgb in (level_seams(texture, head), capture.rgb)
    )
    mesh, worn = avatar_mesh(head, np.asarray(capture.fit.identity)), None
    if hair_styles is not None:
        worn = wear_hair(head, hair_styles, capture, texture, mesh.vertices, hair, hair_color)
    expression = worn_expression(head, mesh, np.asarray(capture.fit.expression))
    rest = resting_expression(head, expression)
    expression = beyond_rest(expression, rest)
    return Avatar(
        head,
        np.asarray(capture.fit.identity),
        unit_to_uint8(studio),
        expression,
        unit_to_uint8(phone),
        captured_motion(capture.fit, expression),
        worn,
        shapes,
        rig,
        rest,
    )


def _check(avatar: Avatar) -> None:
    if avatar.rig not in RIGS:
        raise InvalidInputError(f"There is no rig '{avatar.rig}': use {' or '.join(RIGS)}.")
    identities, expressions = avatar.head.config.num_identity, len(avatar.head.config.expression_names)
    # A capture made with a head of fewer components has fewer coefficients.
    if (
        np.ndim(avatar.identity) != 1
        or len(avatar.identity) > identities
        or not np.isfinite(avatar.identity).all()
    ):
        raise InvalidInputError(
            f"`identity` must be {identities} finite numbers or fewer, not {np.shape(avatar.identity)}."
        )
    shape = np.shape(avatar.texture)
    if (
        getattr(avatar.texture, "dtype", None) != np.uint8
        or len(shape) != 3
        or shape[0] != shape[1]
        or shape[2] != 3
    ):
        raise InvalidInputError("`texture` must be a square uint8 array (H, H, 3).")
    expression = avatar.expression
    if expression is None:
        return
    if np.shape(expression)[-1:] != (expressions,) or not np.isfinite(expression).all():
        raise InvalidInputError(
            f"`expression` must be rows of {expressions} finite numbers, not {np.shape(expression)}."
        )


__all__ = ["Avatar", "build_avatar"]
