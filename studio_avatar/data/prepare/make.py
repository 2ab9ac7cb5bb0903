"""What is in each item of the prepared sets: functions (job, models) → arrays, by which `sets` fills its table."""

import functools
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from studio_avatar.avatar.material.eyes import paint_eyes_and_mouth
from studio_avatar.capture import capture, observe
from studio_avatar.data.augment.augmentation import augment_studio, studio_masks
from studio_avatar.data.simulate.correspondences import registered_texture
from studio_avatar.data.simulate.registration_views import registration_views
from studio_avatar.data.simulate.simulation import EVERYBODY, MAKEHUMAN, SimulationOptions, simulate
from studio_avatar.data.simulate.texel_capture import capture_texels
from studio_avatar.data.simulate.texel_phone import UNDER_STOPS
from studio_avatar.data.studio_set import sample_iris, studio_subjects, studio_texture
from studio_avatar.errors import StudioAvatarError
from studio_avatar.models import Registrar

from .jobs import Job, Models

PORTRAIT_CAPTURE_SIZE, PORTRAIT_SIZE = 512, 256
STUDIO_SIZE, SMALL_SIZE, TEXEL_SIZE = 1024, 512, 128
TRAIN_VIEWS, TRAIN_FRAME = 3, (720, 960)
HELD_OUT_VIEWS, HELD_OUT_FRAME = 5, (1080, 1440)
DIM_LIGHTS = (8, 9)  # of each ten of a training subject: far under
UNSEEN_LIGHTS = 6  # simulated captures a validation or held-out subject
VIEW_COLUMNS = ("rgb", "trust", "offset", "known")

Arrays = dict[str, np.ndarray]


def portrait(job: Job, models: Models) -> Arrays:
    """What is captured of a photo."""
    photo = Path(job.data) / "portraits" / f"{job.id}.jpg"
    phone = capture(photo, models.head, size=PORTRAIT_CAPTURE_SIZE, registrar=models.registrar)
    return _phone_arrays(phone, PORTRAIT_SIZE)


def person(job: Job, models: Models) -> Arrays:
    """A portrait at the size at which relighting learns from it."""
    found = [
        Path(job.data) / "portraits" / f"{job.id}.jpg",
        Path(job.data) / "portraits_generated" / f"{job.id}.webp",
    ]
    photo = next(path for path in found if path.exists())
    phone = capture(photo, models.head, size=SMALL_SIZE, registrar=models.registrar)
    return {**_phone_arrays(phone, SMALL_SIZE), "scene": phone.scene.vector}


def studio(job: Job, models: Models) -> Arrays:
    """A subject's own texture, and the same small and without painted brows."""
    subject = _subject(job)
    texture = studio_texture(subject, models.head, STUDIO_SIZE)
    plain = (
        studio_texture(subject, models.head, SMALL_SIZE, brows=False)
        if subject.bare
        else _shrink(texture, SMALL_SIZE)
    )
    return {"rgb": _uint8(texture), "plain": _uint8(plain)}


def augmented(job: Job, models: Models) -> Arrays:
    """See `augmented_texture`."""
    return {"rgb": _uint8(augmented_texture(job, models.head))}


def views(job: Job, models: Models) -> Arrays:
    """Views of a simulated capture as the registration network gets them, and where their texels truly lie."""
    texture = augmented_texture(job, models.head).astype(np.float32)
    population = EVERYBODY if job.everybody else MAKEHUMAN
    made = registration_views(
        models.head, texture, job.rng, Registrar().config, _panoramas(job.environments), population
    )
    return {key: np.stack([getattr(view, key) for view in made]) for key in VIEW_COLUMNS}


def texel_capture(job: Job, models: Models) -> Arrays:
    """A capture simulated in texture space, of one of the subject's augmented textures."""
    folder = job.part_of("studio_augmented", "").parent
    variants = sorted(folder.glob(f"{job.subject}-??.npz"))
    if not variants:
        raise StudioAvatarError(f"There is no augmented texture of {job.subject}: run --stage studio first.")
    with np.load(variants[job.variant % len(variants)]) as part:
        texture = _shrink(part["rgb"] / np.float32(255), TEXEL_SIZE)
    made = capture_texels(models.head, texture, job.rng, panoramas=_panoramas(job.environments))
    return {"rgb": _uint8(made.rgb), "seen": _uint8(made.seen), "target": _uint8(made.target)}


def small_capture(job: Job, models: Models) -> Arrays:
    """Training subjects as augmented textures, some of them in little light; validation subjects as they are, in the light
    of the held-out ones."""
    if job.split == "train":
        texture = augmented_texture(job, models.head)
    else:
        texture = _shrink(_studio_rgb(job), SMALL_SIZE)
    conditions = training_conditions(job) if job.split == "train" else conditions_of_variant(job.variant)
    made = _photographed(job, models, texture, TRAIN_VIEWS, TRAIN_FRAME, **conditions)
    return _capture_arrays(*made, models.head, SMALL_SIZE)


def held_out_capture(job: Job, models: Models) -> Arrays:
    """A held-out subject at the full size, in the light that no training has."""
    conditions = conditions_of_variant(job.variant)
    made = _photographed(job, models, _studio_rgb(job), HELD_OUT_VIEWS, HELD_OUT_FRAME, **conditions)
    return _capture_arrays(*made, models.head, STUDIO_SIZE)


def training_conditions(job: Job) -> dict:
    """The light of a training subject's capture as `SimulationOptions` takes it: two of ten are far under."""
    return {"stops": job.rng.uniform(*UNDER_STOPS) if job.variant % 10 in DIM_LIGHTS else 0.0}


def light_of_variant(variant: int) -> str:
    """What lights a validation or held-out capture: the first half "rooms", as in training, then "unseen" light and camera,
    the last one "two stops under" in it."""
    if variant < UNSEEN_LIGHTS // 2:
        return "rooms"
    return "two stops under" if variant == UNSEEN_LIGHTS - 1 else "unseen"


def conditions_of_variant(variant: int) -> dict:
    """The same as `SimulationOptions` takes it."""
    light = light_of_variant(variant)
    return {"unseen": light != "rooms", "stops": -2.0 if light == "two stops under" else 0.0}


def _capture_arrays(phone, truth, head, size: int) -> Arrays:
    """What is kept of an `Observation` of a simulated capture and of the capture itself, at `size` texels."""
    return {
        **_phone_arrays(phone.texture, size),
        "target": _uint8(truth.texture),
        "registered": _uint8(registered_texture(head, truth, phone)),
        "scene": phone.texture.scene.vector,
    }


def _photographed(job: Job, models: Models, texture, num_views: int, frame: tuple[int, int], **conditions):
    """A simulated capture, made into an `Observation` at the texture's size, and its truth.

    conditions: of `SimulationOptions`.
    """
    options = SimulationOptions(frame, panoramas=_panoramas(job.environments), **conditions)
    truth = simulate(models.head, texture.astype(np.float32), job.rng, num_views, options)
    return observe(truth.frames, models.head, size=texture.shape[0], registrar=models.registrar), truth


@functools.lru_cache(maxsize=1)
def _panoramas(file: str) -> list[np.ndarray] | None:
    return list(load_file(file)["radiance"]) if file else None


def augmented_texture(job: Job, head) -> np.ndarray:
    """An augmented texture of the job's subject, (512, 512, 3) float32 sRGB, with eyes that suit it.

    Raises:
        StudioAvatarError: the subject's own texture has not been prepared.
    """
    rng, masks = job.rng, studio_masks(head, SMALL_SIZE)
    own = _studio_part(job, job.subject)["plain"] / np.float32(255)
    partners = _partners(job)
    other = _studio_part(job, str(rng.choice(partners)))["plain"] / np.float32(255) if partners else None
    texture = augment_studio(own, masks, rng, other=other, bare=_subject(job).bare)
    return paint_eyes_and_mouth(
        texture, head, sample_iris(rng, texture[masks.cheek]), int(rng.integers(2**31)), shaded=False
    )


def _partners(job: Job) -> list[str]:
    """Other prepared training subjects of the same source: only they have brows (or none) alike."""
    own = _subject(job)
    return [
        s.id
        for s in studio_subjects(job.data)
        if s.split == "train"
        and s.source == own.source
        and s.id != own.id
        and job.part_of("studio", s.id).exists()
    ]


def _subject(job: Job):
    return next(s for s in studio_subjects(job.data) if s.id == job.subject)


def _studio_rgb(job: Job) -> np.ndarray:
    return _studio_part(job, job.subject)["rgb"] / np.float32(255)


def _studio_part(job: Job, subject: str) -> dict:
    path = job.part_of("studio", subject)
    if not path.exists():
        raise StudioAvatarError(f"The studio texture of {subject} is missing: run --stage studio first.")
    with np.load(path) as part:
        return dict(part)


def _phone_arrays(phone, size: int) -> Arrays:
    """Area-averaged to `size`; unseen texels do not bleed into seen ones."""
    weight = phone.seen[..., None]
    rgb = _shrink(phone.rgb * weight, size) / np.maximum(_shrink(weight, size), 1e-6)
    seen = _shrink(weight, size)[..., 0]
    rgb = np.where(seen[..., None] > 1e-3, rgb, _shrink(phone.rgb, size))
    return {"rgb": _uint8(rgb), "seen": _uint8(seen)}


def _shrink(image: np.ndarray, size: int) -> np.ndarray:
    step = image.shape[0] // size
    return image.reshape(size, step, size, step, -1).mean((1, 3))


def _uint8(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
