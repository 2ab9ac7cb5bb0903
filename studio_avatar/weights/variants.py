"""Which weight file of a component is loaded: the variant's, or the plain one."""

from collections.abc import Iterable

from studio_avatar.errors import WeightsError

PLAIN_FILE = "diffusion_pytorch_model.safetensors"
# A repository without files of this variant stores its plain files so: float16 parameters, float32 buffers.
HALF_VARIANT = "fp16"


def variant_file(variant: str) -> str:
    """diffusers' name of a component's weight file in a variant such as "fp16"."""
    return PLAIN_FILE.replace(".safetensors", f".{variant}.safetensors")


def component_variants(files: Iterable[str], variant: str | None) -> dict[str, str | None]:
    """Component → the variant to load it in; None is the plain file.

    A component without a file of the variant takes the plain one.

    Args:
        files: the repository's files as POSIX paths, such as "unet/diffusion_pytorch_model.safetensors".
        variant: "fp16", or None for the plain files.
    Raises:
        WeightsError: no component has the variant, and it is not float16.
    """
    files = set(files)
    components = sorted({name.partition("/")[0] for name in files if name.endswith(".safetensors")})
    if variant is None:
        return dict.fromkeys(components)
    chosen = {name: variant if f"{name}/{variant_file(variant)}" in files else None for name in components}
    if variant != HALF_VARIANT and not any(chosen.values()):
        raise WeightsError(f"The weights have no variant '{variant}': use fp16, or none.")
    return chosen


def weight_files(files: Iterable[str], variant: str | None) -> list[str]:
    """Paths of the weight files that `component_variants` chooses."""
    chosen = component_variants(files, variant)
    return [f"{name}/{variant_file(own) if own else PLAIN_FILE}" for name, own in chosen.items()]
