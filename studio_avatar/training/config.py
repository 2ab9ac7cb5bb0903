"""Training settings: one dataclass a stage, read from YAML; an unknown key stops before anything runs."""

import dataclasses
from pathlib import Path

import yaml

from studio_avatar.errors import InvalidInputError


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """What every stage shares."""

    steps: int = 4000  # optimiser steps in all; the learning rate falls to zero along a half cosine
    batch_size: int = 8  # global batch, split between the processes
    learning_rate: float = 2e-3  # at the start
    warmup_steps: int = 50  # linear rise before the cosine
    ema_decay: float = 0.995  # of the weights that are exported
    seed: int = 0
    checkpoint_minutes: float = 4.0
    preview_steps: int = 250  # a picture every so many steps


@dataclasses.dataclass(frozen=True)
class RegistrarConfig(LoopConfig):
    """The capture's registrar: where on the head the texels of a view truly lie."""

    steps: int = 3000
    batch_size: int = 16
    learning_rate: float = 2e-3
    ema_decay: float = 0.99
    weight_decay: float = 1e-2
    start: str = ""  # folder of a trained network to go on from; empty: none
    warp: float = (
        0.6  # standard deviation of the random smooth warps, in the registrar's units (1/256 of the texture)
    )
    validation_interval: int = 100


@dataclasses.dataclass(frozen=True)
class PhoneConfig(LoopConfig):
    """Stage 1: phone generator and inversion encoder."""

    resolution: int = 128
    pairs: int = 500  # simulated captures beside all portraits; those through rendered frames come first
    w_dim: int = 256
    generator_channels: tuple[int, ...] = (192, 192, 192, 128, 96, 48)
    discriminator_channels: tuple[int, ...] = (192, 192, 128, 96, 64, 32)
    encoder_learning_rate: float = 5e-4
    code_learning_rate: float = (
        0.0  # step of the per-texture W+ residuals; 0 trains the encoder's codes alone
    )
    code_decay: float = 0.02  # share of a residual that is handed back to the encoder a visit
    l1_weight: float = 1.0
    mse_weight: float = 2.0
    gradient_weight: float = 1.0  # multi-scale image gradients
    adversarial_weight: float = 0.01
    adversarial_interval: int = 4  # the discriminator and z → w are trained every so many steps
    r1_weight: float = 1.0
    r1_interval: int = 8  # in discriminator steps
    mask_dropout: float = 0.25  # share of samples whose input loses a further region
    num_components: int = 128  # of the W+ prior


@dataclasses.dataclass(frozen=True)
class StudioConfig(LoopConfig):
    """Stage 2: studio generator (a copy of the phone generator, trained after `frozen_resolution`)."""

    learning_rate: float = 1e-3
    frozen_resolution: int = 8  # blocks up to this resolution stay those of the phone generator (paper: 8)
    discriminator_channels: tuple[int, ...] = (192, 192, 128, 96, 64, 32)
    pair_weight: float = 1.0  # L_percp_recons: L1 and gradients to the true studio texture of simulated pairs
    gradient_weight: float = 1.0
    adversarial_weight: float = 0.02
    r1_weight: float = 1.0
    r1_interval: int = 8
    perceptual_weight: float = 0.2  # L_percp: structure of the phone reconstruction is kept
    identity_weight: float = 0.5  # L_faceID
    code_noise: float = (
        0.1  # standard deviation added to the pairs' codes, since refinement leaves the encoder's codes
    )
    relight_probability: float = 0.7  # share of pairs made by moving one capture's light onto another subject


@dataclasses.dataclass(frozen=True)
class BudgetConfig:
    """What the stages share that train for a budget of time, on the packed file."""

    steps: int = 0  # the schedule ends after so many steps; 0: at the end of the budget
    batch_size: int = 16
    cpu_batch_size: int = 4  # where there is no accelerator
    learning_rate: float = 8e-4  # its peak: a short linear rise, then a half cosine to zero
    ema_decay: float = 0.998  # of the weights that are exported
    seed: int = 0
    checkpoint_minutes: float = 3.0
    preview_minutes: float = 2.0
    log_steps: int = 50


@dataclasses.dataclass(frozen=True)
class ToneConfig(BudgetConfig):
    """Skin tone estimator."""

    batch_size: int = 128
    cpu_batch_size: int = 32
    learning_rate: float = 1.5e-3
    weight_decay: float = 2e-2
    resolution: int = 128
    bank_size: int = 64  # texels of the heads that are lit
    cpu_bank_size: int = 32
    share: int = 16  # captures of one head
    start: str = ""  # folder of a trained network to go on from; empty: none
    teachers: tuple[str, ...] = ()  # folders of trained networks whose mean answer is learnt beside the truth
    teacher_weight: float = 1.0
    anchor_weight: float = 1.0  # of staying with what `teachers` or else `start` said of real portraits
    anchor_size: int = 16  # portraits a step
    channels: tuple[int, ...] = (48, 80, 128, 160, 192)
    hidden: int = 320
    rendered_share: float = (
        0.3  # share of the batch that are rendered captures, where the packed file has some
    )
    scene_dropout: float = 0.2  # share of samples that know nothing of the scene
    l1_weight: float = 0.5  # beside the likelihood
    validated_share: float = (
        0.02  # share of the steps after which the average is tried on the validation captures
    )
    evaluation_batches: int = 4  # for each row of the table


@dataclasses.dataclass(frozen=True)
class CoverConfig(BudgetConfig):
    """What lies in front of eyes and forehead."""

    batch_size: int = 64
    cpu_batch_size: int = 12
    learning_rate: float = 2e-3
    ema_decay: float = 0.995
    resolution: int = 256
    bank_size: int = 64
    share: int = 4  # captures of one head
    start: str = ""  # folder of a trained network to go on from; empty: none
    channels: tuple[int, ...] = (32, 48, 64)
    thin_weight: float = 6.0  # of rims and strands, beside 1 of all other texels
    portrait_share: float = 0.75  # share of the batch that are real portraits in their own light


@dataclasses.dataclass(frozen=True)
class RelightConfig(BudgetConfig):
    """Relight network."""

    resolution: int = 512
    bank_size: int = 256
    channels: tuple[int, ...] = (64, 104, 168, 248, 312)
    blocks: tuple[int, ...] = (1, 2, 2, 2, 2)  # residual blocks a level
    mirrored: bool = True  # the network sees the mirrored phone texture, too
    mirror_rate: float = 4.0  # learning rate of the layer that does, in `learning_rate`
    start: str = ""  # folder of a trained network to go on from, which may have fewer blocks, or no mirror; empty: none
    portrait_share: float = 0.25  # share of the batch that are real portraits in another light
    rendered_share: float = 0.35  # and that are rendered captures, where the packed file has some
    own_light_share: float = 0.125  # and as many more, in their own light
    code_noise: float = 0.15  # most deviation added to the base's codes, in their standard deviations
    l1_weight: float = 1.0
    light_weight: float = 2.0  # on what is coarser than detail, where something was seen
    portrait_l1_weight: float = 0.7  # on what is finer than the portraits' evened light
    gradient_weight: float = 2.0
    perceptual_weight: float = 0.1
    identity_weight: float = 0.15
    beside_skin_weight: float = 0.5  # eyes, teeth and mouth where they were not seen
    keep_weight: float = 0.02  # price of not keeping what is seen
    own_light_identity_weight: float = 0.3  # real portraits in their own light: the same person must come out
    own_light_detail_weight: float = 1.0  # and the same fine detail
    even_weight: float = 0.2  # in even light
    adversarial_weight: float = 0.03
    adversarial_from: float = 0.3  # of the schedule; it rises over the next fifth


@dataclasses.dataclass(frozen=True)
class UpscalerConfig(BudgetConfig):
    """Gradient-guided diffusion upscaler."""

    batch_size: int = 32
    resolution: int = 1024
    bank_size: int = 256
    crop: int = 256  # texels
    crops_per_capture: int = 8
    channels: tuple[int, ...] = (48, 80, 128)
    start: str = ""  # folder of a trained network to go on from; empty: none
    gradient_dropout: float = 0.15  # share of captures without any gradient condition
    code_noise: float = 0.15
    gradient_weight: float = 2.0
    perceptual_weight: float = 0.06
    adversarial_weight: float = 0.02
    adversarial_from: float = 0.3  # of the schedule; it rises over the next fifth


@dataclasses.dataclass(frozen=True)
class PlainUNetConfig(LoopConfig):
    """A baseline of the evaluation: image-to-image UNet on the same pairs."""

    resolution: int = 128
    channels: tuple[int, ...] = (32, 64, 96, 128)
    gradient_weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    registrar: RegistrarConfig = RegistrarConfig()
    phone: PhoneConfig = PhoneConfig()
    studio: StudioConfig = StudioConfig()
    tone: ToneConfig = ToneConfig()
    cover: CoverConfig = CoverConfig()
    relight: RelightConfig = RelightConfig()
    plain_unet: PlainUNetConfig = PlainUNetConfig()
    upscaler: UpscalerConfig = UpscalerConfig()


def _build(cls, values, where):
    known = {field.name: field for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InvalidInputError(
            f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(sorted(known))}."
        )
    return cls(**{key: _as_declared(known[key], value, where) for key, value in values.items()})


def _as_declared(field, value, where):
    """Lists become tuples, numbers what the field holds: to YAML 4e-4, which has no point, is a word."""
    kind = type(field.default)
    if isinstance(value, list):
        return tuple(value)
    try:
        return kind(value) if kind in (int, float) else value
    except ValueError as error:
        raise InvalidInputError(f"{where}: {field.name} is a number, {value!r} is none.") from error


def override(config, settings: list[str]):
    """The stage's config with settings such as `frozen_resolution=16`, values in YAML, for ablations."""
    pairs = dict(setting.split("=", 1) if "=" in setting else (setting, "") for setting in settings)
    if missing := [key for key, value in pairs.items() if not value]:
        raise InvalidInputError(f"--set {missing[0]} has no value: write --set {missing[0]}=VALUE.")
    values = {key: yaml.safe_load(value) for key, value in pairs.items()}
    return _build(type(config), dataclasses.asdict(config) | values, "--set")


def load_config(path: str | Path) -> TrainingConfig:
    """Reads a YAML file with one section a stage. Missing keys keep their defaults."""
    data = yaml.safe_load(Path(path).read_text()) or {}
    sections = {f.name: f.default.__class__ for f in dataclasses.fields(TrainingConfig)}
    unknown = sorted(set(data) - set(sections))
    if unknown:
        raise InvalidInputError(
            f"{path}: unknown section {unknown[0]!r}; the sections are {', '.join(sections)}."
        )
    return TrainingConfig(
        **{k: _build(sections[k], v or {}, f"{path}, section {k}") for k, v in data.items()}
    )
