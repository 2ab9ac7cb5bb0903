"""Simulated phone captures with a known answer.

    studio texture ─┐                 place (painted or HDR panorama, lamps, flash)
    random head ────┼─ dress ─ render ──────┴──► linear light ─► phone camera (exposure, color, blur, codec) ─► frames
    random poses ───┘  (shirt, glasses, hair)

One call gives the frames of one short capture of one person in one place. Everything is drawn from one
`numpy.random.Generator`, so a seed gives the same capture again. `clip.py` makes videos of the same scenes;
`texel_capture.py` lights textures without any picture.

`python -m tools.draw_simulated --texture T.png --out DIR` writes pictures of a few captures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from studio_avatar.capture.fitting.shape_prior import ShapePrior
from studio_avatar.errors import InvalidInputError
from studio_avatar.imaging.color import srgb_to_linear
from studio_avatar.rendering import (
    Camera,
    Light,
    RenderOptions,
    Skin,
    TexturedMesh,
    ambient_occlusion,
    look_at,
    render,
)

from .occluders import (
    GLASSES_PROBABILITY,
    HAIR_PROBABILITY,
    Glasses,
    add_lens_gloss,
    sample_glasses,
    sample_strands,
)
from .parts import Part, attach
from .phone_camera import PhoneCamera, sample_phone, shoot
from .room import (
    Room,
    arriving_light,
    background_of,
    behind_brightness,
    direction,
    light_of,
    sample_background,
    sample_room,
)
from .shirt import shirt

# Yaw and pitch of the camera around the head in degrees, in the order in which a person turns for a capture.
POSES = ((0, 0), (28, 0), (-28, 0), (0, 16), (0, -14), (48, 2), (-48, 2))
MAKEHUMAN_COMPONENTS = 100  # of the identity; those after them were learned from scans
HEAD_HEIGHT = 0.26  # chin to crown of an adult [m]
SHADOW_SAMPLES = 6
WET = {
    "eyeball_left": 3.0,
    "eyeball_right": 3.0,
    "teeth": 2.0,
    "tongue": 2.0,
    "mouth": 1.5,
    "lips": 1.2,
    "scalp": 0.7,
}


@dataclass(frozen=True)
class Scene:
    """What stays the same while the frames of one capture are taken.

    texture: (H, W, 3) float32 sRGB; identity: (I,); occlusion: (V,) of the bare head; cloth: (3,) sRGB of the
    shirt; collar: its height above the end of the neck, meters; glasses, strands: what is worn in front of the face,
    or None; backdrop: (h, w, 3) linear, behind the person where the room has no panorama; focus: blur of what is
    behind, share of the picture's width.
    """

    head: object
    texture: np.ndarray
    identity: np.ndarray
    occlusion: np.ndarray
    skin: Skin
    room: Room
    cloth: np.ndarray
    collar: float
    backdrop: np.ndarray
    focus: float
    glasses: Glasses | None = None
    strands: Part | None = None

    @property
    def occluders(self) -> list[Part]:
        """What hides a part of the face."""
        return [part for part in (self.glasses and self.glasses.frame, self.strands) if part is not None]


@dataclass(frozen=True)
class Shot:
    """One picture before the phone: linear (H, W, 3); the bare head's vertices (V, 3) meters; the light, head space."""

    linear: np.ndarray
    vertices: np.ndarray
    light: Light


@dataclass(frozen=True)
class Population:
    """Whose heads are photographed, and with which lenses.

    scans: share of the people that are drawn from the prior of the capture's fit, which knows people of 3D scans, too; the
    others are MakeHuman's. focal: shortest and longest focal length over the longer side of the picture.
    """

    scans: float = 0.0
    focal: tuple[float, float] = (0.9, 1.6)


MAKEHUMAN = Population()  # what the published networks were trained with: a seed stays the same person
EVERYBODY = Population(scans=0.5, focal=(0.72, 1.4))


@dataclass(frozen=True)
class SimulatedCapture:
    """Frames and the truth behind them.

    frames: K pictures uint8 sRGB (H, W, 3); identity (I,); expression (K, 52); vertices (K, V, 3) meters, head
    space; rotation (K, 3, 3); translation (K, 3) meters; focal_px; image_size (width, height); lights: K `Light`s in
    head space; texture: the studio texture (H, W, 3) float32 sRGB; phone: what the phone did; occluded: glasses or
    hair hide a part of the face.
    """

    frames: list[np.ndarray]
    identity: np.ndarray
    expression: np.ndarray
    vertices: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal_px: float
    image_size: tuple[int, int]
    lights: list[Light]
    texture: np.ndarray
    phone: PhoneCamera
    occluded: bool

    @property
    def albedo(self) -> np.ndarray:
        """The surface's diffuse color (H, W, 3) float32 sRGB: here the studio texture itself.

        The renderer takes a studio texture as albedo: flat photographic light leaves no shading in it, but the little
        cross-polarisation would take away (the sheen of skin, the dark of pores) stays in both.
        """
        return self.texture

    @property
    def cameras(self) -> list[Camera]:
        """The K cameras."""
        return [Camera(self.focal_px, r, t, self.image_size) for r, t in zip(self.rotation, self.translation)]


@dataclass(frozen=True)
class SimulationOptions:
    """How a capture is simulated.

    size: (width, height) of the frames in pixels; supersample: rays along a pixel's side; device: of the renderer;
    panoramas: light from files, see `environments.read_panoramas`; unseen: light from the files alone, and another tone
    curve, which no training has, for captures that measure generalization; stops: further exposure; population: whose heads
    and lenses.
    """

    size: tuple[int, int] = (720, 960)
    supersample: int = 1
    device: str = "cpu"
    panoramas: Sequence[np.ndarray] | None = None
    unseen: bool = False
    stops: float = 0.0
    population: Population = MAKEHUMAN


ORDINARY = SimulationOptions()


def simulate(
    head,
    texture: np.ndarray,
    rng: np.random.Generator,
    num_views: int = 3,
    options: SimulationOptions = ORDINARY,
) -> SimulatedCapture:
    """Photograph `texture` (H, W, 3) float32 sRGB on a random head, in a random place, with a random phone.

    Args:
        num_views: how many of `POSES` to take, 1 to 7, each with a hand's tremble.

    Raises:
        InvalidInputError: the number of views is out of range or the texture has the wrong shape.
    """
    if not 1 <= num_views <= len(POSES):
        raise InvalidInputError(f"num_views must be 1 to {len(POSES)}, not {num_views}.")
    names = head.config.expression_names
    expression = np.stack([sample_expression(rng, names) for _ in range(num_views)])
    scene = sample_scene(head, texture, rng, expression[0], options)
    cameras = sample_cameras(rng, num_views, options.size, options.population)
    phone = phone_for(scene, rng, min(options.size))
    phone = replace(
        phone, filmic=phone.filmic or options.unseen, exposure=phone.exposure * 2.0**options.stops
    )
    seeds = rng.integers(2**31, size=num_views)
    shots = [
        photograph(scene, coefficients, camera, int(seed), options.supersample, options.device)
        for coefficients, camera, seed in zip(expression, cameras, seeds, strict=True)
    ]
    frames = shoot([shot.linear for shot in shots], phone, rng)
    return record(scene, shots, frames, expression, cameras, phone)


def sample_scene(
    head,
    texture: np.ndarray,
    rng: np.random.Generator,
    expression: np.ndarray,
    options: SimulationOptions = ORDINARY,
) -> Scene:
    """A random person in a random place; expression: (52,) of the first frame, the others as in `simulate`."""
    if texture.ndim != 3 or texture.shape[2] != 3:
        raise InvalidInputError(f"The texture must be (H, W, 3), not {texture.shape}.")
    identity = sample_identity(rng, head.config.num_identity, options.population)
    room = sample_room(rng, options.panoramas, options.unseen)
    body = shaped_mesh(head, identity, expression)
    glasses = sample_glasses(rng, head, body) if rng.random() < GLASSES_PROBABILITY else None
    strands = sample_strands(rng, head, body, texture) if rng.random() < HAIR_PROBABILITY else None
    return Scene(
        head, texture, identity, body.occlusion, sample_skin(rng), room, sample_shirt(rng), rng.uniform(-0.005, 0.03),
        sample_background(rng, room, options.size), rng.uniform(0.005, 0.04), glasses, strands,
    )  # fmt: skip


def photograph(
    scene: Scene, expression: np.ndarray, camera: Camera, seed: int, supersample: int = 1, device: str = "cpu"
) -> Shot:
    """One picture of the scene, without a phone's faults."""
    body = shaped_mesh(scene.head, scene.identity, expression, scene.occlusion)
    # Who turns only the head keeps the chest towards the camera.
    turn = 0.7 * np.arctan2(camera.center[0], camera.center[2]) * scene.room.turns_with_camera
    cloth = shirt(body, scene.cloth, scene.collar, turn)
    dressed, painted = attach(body, scene.texture, [cloth, *scene.occluders])
    light = light_of(scene.room, camera)
    picture = render(
        dressed, painted, camera, light, scene.skin, RenderOptions(supersample, SHADOW_SAMPLES, seed, device),
        background_of(scene.room, camera, scene.backdrop, scene.focus), srgb=False,
    )  # fmt: skip
    linear = picture.rgb
    if scene.glasses is not None:
        linear = add_lens_gloss(linear, picture, scene.glasses, camera, scene.room, light)
    return Shot(linear, body.vertices, light)


def phone_for(scene: Scene, rng: np.random.Generator, short_side: int) -> PhoneCamera:
    """A random phone that meters this scene; short_side of its frames in pixels."""
    albedo = skin_albedo(scene.texture)
    return sample_phone(rng, arriving_light(scene.room), albedo, short_side, behind_brightness(scene.room))


def record(
    scene: Scene, shots: list[Shot], frames, expression, cameras, phone: PhoneCamera
) -> SimulatedCapture:
    """Frames with the truth behind them."""
    return SimulatedCapture(
        frames=frames,
        identity=scene.identity,
        expression=np.asarray(expression, np.float32),
        vertices=np.stack([shot.vertices for shot in shots]),
        rotation=np.stack([c.rotation for c in cameras]).astype(np.float32),
        translation=np.stack([c.translation for c in cameras]).astype(np.float32),
        focal_px=cameras[0].focal_px,
        image_size=tuple(cameras[0].size),
        lights=[shot.light for shot in shots],
        texture=scene.texture,
        phone=phone,
        occluded=bool(scene.occluders),
    )


# ------------------------------------------------------------------------------------------------
# The person
# ------------------------------------------------------------------------------------------------


def sample_identity(
    rng: np.random.Generator, count: int = 100, population: Population = MAKEHUMAN
) -> np.ndarray:
    """Identity coefficients (count,): a person of MakeHuman, a little tamer than N(0, 1), or one of the scans' prior."""
    if population.scans and rng.random() < population.scans:
        mean, spread = _prior_factors(count)
        return (mean + spread @ rng.standard_normal(count)).astype(np.float32)
    identity = np.zeros(count, np.float32)
    identity[:MAKEHUMAN_COMPONENTS] = rng.standard_normal(MAKEHUMAN_COMPONENTS) * rng.uniform(0.5, 0.85)
    return identity


@lru_cache(maxsize=1)
def _prior_factors(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (count,) of the fit's prior and (count, count), what makes of N(0, 1) deviations with its covariance."""
    prior = ShapePrior.of_head(count)
    return prior.mean, np.linalg.inv(np.linalg.cholesky(prior.precision)).T


def sample_expression(rng: np.random.Generator, names: list[str]) -> np.ndarray:
    """A mild expression (52,): a slight smile, speech, raised brows; the eyes stay open."""
    value = dict.fromkeys(names, 0.0)
    smile, squint = rng.uniform(0, 0.4) * (rng.random() < 0.5), rng.uniform(0, 0.2)
    value["jawOpen"] = rng.uniform(0, 0.12) * (rng.random() < 0.4)
    value["browInnerUp"] = rng.uniform(0, 0.35) * (rng.random() < 0.4)
    value["mouthPucker"] = rng.uniform(0, 0.2) * (rng.random() < 0.2)
    for side in ("Left", "Right"):
        value[f"mouthSmile{side}"] = smile * rng.uniform(0.85, 1.15)
        value[f"cheekSquint{side}"] = smile * 0.4
        value[f"eyeSquint{side}"] = squint
        value[f"eyeBlink{side}"] = rng.uniform(0, 0.1)
        value[f"browDown{side}"] = rng.uniform(0, 0.2) * (value["browInnerUp"] == 0)
    return np.array([value[name] for name in names], np.float32)


def sample_shirt(rng: np.random.Generator) -> np.ndarray:
    """A cloth color (3,) sRGB: mostly grays, whites and dark blues."""
    return np.clip(
        rng.choice([0.12, 0.3, 0.55, 0.85]) * rng.normal(1, 0.12, 3) * rng.normal(1, 0.1), 0.03, 0.95
    )


def sample_skin(rng: np.random.Generator) -> Skin:
    """From powdered to oily skin."""
    return Skin(specular=rng.uniform(0.3, 1.3), roughness=rng.uniform(0.38, 0.6))


def skin_albedo(texture: np.ndarray) -> float:
    """Median linear reflectance of a studio texture (H, W, 3) sRGB."""
    step = max(len(texture) // 64, 1)
    return float(np.median(srgb_to_linear(texture[::step, ::step])))


def shaped_mesh(head, identity: np.ndarray, expression: np.ndarray, occlusion: np.ndarray | None = None):
    """The head in one shape, ready to be rendered with wet eyes; occlusion is computed if not given."""
    import torch

    with torch.no_grad():
        vertices = head.vertices(torch.from_numpy(identity), torch.from_numpy(expression))
        normals = head.normals(vertices).numpy()
    labels = np.array([WET.get(name, 1.0) for name in head.config.region_names], np.float32)
    gloss = labels[head.face_region.numpy()]
    mesh = TexturedMesh.of_head(head, vertices.numpy(), normals=normals, gloss=gloss)
    return replace(mesh, occlusion=ambient_occlusion(mesh) if occlusion is None else occlusion)


def sample_cameras(
    rng: np.random.Generator, num_views: int, size: tuple[int, int], population: Population = MAKEHUMAN
) -> list[Camera]:
    """One lens, `num_views` hand-held poses around the head."""
    focal_px, distance = sample_lens(rng, size, population)
    cameras = []
    for yaw, pitch in POSES[:num_views]:
        towards = direction(yaw + rng.normal(0, 5), pitch + rng.normal(0, 4))
        target = rng.normal((0.0, 0.0, 0.03), 0.01)
        near = distance * rng.uniform(0.95, 1.05)
        cameras.append(look_at(target + towards * near, target, focal_px, size, np.radians(rng.normal(0, 4))))
    return cameras


def sample_lens(
    rng: np.random.Generator, size: tuple[int, int], population: Population = MAKEHUMAN
) -> tuple[float, float]:
    """Focal length in pixels, and the distance in meters at which the head fills 60 to 85 % of the picture."""
    focal_px = rng.uniform(*population.focal) * max(size)
    return focal_px, HEAD_HEIGHT * focal_px / (rng.uniform(0.6, 0.85) * min(size[0] * 1.15, size[1]))
