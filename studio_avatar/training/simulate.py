"""Simulated phone captures with a known answer.

    studio texture ─┐
    random head ────┼─ render under random light ─► phone camera (exposure, colour, blur, codec) ─► frames
    random poses ───┘

One call gives the frames of one short capture of one person in one room. Everything is drawn from one
`numpy.random.Generator`, so a seed gives the same capture again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from studio_avatar.errors import InvalidInputError
from studio_avatar.rendering import (
    Camera,
    Lamp,
    Light,
    Skin,
    TexturedMesh,
    ambient_occlusion,
    linear_to_srgb,
    look_at,
    render,
    srgb_to_linear,
)
from studio_avatar.training.shirt import with_shirt

# Yaw and pitch of the camera around the head in degrees, in the order in which a person turns for a capture.
POSES = ((0, 0), (28, 0), (-28, 0), (0, 16), (0, -14), (48, 2), (-48, 2))
HEAD_HEIGHT = 0.26  # chin to crown of an adult [m]
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
class Room:
    """The light of one place, fixed in space.

    lobes: soft light sources that make the environment, each (direction (3,), linear rgb (3,), concentration
    in [0, 1]); ambient: (3,) linear radiance from everywhere; lamps: lights that cast shadows;
    turns_with_camera: the person turns the head in front of a fixed camera, so the light keeps its direction
    in the camera's frame, otherwise the camera moves around a still head.
    """

    ambient: np.ndarray
    lobes: tuple[tuple[np.ndarray, np.ndarray, float], ...]
    lamps: tuple[Lamp, ...]
    turns_with_camera: bool


@dataclass(frozen=True)
class PhoneCamera:
    """What a phone does to the light, in this order.

    exposure: factor on linear light; white_balance: (3,) factors; contrast: strength of the tone curve in [0,
    1]; blur: Gaussian sigma in pixels; motion: length of the motion blur in pixels; noise: read noise as a
    share of full scale; codec: ("jpeg", quality) or ("h264", crf).
    """

    exposure: float
    white_balance: np.ndarray
    contrast: float
    blur: float
    motion: float
    noise: float
    codec: tuple[str, int]


@dataclass(frozen=True)
class SimulatedCapture:
    """Frames and the truth behind them.

    frames: K pictures uint8 sRGB (H, W, 3); identity (100,); expression (K, 52); rotation (K, 3, 3);
    translation (K, 3) metres; focal_px; image_size (width, height); lights: K `Light`s in head space;
    texture: the studio texture (H, W, 3) float32 sRGB.
    """

    frames: list[np.ndarray]
    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal_px: float
    image_size: tuple[int, int]
    lights: list[Light]
    texture: np.ndarray


def simulate(
    head,
    texture: np.ndarray,
    rng: np.random.Generator,
    num_views: int = 3,
    size: tuple[int, int] = (720, 960),
    supersample: int = 1,
    device: str = "cpu",
) -> SimulatedCapture:
    """Photograph `texture` (H, W, 3) float32 sRGB on a random head, in a random room, with a random phone.

    Args:
        num_views: how many of `POSES` to take, 1 to 7, each with a hand's tremble.
        size: (width, height) of the frames in pixels.

    Raises:
        InvalidInputError: the number of views is out of range or the texture has the wrong shape.
    """
    if not 1 <= num_views <= len(POSES):
        raise InvalidInputError(f"num_views must be 1 to {len(POSES)}, not {num_views}.")
    identity = sample_identity(rng, head.config.num_identity)
    expression = np.stack([sample_expression(rng, head.config.expression_names) for _ in range(num_views)])
    room, skin = sample_room(rng), sample_skin(rng)
    cameras = sample_cameras(rng, num_views, size)
    albedo = float(np.median(srgb_to_linear(texture[::8, ::8])))
    phone = sample_phone(rng, room, albedo, min(size))
    canvas = sample_background(rng, room, size)
    shirt, collar = sample_shirt(rng), rng.uniform(-0.005, 0.03)

    frames, lights = [], []
    body = None
    for coefficients, camera in zip(expression, cameras, strict=True):
        body = shaped_mesh(head, identity, coefficients, occlusion=None if body is None else body.occlusion)
        # Who turns only the head keeps the chest towards the camera.
        turn = 0.7 * np.arctan2(camera.centre[0], camera.centre[2]) * room.turns_with_camera
        dressed, painted = with_shirt(body, texture, shirt, collar, turn)
        lights.append(light_of(room, camera))
        picture = render(
            dressed, painted, camera, lights[-1], skin, supersample, 6, srgb=False, device=device,
            background=canvas, seed=int(rng.integers(2**31)),
        )  # fmt: skip
        frames.append(expose(picture.rgb, phone, rng))
    return SimulatedCapture(
        frames=compress(frames, phone.codec),
        identity=identity,
        expression=expression,
        rotation=np.stack([c.rotation for c in cameras]).astype(np.float32),
        translation=np.stack([c.translation for c in cameras]).astype(np.float32),
        focal_px=cameras[0].focal_px,
        image_size=tuple(size),
        lights=lights,
        texture=texture,
    )


# ------------------------------------------------------------------------------------------------
# The person
# ------------------------------------------------------------------------------------------------


def sample_identity(rng: np.random.Generator, count: int = 100) -> np.ndarray:
    """Identity coefficients (count,), a little tamer than the head model's own N(0, 1)."""
    return (rng.standard_normal(count) * rng.uniform(0.5, 0.85)).astype(np.float32)


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
    """A cloth colour (3,) sRGB: mostly greys, whites and dark blues."""
    return np.clip(
        rng.choice([0.12, 0.3, 0.55, 0.85]) * rng.normal(1, 0.12, 3) * rng.normal(1, 0.1), 0.03, 0.95
    )


def sample_skin(rng: np.random.Generator) -> Skin:
    """From powdered to oily skin."""
    return Skin(specular=rng.uniform(0.3, 1.3), roughness=rng.uniform(0.38, 0.6))


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


# ------------------------------------------------------------------------------------------------
# The room
# ------------------------------------------------------------------------------------------------


def sample_room(rng: np.random.Generator) -> Room:
    """Windows, lamps, sun or flash: a soft surrounding and none, one or two lights that cast shadows."""
    warm = colour_of_temperature(rng.uniform(2700, 7500))
    ambient = colour_of_temperature(rng.uniform(4000, 9000)) * rng.uniform(0.15, 0.8)
    lobes = [
        (
            _direction(rng, rng.uniform(-180, 180), rng.uniform(-30, 80)),
            warm * rng.gamma(1.5, 0.5),
            rng.uniform(0.3, 1),
        )
        for _ in range(rng.integers(1, 4))
    ]
    lamps, kind = [], rng.random()
    if kind < 0.12:
        lamps.append(
            Lamp((0.0, 0.12, 0.99), tuple(np.full(3, rng.uniform(0.8, 1.6))), 0.01, rng.uniform(0.35, 0.7))
        )
        ambient = ambient * 0.4
    elif kind < 0.85:
        key = _direction(rng, rng.choice((-1, 1)) * rng.uniform(10, 110), rng.uniform(-5, 65))
        spread = rng.choice((rng.uniform(0.005, 0.05), rng.uniform(0.05, 0.35)))
        lamps.append(Lamp(tuple(key), tuple(warm * rng.uniform(0.4, 1.8)), float(spread)))
    if kind > 0.6 and rng.random() < 0.4:
        rim = _direction(rng, rng.choice((-1, 1)) * rng.uniform(80, 160), rng.uniform(0, 50))
        lamps.append(
            Lamp(tuple(rim), tuple(colour_of_temperature(rng.uniform(2700, 9000)) * rng.uniform(0.3, 1)), 0.1)
        )
    return Room(ambient, tuple(lobes), tuple(lamps), bool(rng.random() < 0.5))


def light_of(room: Room, camera: Camera) -> Light:
    """The room's light in head space, as it falls while `camera` takes its picture."""
    turn = np.eye(3)
    if room.turns_with_camera:
        frontal = np.diag([1.0, -1.0, -1.0])  # OpenCV axes of a camera straight in front of the face
        turn = camera.rotation.T @ frontal
    environment = np.zeros((9, 3))
    environment[0] = room.ambient / 0.282095
    for direction, colour, concentration in room.lobes:
        environment += _lobe(turn @ direction, concentration)[:, None] * colour
    lamps = [replace(lamp, direction=tuple(turn @ np.asarray(lamp.direction))) for lamp in room.lamps]
    return Light(environment.astype(np.float32), tuple(lamps))


def colour_of_temperature(kelvin: float) -> np.ndarray:
    """Linear sRGB of a black body, (3,) scaled to green = 1; a fit good to a few per cent from 2500 to 10000
    K.
    """
    t = np.log(kelvin / 6500.0)
    return np.exp(np.array([-0.62 * t + 0.25 * t * t, 0.0, 0.98 * t - 0.62 * t * t]))


def sample_background(rng: np.random.Generator, room: Room, size: tuple[int, int]) -> np.ndarray:
    """An out-of-focus room in linear light (H, W, 3): a smooth gradient and a few blurred surfaces."""
    import cv2

    small = (
        rng.uniform(0.05, 0.6, (4, 3, 1)) * rng.uniform(0.85, 1.15, (4, 3, 3)) * rng.uniform(0.85, 1.15, 3)
    )
    canvas = cv2.resize(small.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(0, 5)):
        x, y = rng.integers(0, size[0]), rng.integers(0, size[1])
        w, h = rng.integers(size[0] // 8, size[0] // 2), rng.integers(size[1] // 8, size[1])
        shade = rng.uniform(0.03, 0.9) * rng.uniform(0.85, 1.15, 3)
        cv2.rectangle(canvas, (int(x), int(y)), (int(x + w), int(y + h)), tuple(map(float, shade)), -1)
    sigma = rng.uniform(0.01, 0.06) * size[0]
    canvas = cv2.resize(
        cv2.GaussianBlur(canvas[::4, ::4], (0, 0), sigma / 4), size, interpolation=cv2.INTER_LINEAR
    )
    return np.clip(canvas, 0.01, 2.0) * (0.4 * room.ambient + 0.4).astype(np.float32)


def _direction(rng, azimuth: float, elevation: float) -> np.ndarray:
    """Unit vector; azimuth 0 = in front of the face, 90 = the person's left; degrees."""
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])


def _lobe(d: np.ndarray, concentration: float) -> np.ndarray:
    """Nine harmonics of a light around direction d whose mean over the sphere is one quarter."""
    x, y, z = d
    basis = np.array(
        [0.282095]
        + [0.488603 * v for v in (y, z, x)]
        + [
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ]
    )
    return basis * np.repeat([1.0, 0.9 * concentration, 0.6 * concentration**2], [1, 3, 5]) * np.pi


# ------------------------------------------------------------------------------------------------
# The phone
# ------------------------------------------------------------------------------------------------


def sample_cameras(rng: np.random.Generator, num_views: int, size: tuple[int, int]) -> list[Camera]:
    """One lens, `num_views` hand-held poses around the head."""
    focal_px = rng.uniform(0.9, 1.6) * max(size)
    distance = HEAD_HEIGHT * focal_px / (rng.uniform(0.6, 0.85) * min(size[0] * 1.15, size[1]))
    cameras = []
    for yaw, pitch in POSES[:num_views]:
        direction = _direction(rng, yaw + rng.normal(0, 5), pitch + rng.normal(0, 4))
        target = rng.normal((0.0, 0.0, 0.03), 0.01)
        near = distance * rng.uniform(0.95, 1.05)
        cameras.append(
            look_at(target + direction * near, target, focal_px, size, np.radians(rng.normal(0, 4)))
        )
    return cameras


def sample_phone(rng: np.random.Generator, room: Room, albedo: float, short_side: int) -> PhoneCamera:
    """A phone that meters the face: exposure and white balance follow the light, but not perfectly.

    albedo: linear reflectance of the skin; a phone makes dark skin brighter and light skin darker, by half.
    """
    facing = light_of(replace(room, turns_with_camera=False), look_at((0, 0, 1)))
    arriving = facing.environment[0] * 0.282095 + facing.environment[2] * 0.488603 * 0.6667
    for lamp in facing.lamps:
        arriving = arriving + np.asarray(lamp.colour) * max(lamp.direction[2], 0.4)
    grey = arriving.mean()
    metered = 0.75 * (0.3 / max(albedo, 0.02)) ** 0.5 / max(grey, 0.05)
    cast = arriving / grey
    scale = short_side / 720
    codec = ("jpeg", int(rng.integers(55, 96))) if rng.random() < 0.6 else ("h264", int(rng.integers(20, 33)))
    return PhoneCamera(
        exposure=float(np.clip(np.exp(rng.normal(-0.05, 0.3)), 0.45, 1.9) * metered),
        white_balance=cast ** -rng.uniform(0.45, 1.0) * np.exp(rng.normal(0, 0.02, 3)),
        contrast=float(rng.uniform(0, 0.5)),
        blur=float(rng.uniform(0.4, 1.1) * scale),
        motion=float(rng.exponential(1.0) * scale * (rng.random() < 0.3)),
        noise=float(rng.gamma(2.0, 0.004)),
        codec=codec,
    )


def expose(linear: np.ndarray, phone: PhoneCamera, rng: np.random.Generator) -> np.ndarray:
    """Linear light (H, W, 3) -> the phone's picture before compression, uint8 sRGB."""
    import cv2

    light = linear * (phone.exposure * phone.white_balance).astype(np.float32)
    light = cv2.GaussianBlur(light, (0, 0), phone.blur)
    if phone.motion > 0.5:
        light = cv2.filter2D(light, -1, _motion_kernel(phone.motion, rng.uniform(0, np.pi)))
    shot = np.sqrt(np.maximum(light, 0)) * phone.noise * 1.5 + phone.noise * 0.5
    grain = rng.standard_normal(light.shape, np.float32)
    # Phones denoise: what is left of the noise is coarse, and coarser in colour than in brightness.
    grain = 0.5 * grain.mean(-1, keepdims=True) * 1.7 + 0.6 * cv2.GaussianBlur(grain, (0, 0), 1.2) * 2.5
    light = light + shot * grain
    # Highlights roll off instead of clipping hard.
    light = np.where(light > 0.8, 0.8 + 0.2 * np.tanh((light - 0.8) / 0.2 * 0.7), light)
    encoded = linear_to_srgb(light)
    curve = encoded * encoded * (3 - 2 * encoded)
    return (np.clip(encoded + phone.contrast * (curve - encoded), 0, 1) * 255 + 0.5).astype(np.uint8)


def compress(frames: list[np.ndarray], codec: tuple[str, int]) -> list[np.ndarray]:
    """The frames after JPEG (quality) or H.264 (crf), uint8 (H, W, 3) each."""
    name, strength = codec
    return _jpeg(frames, strength) if name == "jpeg" else _h264(frames, strength)


def _jpeg(frames, quality: int):
    import cv2

    coded = (cv2.imencode(".jpg", f[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for f in frames)
    return [np.ascontiguousarray(cv2.imdecode(c, cv2.IMREAD_COLOR)[..., ::-1]) for c in coded]


def _h264(frames, crf: int):
    import io

    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _motion_kernel(length: float, angle: float) -> np.ndarray:
    import cv2

    n = 2 * int(np.ceil(length)) + 1
    kernel = np.zeros((n, n), np.float32)
    step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    a, b = (n // 2 - step) * 16, (n // 2 + step) * 16
    cv2.line(kernel, tuple(int(v) for v in a), tuple(int(v) for v in b), 1.0, 1, cv2.LINE_AA, 4)
    return kernel / kernel.sum()
