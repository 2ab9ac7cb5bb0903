"""`StudioTexturePipeline`: a phone capture of a face becomes a studio-lit texture on an animatable head.

    video ─ capture ─► phone texture ─ invert ─► W+ ─ G_studio ─► base ─ relight ─► relit ─ upscale ─► texture ─► avatar

Method: Athar et al., "Bridging the Gap: Studio-like Avatar Creation from a Monocular Phone Capture", ECCV 2024.
This file imports only single files beside it: it is also published on the Hub as remote code.
"""

import contextlib
import dataclasses
import importlib
import re
import time

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import get_device
from PIL import Image

from .cover import bridged, find_cover, wide, without_forehead, without_specks
from .errors import InvalidInputError, MissingDependencyError
from .inversion import invert, shrink_observed
from .relight import relight
from .saving import complete_save
from .skin_tone import ITA_RANGE, SkinTone, measure_tone, set_tone, tone_of_ita
from .upscale import FLOW_SCHEDULERS, PATCH, SET_TO_FLOW, is_flow_matching, upscale

# Share of the refined code in what G_studio gets: refinement leaves the codes that G_studio was trained on and takes light
# along. Measured on validation people: docs/architecture.md, "Why G_studio gets a quarter of the refinement".
REFINED_SHARE = 0.25
SHAPES, RIGS = ("arkit", "arkit+oculus"), ("none", "mixamo")
DEFAULT_SIZE = 1024  # of the texture made of a video or photos
# Standard deviations in L*a*b* where the pictures say next to nothing of skin tone: no color, log footage, nearly black,
# against the light.
DOUBTFUL_STD = (18.0, 6.0, 8.0)


@dataclasses.dataclass
class StudioTextureOutput(BaseOutput):
    """Result of `StudioTexturePipeline`. Textures are sRGB in the `head-v1` layout: PIL images, or with
    `output_type="np"` float32 arrays (H, W, 3) in [0, 1].

    Attributes:
        texture: studio texture at `output_size`.
        base: G_studio's picture of the code in the person's tone, at the generators' resolution.
        relit: the phone texture in studio light, completed and repaired, at `output_size`: where the upscaler starts.
        keep: (H, W) float32 in [0, 1], how much of each texel is the phone texture's own; 0 on glasses, strands, clipped
            highlights and the unseen, where `repair` stands.
        gain: (H, W, 3) float32, natural logarithm of the factor in linear color that took the phone's light off.
        repair: what stands where nothing is kept.
        reconstruction: the phone generator's picture of the same W+ code, at the same resolution.
        phone_texture: what the phone saw, at `output_size`; never observed texels are filled smoothly.
        latents: (num_ws, w_dim) float32 W+ code, refined: that of `reconstruction`.
        inversion: the `Inversion` it is from, which another call on the same capture can go on from.
        skin_tone: `SkinTone` of the texture: estimated with its uncertainty, or as asked for.
        phone_skin_tone: `SkinTone` that the phone texture shows, light and exposure included.
        cover: (H, W) float32 in [0, 1]: 1 = something lies in front of the skin (glasses, hair, cap, hand), left out.
        provenance: (H, W) float32 in [0, 1]: 1 = skin seen by the phone, 0 = completed by the model.
        capture: `PhoneTexture` with fit and report, or None when a finished phone texture was given.
        avatar: `Avatar` with `.export("x.glb")`, or None without a capture.
        timings: seconds a stage.
    """

    texture: Image.Image | np.ndarray
    base: Image.Image | np.ndarray
    relit: Image.Image | np.ndarray
    keep: np.ndarray
    gain: np.ndarray
    repair: Image.Image | np.ndarray
    reconstruction: Image.Image | np.ndarray
    phone_texture: Image.Image | np.ndarray
    latents: np.ndarray
    inversion: object
    skin_tone: SkinTone
    phone_skin_tone: SkinTone
    cover: np.ndarray
    provenance: np.ndarray
    capture: object | None
    avatar: object | None
    timings: dict


def to_tensor(texture):
    """(H, W, 3) float [0, 1] → (1, 3, H, W) in [-1, 1]."""
    return (
        torch.from_numpy(np.ascontiguousarray(texture, dtype=np.float32)).permute(2, 0, 1)[None] * 2.0 - 1.0
    )


def to_array(tensor):
    """(1, 3, H, W) in [-1, 1] → (H, W, 3) float32 [0, 1]."""
    return (tensor[0].float().clamp(-1, 1) * 0.5 + 0.5).permute(1, 2, 0).cpu().numpy()


def from_pil(picture):
    """PIL image → float32 array in [0, 1]; anything else as it is."""
    return np.asarray(picture, np.float32) / 255.0 if isinstance(picture, Image.Image) else picture


def to_pil(array):
    return Image.fromarray(np.rint(array * 255.0).astype(np.uint8))


class StudioTexturePipeline(DiffusionPipeline):
    """Studio texture and avatar from a selfie video, photos, or a finished phone texture.

    Components: `cover_network` (what in a phone texture is not the person), `phone_generator` and `studio_generator`
    (StyleGAN2, same W+), `encoder` (phone texture → W+), `tone_estimator` (phone texture → skin tone), `relight_network`
    (the phone texture in studio light), `unet` and `scheduler` (gradient-guided flow-matching upscaler), `head` (shape,
    expressions and texture layout), `registrar` (places the face on the head) and `hair_segmenter` (where hair is), both
    used by the capture, `hair_styles` (cards).
    """

    model_cpu_offload_seq = "->".join(
        ("registrar", "hair_segmenter", "cover_network", "encoder", "phone_generator", "studio_generator")
        + ("tone_estimator", "relight_network", "unet")
    )
    _callback_tensor_inputs = ["sample"]

    def __init__(
        self,
        cover_network,
        phone_generator,
        studio_generator,
        encoder,
        tone_estimator,
        relight_network,
        unet,
        scheduler,
        head,
        registrar,
        hair_segmenter,
        hair_styles,
    ):
        super().__init__()
        self.register_modules(
            cover_network=cover_network,
            phone_generator=phone_generator,
            studio_generator=studio_generator,
            encoder=encoder,
            tone_estimator=tone_estimator,
            relight_network=relight_network,
            unet=unet,
            scheduler=scheduler,
            head=head,
            registrar=registrar,
            hair_segmenter=hair_segmenter,
            hair_styles=hair_styles,
        )
        for network in (
            cover_network,
            phone_generator,
            studio_generator,
            encoder,
            tone_estimator,
            relight_network,
            unet,
            registrar,
            hair_segmenter,
        ):
            _realign(network).eval().to(memory_format=torch.channels_last)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        """Loads a folder or Hub repository with this package's own classes; no remote code is downloaded or run.

        Args:
            pretrained_model_name_or_path: a folder, or "org/name" on the Hub.
            revision: branch, tag or commit. variant: "fp16", the smaller files, or None.
            dtype: of the parameters in memory, float32 unless given; statistics, tables and geometry stay float32.
            device_map: one device, such as "cuda"; None is the CPU.
            cache_dir, token, local_files_only, force_download: as `huggingface_hub.snapshot_download` takes them.
            **kwargs: also components to use instead of the stored ones, such as `scheduler=…`.

        Raises:
            WeightsError: the weights are incomplete or damaged, or cannot be had.
            InvalidInputError: an argument is unknown.
        """
        if not __name__.startswith("studio_avatar."):  # as remote code: diffusers has all classes
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        return importlib.import_module("studio_avatar.weights.load").load(
            cls, pretrained_model_name_or_path, **kwargs
        )

    @classmethod
    def from_pipe(cls, pipeline, **components):
        """A second pipeline on the components of `pipeline`, shared, not copied; `scheduler=…` and so on replace some.

        Unlike diffusers' own it casts nothing.
        """
        return cls(**{**pipeline.components, **components})

    def save_config(self, save_directory, push_to_hub: bool = False, **kwargs):
        """The last step of `save_pretrained`: index, code files and SHA-256 sums, so that this class and
        `DiffusionPipeline.from_pretrained(…, trust_remote_code=True)` both load the folder."""
        super().save_config(save_directory, push_to_hub, **kwargs)
        complete_save(save_directory, self.components)

    def enable_model_cpu_offload(self, gpu_id: int | None = None, device: torch.device | str | None = None):
        """As diffusers has it: each network is on the accelerator while it works.

        Raises:
            InvalidInputError: there is no accelerator.
        """
        _require_accelerator(device)
        super().enable_model_cpu_offload(gpu_id, device)

    def enable_sequential_cpu_offload(
        self, gpu_id: int | None = None, device: torch.device | str | None = None
    ):
        """As diffusers has it: each layer is on the accelerator while it works.

        Raises:
            InvalidInputError: there is no accelerator.
        """
        _require_accelerator(device)
        super().enable_sequential_cpu_offload(gpu_id, device)

    @property
    def base_resolution(self) -> int:
        """Side of the base texture in texels."""
        return self.studio_generator.config.resolution

    def check_inputs(
        self,
        video,
        images,
        capture,
        phone_texture,
        seen,
        output_size,
        steps,
        inversion_steps,
        guidance,
        skin_tone,
        hair="none",
        shapes=SHAPES[0],
        rig=RIGS[0],
        hair_color="auto",
    ):
        """Raises `InvalidInputError` with one sentence on the first argument that cannot work."""
        if sum(x is not None for x in (video, images, capture, phone_texture)) != 1:
            raise InvalidInputError("Give exactly one of video, images, capture and phone_texture.")
        if (seen is not None) != (phone_texture is not None):
            raise InvalidInputError("phone_texture and seen belong together: give both or neither.")
        multiple = PATCH * 2 ** (len(self.unet.config.block_out_channels) - 1)
        if output_size < self.base_resolution or output_size % multiple or output_size % self.base_resolution:
            raise InvalidInputError(
                f"output_size must be a multiple of {max(multiple, self.base_resolution)}, not {output_size}."
            )
        if steps < 1 or inversion_steps < 0:
            raise InvalidInputError("num_inference_steps must be at least 1, num_inversion_steps at least 0.")
        if not 0.0 <= guidance <= 1.0:
            raise InvalidInputError(f"gradient_guidance_scale must lie in [0, 1], not {guidance}.")
        low, high = ITA_RANGE
        if skin_tone is not None and not low <= skin_tone <= high:
            raise InvalidInputError(
                f"skin_tone is an individual typology angle from {low:.0f}° (dark) to {high:.0f}° (light), not {skin_tone}."
            )
        known = ["auto", *self.hair_styles.config.names, "none"]
        if hair not in known:
            raise InvalidInputError(f"There is no hair '{hair}': use one of {', '.join(known)}.")
        if not re.fullmatch("auto|#[0-9a-fA-F]{6}", hair_color):
            raise InvalidInputError(
                f"hair_color is auto or a color such as #3b2616 (red, green, blue), not {hair_color!r}."
            )
        if shapes not in SHAPES:
            raise InvalidInputError(f"There are no shapes '{shapes}': use {' or '.join(SHAPES)}.")
        if rig not in RIGS:
            raise InvalidInputError(f"There is no rig '{rig}': use {' or '.join(RIGS)}.")
        if capture is not None:
            phone_texture, seen = capture.rgb, capture.seen
        if phone_texture is not None:
            _check_texture(phone_texture, seen, output_size)
        if not is_flow_matching(self.scheduler):
            raise InvalidInputError(
                f"{type(self.scheduler).__name__} does not do flow matching as this pipeline needs it: use "
                f"{' or '.join(FLOW_SCHEDULERS)}, or {' or '.join(SET_TO_FLOW)} with use_flow_sigmas=True and "
                'prediction_type="flow_prediction", without noise of its own.'
            )

    def capture(self, video, images, size, progress):
        """Video or photos → `PhoneTexture`. Needs the installed package (MediaPipe and PyAV)."""
        try:
            module = importlib.import_module("studio_avatar.capture")
        except ImportError as error:
            raise MissingDependencyError(
                "Capturing from video or photos needs the studio-avatar package (pip install studio-avatar); "
                "without it, pass phone_texture and seen."
            ) from error
        source = video if video is not None else images
        networks = {"registrar": self.registrar, "hair_segmenter": self.hair_segmenter}
        return module.capture(source, self.head, size=size, progress=progress, **networks)

    def uncovered(self, rgb, seen):
        """(seen, cover), (1, 1, H, W) each: the confidence mask of the person alone, and what lies in front."""
        cover = find_cover(rgb, seen, self.cover_network).to(seen)
        return seen * (1 - cover), cover

    def invert(self, rgb, seen, num_steps, progress):
        """Phone texture (1, 3, H, W) in [-1, 1] and seen (1, 1, H, W) → `Inversion` at the generators' resolution."""
        rgb, seen = shrink_observed(rgb, seen, self.base_resolution)
        return invert(
            rgb,
            seen,
            self.encoder,
            self.phone_generator,
            num_steps=num_steps,
            callback=lambda step, total: progress("invert", step / total),
        )

    def seen_by_tone(self, rgb, seen, cover):
        """(rgb, seen) at the base's resolution without rims of glasses, what is wide among `cover`, and a forehead under a
        cap; arguments as in `tone`."""
        cover = without_specks(cover.to(seen), self.base_resolution)
        rgb, bare = shrink_observed(rgb, seen * (1 - cover), self.base_resolution)
        seen, cover = (F.adaptive_avg_pool2d(part, self.base_resolution) for part in (seen, cover))
        return bridged(rgb, bare, seen), without_forehead(seen, cover) * (1 - wide(cover))

    def tone(self, rgb, seen, cover, skin_tone, scene=None):
        """`SkinTone` of the person in a phone texture (1, 3, H, W), and the tone the texture shows; see `__call__`.

        seen: (1, 1, H, W) with what lies in front of the skin. cover: as from `uncovered`; it has no say.
        """
        rgb, seen = self.seen_by_tone(rgb, seen, cover)
        vector = None if scene is None else torch.from_numpy(scene.vector)[None].to(rgb)
        lab, std = self.tone_estimator.estimate(rgb, seen, vector)
        if scene is not None and scene.doubt:
            std = torch.maximum(std, torch.tensor(DOUBTFUL_STD, device=std.device))
        if skin_tone is not None:
            lab, std = tone_of_ita(lab[0].cpu(), skin_tone)[None], torch.zeros_like(std)
        shown = measure_tone(rgb.float(), self.tone_estimator.tone_weight * seen.float())
        return SkinTone(tuple(lab[0].tolist()), tuple(std[0].tolist())), SkinTone(tuple(shown[0].tolist()))

    def generate(self, inversion):
        """The studio generator's picture of an `Inversion`: (1, 3, R, R) float32 in [-1, 1]."""
        code = torch.lerp(inversion.encoded, inversion.w_plus, REFINED_SHARE)
        return self.studio_generator.synthesize(code, noise_mode="const").clamp(-1, 1).float()

    def relight(self, base, rgb, seen, tone):
        """The phone texture in studio light and in the person's `SkinTone`, with what it lacks from the base → `Relit`."""
        lab = torch.tensor([tone.lab], device=base.device)
        masks = self.tone_estimator.tone_weight.to(base.device), self.tone_estimator.skin.to(base.device)
        textures = base.float(), rgb.float(), seen.float()
        return relight(*textures, lab, self.relight_network, *masks, both_ways=True)

    def in_tone(self, base, tone):
        """The studio generator's picture in the person's `SkinTone`."""
        lab = torch.tensor([tone.lab], device=base.device)
        return set_tone(
            base, self.tone_estimator.tone_weight.to(base), lab, self.tone_estimator.skin.to(base)
        )

    def build_avatar(self, capture, texture, hair="none", shapes=SHAPES[0], rig=RIGS[0], hair_color="auto"):
        """Capture and studio texture (H, W, 3) in [0, 1] → `Avatar`, eyes and mouth painted, with hair; needs the package.

        Other `hair`, `hair_color`, `shapes` or `rig` need neither a new capture nor a new texture.
        """
        avatar = importlib.import_module("studio_avatar.avatar")
        return avatar.build_avatar(
            self.head, capture, texture, self.hair_styles, hair, shapes, rig, hair_color
        )

    @torch.no_grad()
    def __call__(
        self,
        video=None,
        images=None,
        capture=None,
        phone_texture=None,
        seen=None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        num_inversion_steps: int = 30,
        num_inference_steps: int = 4,
        gradient_guidance_scale: float = 0.0,
        skin_tone: float | None = None,
        hair: str = "auto",
        shapes: str = SHAPES[0],
        rig: str = RIGS[0],
        hair_color: str = "auto",
        output_size: int | None = None,
        scene=None,
        inversion=None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs: list[str] = ("sample",),
        progress_callback=None,
        preview_callback=None,
    ):
        """Makes the studio texture and, from a capture, the avatar.

        Args:
            video: path of a selfie video, or what `studio_avatar.capture.find_person` found in video or photos.
            images: list of paths, PIL images or uint8 arrays of one person.
            capture: instead of these, a finished `PhoneTexture` of `output_size`, from `studio_avatar.capture.capture`.
            phone_texture, seen: instead of a capture, a finished `head-v1` texture and its confidence mask, both of
                `output_size`: PIL images ("RGB" and "L"), or float arrays (H, W, 3) sRGB and (H, W) in [0, 1].
            seed, generator: fix the upscaler's noise (`generator` wins); the same seed gives the same bytes.
            num_inversion_steps: optimiser steps after the encoder; more is closer to the person, and slower.
            num_inference_steps: steps of the diffusion upscaler.
            gradient_guidance_scale: pull of the phone's image gradients at sampling, 0 to 1.
            skin_tone: individual typology angle of the skin in degrees, −60 (dark) to 65 (light), where the user knows
                better than the estimate.
            hair: "auto" for the style that agrees best with the hair in the frames, the name of a style, or "none".
            hair_color: "auto", that of the hair in the frames, or "#rrggbb" (sRGB).
            shapes: expressions of the avatar: "arkit" (52) or "arkit+oculus" (with visemes, 72).
            rig: "mixamo" for bones in the avatar's GLB, or "none".
            output_size: side of the texture in texels; None: that of the given phone texture or capture, else 1024.
            scene: `SceneStatistics` of the frames that a given phone texture was made of, or None; captures have one.
            inversion: that of an earlier output for the same capture, such as to change the skin tone alone; the optimiser's
                steps are not done again then.
            output_type: "pil" or "np".
            callback_on_step_end: `f(pipe, step, timestep, {"sample": …}) -> dict`, after every upscaler step.
            progress_callback: `f(stage, fraction)` with stages capture:…, invert, studio, relight, upscale, avatar.
            preview_callback: `f(name, texture)` as soon as "phone_texture", "base" and "relit" exist: float32 (H, W, 3).

        Returns:
            `StudioTextureOutput`, or a tuple of its fields.

        Raises:
            InvalidInputError: an argument cannot work. CaptureError: the video or photos cannot become a texture.
        """
        # 1. Check what was asked for.
        phone_texture, seen = from_pil(phone_texture), from_pil(seen)
        if output_size is None:
            given = capture.rgb if capture is not None else phone_texture
            output_size = DEFAULT_SIZE if given is None else len(given)
        self.check_inputs(
            video, images, capture, phone_texture, seen, output_size,
            num_inference_steps, num_inversion_steps, gradient_guidance_scale, skin_tone, hair, shapes, rig, hair_color,
        )  # fmt: skip
        progress = progress_callback or (lambda stage, fraction: None)
        preview = preview_callback or (lambda name, texture: None)
        device, timings = self._execution_device, {}
        if generator is None and seed is not None:
            generator = torch.Generator().manual_seed(seed)

        # 2. Capture: video or photos → phone texture.
        with _timed(timings, "capture"):
            if capture is None and phone_texture is None:
                capture = self.capture(video, images, output_size, progress)
            if capture is not None:
                phone_texture, seen, scene = capture.rgb, capture.seen, capture.scene
        preview("phone_texture", np.asarray(phone_texture))
        rgb = to_tensor(np.asarray(phone_texture)).to(device, self.unet.dtype)
        visible = torch.from_numpy(np.asarray(seen, dtype=np.float32))[None, None].to(device, self.unet.dtype)

        # 3. What lies in front of the skin counts as unseen.
        mask, cover = self.uncovered(rgb, visible)

        # 4. Invert: phone texture → W+ of the phone generator.
        if inversion is not None:
            inversion = inversion.to(device)
        else:
            with _timed(timings, "invert"):
                progress("invert", 0.0)
                inversion = self.invert(rgb, mask, num_inversion_steps, progress)

        # 5. Studio base: the W+ code through the studio generator.
        with _timed(timings, "studio"):
            progress("studio", 0.0)
            tone, phone_tone = self.tone(rgb, visible, cover, skin_tone, scene)
            base = self.in_tone(self.generate(inversion), tone)
            preview("base", to_array(base))
            progress("studio", 1.0)

        # 6. Relight: the person's own texture in the light of the base.
        with _timed(timings, "relight"):
            progress("relight", 0.0)
            relit = self.relight(base, rgb, mask, tone)
            preview("relit", to_array(relit.texture))
            progress("relight", 1.0)

        # 7. Upscale, guided by the phone's image gradients.
        with _timed(timings, "upscale"), self.progress_bar(total=num_inference_steps) as bar:
            progress("upscale", 0.0)

            def on_step(step, total, sample):
                bar.update()
                progress("upscale", step / total)
                if callback_on_step_end is None:
                    return sample
                kwargs = {"sample": sample} if "sample" in callback_on_step_end_tensor_inputs else {}
                answer = callback_on_step_end(self, step - 1, self.scheduler.timesteps[step - 1], kwargs)
                return (answer or {}).get("sample", sample)

            texture = upscale(
                relit.texture.to(rgb.dtype), rgb, relit.keep.to(rgb.dtype), self.unet, self.scheduler,
                num_inference_steps, gradient_guidance_scale, generator, on_step,
            )  # fmt: skip
        texture = to_array(texture)

        # 8. Avatar: the person's head wearing the texture.
        avatar = None
        with _timed(timings, "avatar"):
            if capture is not None:
                progress("avatar", 0.0)
                avatar = self.build_avatar(capture, texture, hair, shapes, rig, hair_color)
                progress("avatar", 1.0)

        # 9. Return.
        self.maybe_free_model_hooks()
        convert = to_pil if output_type == "pil" else (lambda array: array)
        output = StudioTextureOutput(
            texture=convert(texture),
            base=convert(to_array(base)),
            relit=convert(to_array(relit.texture)),
            keep=relit.keep[0, 0].cpu().numpy(),
            gain=relit.gain[0].permute(1, 2, 0).cpu().numpy(),
            repair=convert(to_array(relit.repair)),
            reconstruction=convert(to_array(inversion.reconstruction)),
            phone_texture=convert(np.asarray(phone_texture, dtype=np.float32)),
            latents=inversion.w_plus[0].float().cpu().numpy(),
            inversion=inversion,
            skin_tone=tone,
            phone_skin_tone=phone_tone,
            cover=cover[0, 0].float().cpu().numpy(),
            provenance=mask[0, 0].float().cpu().numpy(),
            capture=capture,
            avatar=avatar,
            timings=timings,
        )
        return output if return_dict else tuple(output.values())


def _require_accelerator(device):
    """device: where the networks are to work, or None for what is found."""
    if torch.device(device or get_device()).type == "cpu":
        raise InvalidInputError(
            "Offloading needs an accelerator, and there is none here: call the pipeline as it is, it works on the CPU."
        )


@torch.no_grad()
def _realign(network):
    """Copies loaded tensors out of the file's memory map: where they lie unaligned, CPU kernels round differently."""
    for tensor in [*network.parameters(), *network.buffers()]:
        tensor.data = tensor.data.clone()
    return network


def _check_texture(phone_texture, seen, output_size):
    texture, mask = np.asarray(phone_texture), np.asarray(seen)
    if texture.shape != (output_size, output_size, 3) or mask.shape != (output_size, output_size):
        raise InvalidInputError(
            f"phone_texture must have shape ({output_size}, {output_size}, 3) and seen ({output_size}, {output_size}), "
            f"not {texture.shape} and {mask.shape}; set output_size to their size or resample them."
        )
    for name, values in (("phone_texture", texture), ("seen", mask)):
        if not np.issubdtype(values.dtype, np.floating):
            raise InvalidInputError(f"{name} must be floating point in [0, 1], not {values.dtype}.")
        if not np.isfinite(values).all() or values.min() < 0.0 or values.max() > 1.0:
            raise InvalidInputError(f"{name} must be finite and lie in [0, 1].")
    if not (mask > 0).any():
        raise InvalidInputError("seen is zero everywhere: there is nothing to go by.")


@contextlib.contextmanager
def _timed(timings, stage):
    start = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - start
