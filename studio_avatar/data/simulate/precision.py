"""Which format products and convolutions of training and simulation are fastest in."""

import functools

import torch

BFLOAT16_UNITS = ("avx512_bf16", "amx_bf16")  # of CPUs: without them bfloat16 is slower than float32


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on CUDA and on CPUs that multiply in it, else float32."""
    is_fast = device.type == "cuda" or (device.type == "cpu" and _cpu_multiplies_bfloat16())
    return torch.bfloat16 if is_fast else torch.float32


@functools.cache
def _cpu_multiplies_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(unit, False) for unit in BFLOAT16_UNITS)
