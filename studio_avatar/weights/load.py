"""`StudioTexturePipeline.from_pretrained` for people who have this package: own classes, no remote code.

diffusers' own loader refuses a repository with remote code unless it is trusted; the package needs no such trust.
"""

import json
from pathlib import Path

import torch
from diffusers import UNet2DModel
from diffusers import schedulers as diffusers_schedulers

from studio_avatar.errors import InvalidInputError, WeightsError
from studio_avatar.head.hair_styles import HairStyles
from studio_avatar.head.model import HeadModel
from studio_avatar.models import (
    HairSegmenter,
    InversionEncoder,
    Registrar,
    RelightNetwork,
    StyleGAN2Generator,
    ToneEstimator,
)

from .checksums import INDEX_FILE, verify_folder
from .download import download_weights
from .variants import component_variants

CLASSES = {
    "cover_network": UNet2DModel,
    "phone_generator": StyleGAN2Generator,
    "studio_generator": StyleGAN2Generator,
    "encoder": InversionEncoder,
    "head": HeadModel,
    "hair_segmenter": HairSegmenter,
    "hair_styles": HairStyles,
    "registrar": Registrar,
    "tone_estimator": ToneEstimator,
    "relight_network": RelightNetwork,
    "unet": UNet2DModel,
}
# Arguments of diffusers' loader that change nothing here: no code is run, and everything is safetensors.
NEEDLESS = {"trust_remote_code", "use_safetensors", "low_cpu_mem_usage"}
DOWNLOAD_OPTIONS = {"revision", "cache_dir", "token", "local_files_only", "force_download"}


def load(cls, source, variant=None, dtype=None, torch_dtype=None, device_map=None, **options):
    """See `StudioTexturePipeline.from_pretrained`."""
    names = sorted(cls._get_signature_keys(cls)[0])
    given = {name: options.pop(name) for name in names if name in options}
    unknown = options.keys() - DOWNLOAD_OPTIONS - NEEDLESS
    if unknown:
        raise InvalidInputError(f"from_pretrained has no argument {sorted(unknown)[0]!r}: remove it.")
    folder = Path(source)
    if not folder.is_dir():
        download = {name: value for name, value in options.items() if name in DOWNLOAD_OPTIONS}
        folder = download_weights(str(source), variant=variant, **download)
    else:
        verify_folder(folder, [name for name in names if name not in given], variant)
    index = _read_index(folder, [name for name in names if name not in given])
    variants = component_variants(_weight_paths(folder), variant)
    parts = {
        name: _load_component(folder, name, index[name], variants.get(name), dtype or torch_dtype)
        for name in names
        if name not in given
    }
    pipeline = cls(**parts, **given)
    return pipeline if device_map is None else pipeline.to(_device(device_map))


def _device(device_map) -> torch.device:
    """The one device of a `device_map`: this pipeline is too small to be spread over several."""
    try:
        return torch.device(device_map)
    except (RuntimeError, TypeError) as error:
        raise InvalidInputError(
            f"device_map must be one device such as 'cuda' or 'cpu', not {device_map!r}."
        ) from error


def _read_index(folder: Path, names: list[str]) -> dict[str, str]:
    """Component → name of its class, of those in `names`.

    Raises:
        WeightsError: the index is missing or is none, or lacks a component.
    """
    try:
        index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"'{folder}' has no readable {INDEX_FILE}: give a folder of weights.") from error
    if not isinstance(index, dict):
        raise WeightsError(f"{INDEX_FILE} of '{folder}' is no index: download or export the weights again.")
    missing = [name for name in names if name not in index or not (folder / name).is_dir()]
    if missing:
        raise WeightsError(f"'{folder}' lacks {', '.join(missing)}: download or export the weights again.")
    return {name: _class_name(folder, name, index[name]) for name in names}


def _class_name(folder: Path, component: str, entry) -> str:
    """The class that the index names for a component: the second of two words."""
    named = isinstance(entry, list) and len(entry) == 2 and all(isinstance(word, str) for word in entry)
    expected = CLASSES[component].__name__ if component in CLASSES else None
    if not named or expected not in (None, entry[1]):
        raise WeightsError(
            f"{INDEX_FILE} of '{folder}' says {json.dumps(entry)} of '{component}', not a library and "
            f"{expected or 'a class'}: download or export the weights again."
        )
    return entry[1]


def _weight_paths(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.glob("*/*.safetensors")]


def _load_component(folder: Path, name: str, class_name: str, variant: str | None, dtype: torch.dtype | None):
    try:
        if name == "scheduler":
            return getattr(diffusers_schedulers, class_name).from_pretrained(folder, subfolder=name)
        return CLASSES[name].from_pretrained(folder, subfolder=name, variant=variant, dtype=dtype)
    except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(f"The component '{name}' in '{folder}' cannot be loaded: {error}") from error
