"""Baselines: what a studio texture is worth without any network.

Textures are numpy (H, W, 3) floats, sRGB-encoded in [0, 1]; `seen` is (H, W), above 0 where the phone saw the
texel. All complete textures come from the same two things: the phone texture and the mean studio texture.
"""

from dataclasses import dataclass

import numpy as np

from studio_avatar.imaging.color import linear_to_srgb, srgb_to_linear

from .metrics import LUMA, masked_blur, masked_mean

QUANTILES = np.linspace(0, 1, 257)
SHADING_SIGMA = 0.08  # of the texture's width: wider than a cheek's shadow edge, narrower than the face
MIN_SHADING = 1e-3


def fill_unseen(rgb: np.ndarray, seen: np.ndarray, filler: np.ndarray) -> np.ndarray:
    """`rgb` where seen, `filler` elsewhere."""
    return np.where((seen > 0)[..., None], rgb, filler)


def gray_world_histogram_match(rgb: np.ndarray, seen: np.ndarray, studio_mean: np.ndarray) -> np.ndarray:
    """Gray-world white balance, then each channel's histogram matched to the mean studio texture's.

    Both histograms are of the seen texels; unseen texels are the mean studio texture's.
    """
    inside = seen > 0
    linear = srgb_to_linear(rgb)
    means = np.array([masked_mean(linear[..., channel], inside) for channel in range(3)])
    balanced = linear_to_srgb(np.clip(linear * means.mean() / np.maximum(means, 1e-6), 0, 1))
    matched = np.empty_like(balanced)
    for channel in range(3):
        source = np.quantile(balanced[inside, channel], QUANTILES)
        target = np.quantile(studio_mean[inside, channel], QUANTILES)
        matched[..., channel] = np.interp(balanced[..., channel], source, target)
    return fill_unseen(matched, seen, studio_mean)


def mirror_fill_blur_divide(rgb: np.ndarray, seen: np.ndarray, studio_mean: np.ndarray) -> np.ndarray:
    """Holes filled from the other half of the face, then the shading, a wide blur of luma, divided away.

    The person's own mean brightness is kept. Texels seen on neither side are the mean studio texture's.
    """
    inside = seen > 0
    either = inside | inside[:, ::-1]
    linear = srgb_to_linear(fill_unseen(rgb, seen, rgb[:, ::-1]))
    luma = linear @ LUMA
    sigma = SHADING_SIGMA * rgb.shape[1]
    shading = np.maximum(masked_blur(luma, either, sigma, round(3 * sigma)), MIN_SHADING)
    even = linear * (masked_mean(luma, either) / shading)[..., None]
    return fill_unseen(linear_to_srgb(np.clip(even, 0, 1)), either, studio_mean)


@dataclass(frozen=True)
class LinearTextureModel:
    """PCA of partly observed textures: the linear floor of W+ inversion.

    Attributes:
        mean: (D,) float32 mean texture, D = H · W · 3, sRGB in [0, 1].
        basis: (K, D) float32 orthonormal components, strongest first.
        variance: (K,) variance of the training textures along each component.
    """

    mean: np.ndarray
    basis: np.ndarray
    variance: np.ndarray

    @classmethod
    def fit(cls, textures: np.ndarray, seen: np.ndarray, components: int, fill_rounds: int = 10):
        """PCA of weighted texels by expectation-maximisation (Srebro and Jaakkola, ICML 2003).

        What was not seen starts as the mean texture; then, in turns, the model is fitted and its own
        reconstruction put there.

        Args:
            textures: (N, H, W, 3) float32 sRGB in [0, 1]. Add the mirror images yourself.
            seen: (N, H, W) weights in [0, 1]; 0 is a hole.
            components: K, at most N - 1.
            fill_rounds: how often the holes are filled again; each round costs one N × N eigenproblem.
        """
        observed = np.array(textures, np.float32).reshape(len(textures), -1)
        weight = np.repeat(np.asarray(seen, np.float32)[..., None], 3, axis=-1).reshape(observed.shape)
        mean = (weight * observed).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-6)
        data = mean + weight * (observed - mean)
        for _ in range(fill_rounds):
            model = cls._fit_complete(data, components)
            filler = model.mean + (data - model.mean) @ model.basis.T @ model.basis
            data = filler + weight * (observed - filler)
        return cls._fit_complete(data, components)

    @classmethod
    def _fit_complete(cls, data: np.ndarray, components: int):
        """PCA of (N, D) by the N × N Gram matrix, as N is far below D."""
        mean = data.mean(axis=0)
        centered = data - mean
        values, vectors = np.linalg.eigh((centered @ centered.T).astype(np.float64))
        values = np.maximum(values[::-1][:components], 1e-12)
        vectors = vectors[:, ::-1][:, :components]
        basis = ((vectors / np.sqrt(values)).T @ centered).astype(np.float32)
        return cls(mean, basis, values / len(data))

    def truncated(self, components: int) -> "LinearTextureModel":
        """The same model with the first `components` components."""
        return LinearTextureModel(self.mean, self.basis[:components], self.variance[:components])

    def reconstruct(self, rgb: np.ndarray, seen: np.ndarray, noise_variance: float = 1e-4) -> np.ndarray:
        """Complete texture from the seen texels, by weighted, regularised least squares on them alone.

        Minimizes Σ seen · |mean + c · basis - rgb|² + noise_variance · Σ c² / variance. A small noise
        variance favors this floor: fidelity is then measured on the texels that it was fitted to.

        Args:
            rgb: (H, W, 3) sRGB in [0, 1]; seen: (H, W) weights in [0, 1], texels at 0 are ignored.
        Returns:
            (H, W, 3) sRGB, clipped to [0, 1].
        """
        weight = np.repeat(np.sqrt(np.asarray(seen, np.float64)), 3)
        basis = self.basis * weight
        residual = (rgb.reshape(-1) - self.mean) * weight
        normal = basis @ basis.T + np.diag(noise_variance / self.variance)
        codes = np.linalg.solve(normal, basis @ residual)
        return np.clip(self.mean + codes @ self.basis, 0, 1).reshape(rgb.shape).astype(np.float32)
