"""The two comparisons: W+ inversion against linear models, and studio textures against the baselines.

Both take plain arrays and callables, so that any other method can be put in the place of ours.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from . import baselines, metrics
from .identity import kernel_distance
from .report import Column, Table

PCA_COMPONENTS = (20, 60, 150)
SEEN = 0.5  # of a texel's `seen` value: below it a texel counts as unseen where a mask is needed

# ITA bands of Chardon et al. 1991, joined in pairs as the held-out subjects are few; lower bound in degrees
TONE_BANDS = (("light", 41.0), ("intermediate or tan", 10.0), ("brown or dark", -90.0))

RECONSTRUCTION_COLUMNS = (
    Column("psnr", "PSNR [dB]", 2, "higher"),
    Column("psnr_well_seen", f"PSNR, seen ≥ {SEEN} [dB]", 2, "higher"),
    Column("ssim", "SSIM", 3, "higher"),
    Column("delta_e", "ΔE2000", 2, "lower"),
    Column("seconds", "seconds", 2),
)
STUDIO_COLUMNS = (
    Column("delta_e", "skin ΔE2000", 2, "lower"),
    Column("delta_e_completed", "ΔE2000, unseen skin", 2, "lower"),
    Column("psnr", "PSNR [dB]", 2, "higher"),
    Column("ssim", "SSIM", 3, "higher"),
    Column("ssim_completed", "SSIM, unseen skin", 3, "higher"),
    Column("ita_error", "ITA error [°]", 1, "lower"),
    Column("bs_error", "BS Error", 2, "lower"),
    Column("gradient_correlation", "gradient correlation", 3),
    Column("identity_distance", "identity distance", 3, "lower"),
    Column("kid", "KID × 1000", 2, "lower"),
    Column("seconds", "seconds", 2),
)
LIKENESS_COLUMNS = (
    Column("identity_distance", "identity distance", 3),
    Column("kid", "KID × 1000", 2, "lower"),
)
FACE_COLUMNS = ("identity_distance", "kid")  # need a face recognizer
STUDIO_CAPTION = (
    "Skin is the face and the ears without lips and brows; a texel is seen when its `seen` value is at least "
    f"{SEEN}. All columns are about seen skin, but *unseen skin*, the rest, which every method makes up. "
    "BS Error: where the mirrored texel was seen too. ITA error: absolute, of the mean skin colour. Gradient "
    "correlation: with the phone texture, which has the person's own detail, and its noise. Identity distance: "
    "between dlib's descriptors of the faces rendered with this and with the true texture (one person below about 0.6 in "
    "photos; training uses another network). KID: kernel distance of those descriptors to the training subjects' faces. "
    "Seconds: the whole method."
)


@dataclass(frozen=True)
class PhoneTextures:
    """Partly observed textures: `rgb` (N, H, W, 3) sRGB, `seen` (N, H, W), both float32 in [0, 1]."""

    rgb: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True)
class StudioPair:
    """A capture with a known answer.

    Attributes:
        subject: whose studio texture; one subject has several captures under different light.
        rgb: (H, W, 3) float32 phone texture, sRGB in [0, 1]; seen: (H, W) float32 in [0, 1].
        truth: (H, W, 3) float32 studio texture, sRGB in [0, 1].
        scene: what the capture's frames say about the light (`.vector`, `.doubt`), or None.
        registered: (H, W, 3), the truth where the capture's registration puts it, or None.
        light: what lit it: "rooms" as in training, "unseen" panoramas and camera, or these "two stops under".
    """

    subject: str
    rgb: np.ndarray
    seen: np.ndarray
    truth: np.ndarray
    scene: object | None = None
    registered: np.ndarray | None = None
    light: str = "rooms"

    def averaged(self, size: int) -> "StudioPair":
        """The same at fewer texels, of which the seen ones make the phone texture's colors."""
        weight = _averaged(self.seen, size)
        rgb = _averaged(self.rgb * self.seen[..., None], size) / np.maximum(weight, 1e-6)[..., None]
        rgb = np.where(weight[..., None] > 1e-3, rgb, _averaged(self.rgb, size))
        return replace(self, rgb=rgb, seen=weight, truth=_averaged(self.truth, size), registered=None)


def _averaged(values: np.ndarray, size: int) -> np.ndarray:
    """(H, W[, C]) → float32 (size, size[, C]) by area."""
    step = len(values) // size
    return (
        values.astype(np.float32)
        .reshape(size, step, size, step, -1)
        .mean((1, 3))
        .reshape(size, size, *values.shape[2:])
    )


def reconstruction_table(
    train: PhoneTextures,
    held_out: PhoneTextures,
    inverters: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]],
    components: Iterable[int] = PCA_COMPONENTS,
) -> Table:
    """W+ inversion of unknown people against PCA of the same training textures and their mirror images.

    Args:
        inverters: name → function of (rgb (H, W, 3), seen (H, W)) that returns the reconstruction (H, W, 3).
    """
    counts = tuple(min(count, 2 * len(train.rgb) - 1) for count in components)
    model = baselines.LinearTextureModel.fit(*_with_mirrors(train), max(counts))
    methods = {"mean phone texture": lambda rgb, seen: model.mean.reshape(rgb.shape)}
    methods |= {f"PCA-{count}": model.truncated(count).reconstruct for count in counts}
    table = Table(
        "Phone-texture reconstruction inside the seen mask",
        f"{len(held_out.rgb)} held-out portraits, {held_out.rgb.shape[1]}² texels; every texel counts by "
        "its `seen` weight (second column: all or nothing). "
        f"PCA: {len(train.rgb)} training portraits and their mirror images, holes filled by the model itself; "
        "fitted to each portrait by least squares with the same weights and next to no regularisation, which "
        "favours it.",
        RECONSTRUCTION_COLUMNS,
    )
    for method, reconstruct in (methods | inverters).items():
        for rgb, seen in zip(held_out.rgb, held_out.seen, strict=True):
            started = time.perf_counter()
            result = reconstruct(rgb, seen)
            seconds = time.perf_counter() - started
            table.add(method, reconstruction_scores(result, rgb, seen) | {"seconds": seconds})
    return table


def reconstruction_scores(result: np.ndarray, rgb: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """All columns but the time, for one reconstruction (H, W, 3) of a phone texture."""
    return {
        "psnr": metrics.psnr(result, rgb, seen),
        "psnr_well_seen": metrics.psnr(result, rgb, seen >= SEEN),
        "ssim": metrics.ssim(result, rgb, seen),
        "delta_e": metrics.skin_delta_e(result, rgb, seen),
    }


def _with_mirrors(textures: PhoneTextures) -> tuple[np.ndarray, np.ndarray]:
    """head-v1 is symmetric, so a mirrored texture is another person's texture."""
    rgb = np.concatenate([textures.rgb, textures.rgb[:, :, ::-1]])
    return rgb, np.concatenate([textures.seen, textures.seen[:, :, ::-1]])


def studio_methods(
    studio_mean: np.ndarray, ours: Callable[["StudioPair"], dict[str, np.ndarray]]
) -> list[Callable[["StudioPair"], dict[str, np.ndarray]]]:
    """All methods as functions of a `StudioPair` that return {row name: texture}; the baselines first.

    Args:
        studio_mean: (H, W, 3) mean of the training subjects' studio textures.
        ours: the pipeline; one call gives several rows (base and final texture).
    """
    return [
        lambda pair: {"raw phone texture": pair.rgb},
        lambda pair: {"mean studio texture": studio_mean},
        lambda pair: {
            "gray-world + histogram match": baselines.gray_world_histogram_match(
                pair.rgb, pair.seen, studio_mean
            )
        },
        lambda pair: {
            "mirror fill + blur-divide": baselines.mirror_fill_blur_divide(pair.rgb, pair.seen, studio_mean)
        },
        ours,
    ]


def studio_table(
    pairs: list[StudioPair],
    skin: np.ndarray,
    methods: list[Callable],
    embed: Callable[[np.ndarray], np.ndarray] | None = None,
    studio_faces: np.ndarray | None = None,
    title: str = "Studio texture of held-out subjects under simulated light",
    size: int | None = None,
    observe: Callable[[StudioPair, str, np.ndarray], None] | None = None,
) -> Table:
    """Each method's texture against the known studio texture.

    Args:
        skin: (H, W) bool, face and ears of the head.
        methods: functions of a `StudioPair` → {row name: texture}, as from `studio_methods`, (size, size, 3).
        embed: texture (H, W, 3) → face descriptor (D,); None leaves the columns out that need it.
        studio_faces: (N, D) descriptors of the studio set, for the kernel distance.
        size: texels at which textures are compared, a divisor of the pairs' size, which it is by default.
        observe: called with each pair, row name and texture.
    """
    subjects = {pair.subject for pair in pairs}
    size = size or len(skin)
    table = Table(
        title,
        f"{len(subjects)} subjects never trained on, {len(pairs)} simulated captures, {size}² texels. "
        + STUDIO_CAPTION,
        tuple(c for c in STUDIO_COLUMNS if embed is not None or c.key not in FACE_COLUMNS),
    )
    faces: dict[str, list[np.ndarray]] = {}
    skin = _averaged(skin, size) > 0.5
    for pair in pairs:
        answer = pair.averaged(size)
        true_face = None if embed is None else embed(pair.truth)
        for method in methods:
            started = time.perf_counter()
            textures = method(pair)
            seconds = time.perf_counter() - started
            for name, texture in textures.items():
                small = texture if len(texture) == size else _averaged(texture, size)
                values = studio_scores(small, answer, skin) | {"seconds": seconds}
                if embed is not None:
                    face = embed(texture)
                    faces.setdefault(name, []).append(face)
                    values["identity_distance"] = float(np.linalg.norm(face - true_face))
                table.add(name, values)
                if observe is not None:
                    observe(pair, name, texture)
    _add_kernel_distances(table, faces, studio_faces)
    return table


def likeness_table(
    portraits: PhoneTextures,
    pictures: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]],
    embed: Callable[[np.ndarray], np.ndarray],
    studio_faces: np.ndarray,
) -> Table:
    """Real people through several studio generators, by the two figures of the paper's ablation.

    Args:
        pictures: (rgb, seen) → {row name: texture}, the phone generator's picture of the code first.
        embed: texture (H, W, 3) → face descriptor (D,). studio_faces: (N, D) descriptors of the studio set.
    """
    table = Table(
        "Studio generators by their training, on held-out portraits",
        f"{len(portraits.rgb)} people, {portraits.rgb.shape[1]}² texels, the refined W+ code as it is. Identity distance: "
        "between dlib's descriptors of the faces rendered with the studio and with the phone generator's picture of the "
        "same code, which shows the phone's light. KID as above.",
        LIKENESS_COLUMNS,
    )
    faces: dict[str, list[np.ndarray]] = {}
    for rgb, seen in zip(portraits.rgb, portraits.seen, strict=True):
        found = {name: embed(texture) for name, texture in pictures(rgb, seen).items()}
        phone = next(iter(found.values()))
        for name, face in found.items():
            faces.setdefault(name, []).append(face)
            table.add(name, {"identity_distance": float(np.linalg.norm(face - phone))})
    _add_kernel_distances(table, faces, studio_faces)
    return table


def _add_kernel_distances(table: Table, faces: dict[str, list[np.ndarray]], studio_faces: np.ndarray) -> None:
    """The column `kid` of every row with at least two faces; `faces`: row name → descriptors (D,)."""
    for name, descriptors in faces.items():
        if len(descriptors) > 1:
            table.add(name, {"kid": 1000 * kernel_distance(np.array(descriptors), studio_faces)})


def studio_scores(texture: np.ndarray, pair: StudioPair, skin: np.ndarray) -> dict[str, float]:
    """All columns on color and light, for one texture (H, W, 3) of a `pair`."""
    seen = skin & (pair.seen >= SEEN)
    return {
        "delta_e": metrics.skin_delta_e(texture, pair.truth, seen),
        "delta_e_completed": metrics.skin_delta_e(texture, pair.truth, skin & ~seen),
        "psnr": metrics.psnr(texture, pair.truth, seen),
        "ssim": metrics.ssim(texture, pair.truth, seen),
        "ssim_completed": metrics.ssim(texture, pair.truth, skin & ~seen),
        "ita_error": abs(metrics.skin_ita(texture, seen) - metrics.skin_ita(pair.truth, seen)),
        "bs_error": metrics.bs_error(texture, seen),
        "gradient_correlation": metrics.gradient_correlation(texture, pair.rgb, seen),
    }


def detail_table(
    pairs: list[StudioPair],
    surface: np.ndarray,
    methods: list[Callable],
    perceptual: Callable[[np.ndarray, np.ndarray, np.ndarray], float] | None = None,
) -> Table:
    """Detail against the true texture as the capture registers it: its own registration is the capture's affair.

    Args:
        surface: (H, W) bool, skin, brows and lips.
        perceptual: (texture, truth, mask) → distance, such as `NearLPIPS`; None leaves its column out.
    """
    pairs = [pair for pair in pairs if pair.registered is not None]
    columns = [
        *([Column("near_lpips", "near-LPIPS", 3, "lower")] if perceptual else []),
        Column("ssim", "SSIM", 3, "higher"),
        Column("correlation", "gradient correlation", 3, "higher"),
        *(Column(f"octave_{n}", f"energy, {n}–{2 * n} texels") for n in metrics.OCTAVES),
        *(Column(f"octave_{n}_median", f"{n}–{2 * n}, median", of_all="median") for n in metrics.OCTAVES),
    ]
    table = Table(
        "Detail, against the truth where the capture's registration puts it",
        f"{len(pairs)} captures, {len(surface)}² texels; seen skin, brows and lips. Energy: of the band of sizes over the "
        "truth's, 1 is right; two of the skins are smoother than any camera's noise and make the means. Correlation: of the "
        "image gradients. near-LPIPS: by a VGG16 that learnt edges after ImageNet; figures for these methods only.",
        tuple(columns),
    )
    for pair in pairs:
        seen = surface & (pair.seen >= SEEN)
        for method in methods:
            for name, texture in method(pair).items():
                values = {
                    "ssim": metrics.ssim(texture, pair.registered, seen),
                    "correlation": metrics.gradient_correlation(texture, pair.registered, seen),
                }
                if perceptual:
                    values["near_lpips"] = perceptual(texture, pair.registered, seen)
                energies = metrics.octave_energy(texture, seen), metrics.octave_energy(pair.registered, seen)
                for n, energy, truth in zip(metrics.OCTAVES, *energies, strict=True):
                    values |= {f"octave_{n}": energy / truth, f"octave_{n}_median": energy / truth}
                table.add(name, values)
    return table


def light_table(
    pairs: list[StudioPair], estimate: Callable[[StudioPair], tuple[float, float, float]]
) -> Table:
    """Errors of the estimated typology angle by light and by tone of the true skin.

    estimate: pair → (estimated angle, true angle, error of L* over its standard deviation).
    """
    columns = [Column("error", "ITA error [°]", 1, "lower")]
    columns += [Column(f"error_{band}", f"{band}", 1, "lower") for band, _ in TONE_BANDS]
    columns += [
        Column("signed_brown or dark", "signed, brown or dark", 1),
        Column("within", "within one σ", 2),
    ]
    table = Table(
        "Skin tone by light",
        "Mean absolute error of the individual typology angle of the upper face's skin, then by tone of the true skin, the "
        "signed error of brown and dark skin (positive: too light), and the share of true L* within one standard deviation. "
        "Rooms: the light of the capture simulator; unseen: photographed panoramas and a tone curve that no training had.",
        tuple(columns),
    )
    for pair in pairs:
        angle, truth, deviation = estimate(pair)
        band = next(name for name, low in TONE_BANDS if truth >= low)
        values = {
            "error": abs(angle - truth),
            f"error_{band}": abs(angle - truth),
            "within": float(abs(deviation) <= 1),
        }
        if band == "brown or dark":
            values["signed_brown or dark"] = angle - truth
        table.add(pair.light, values)
    return table


def tone_table(table: Table, pairs: list[StudioPair], skin: np.ndarray) -> Table:
    """Skin ΔE2000 and ITA error of `studio_table`'s rows, split by the ITA of the true skin."""
    angles = [metrics.skin_ita(pair.truth, skin) for pair in pairs]
    bands = [next(name for name, low in TONE_BANDS if angle >= low) for angle in angles]
    present = [name for name, _ in TONE_BANDS if name in bands]
    columns = [
        Column(f"{key}, {band}", f"{heading}, {band} ({bands.count(band)})", decimals, "lower")
        for key, heading, decimals in (("delta_e", "ΔE2000", 2), ("ita_error", "ITA error [°]", 1))
        for band in present
    ]
    split = Table(
        "By skin tone",
        "The table above by the tone of the true skin: light (ITA ≥ 41°), intermediate or tan (10° to 41°), "
        "brown or dark (below 10°); in brackets the number of captures.",
        tuple(columns),
    )
    for method, values in table.rows.items():
        for index, band in enumerate(bands):
            split.add(method, {f"{key}, {band}": values[key][index] for key in ("delta_e", "ita_error")})
    return split
