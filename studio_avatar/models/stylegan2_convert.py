"""State dicts of `StyleGAN2Generator` to and from the official StyleGAN2-ADA key names (`G_ema`)."""

import re

RESAMPLE_KEY = "resample_filter"

# ours → official, tried in order; every pattern is anchored so that each key matches exactly one line
_TO_OFFICIAL = (
    (r"mapping\.layers\.(\d+)\.(weight|bias)", r"mapping.fc\1.\2"),
    (r"mapping\.w_avg", r"mapping.w_avg"),
    (r"blocks\.(\d+)\.const", r"synthesis.b\1.const"),
    (r"blocks\.(\d+)\.(conv[01]|torgb)\.conv\.affine\.(weight|bias)", r"synthesis.b\1.\2.affine.\3"),
    (r"blocks\.(\d+)\.(conv[01]|torgb)\.conv\.weight", r"synthesis.b\1.\2.weight"),
    (r"blocks\.(\d+)\.(conv[01]|torgb)\.(bias|noise_strength|noise_const)", r"synthesis.b\1.\2.\3"),
)
_FROM_OFFICIAL = (
    (r"mapping\.fc(\d+)\.(weight|bias)", r"mapping.layers.\1.\2"),
    (r"mapping\.w_avg", r"mapping.w_avg"),
    (r"synthesis\.b(\d+)\.const", r"blocks.\1.const"),
    (r"synthesis\.b(\d+)\.(conv[01]|torgb)\.affine\.(weight|bias)", r"blocks.\1.\2.conv.affine.\3"),
    (r"synthesis\.b(\d+)\.(conv[01]|torgb)\.weight", r"blocks.\1.\2.conv.weight"),
    (r"synthesis\.b(\d+)\.(conv[01]|torgb)\.(bias|noise_strength|noise_const)", r"blocks.\1.\2.\3"),
)


def _rename(key, rules):
    for pattern, replacement in rules:
        new_key, hits = re.subn(f"^{pattern}$", replacement, key)
        if hits:
            return new_key
    raise KeyError(f"'{key}' is no key of a StyleGAN2 generator (skip architecture).")


def to_official(state_dict):
    """Our generator's state dict under the official names, with the FIR filter repeated where official code has it."""
    official = {_rename(k, _TO_OFFICIAL): v for k, v in state_dict.items() if k != "kernel"}
    kernel = state_dict["kernel"]
    for key in state_dict:
        match = re.match(r"blocks\.(\d+)\.conv1\.bias$", key)
        if match:
            block = f"synthesis.b{match[1]}"
            official[f"{block}.{RESAMPLE_KEY}"] = kernel
            official[f"{block}.conv1.{RESAMPLE_KEY}"] = kernel
            if match[1] != "4":
                official[f"{block}.conv0.{RESAMPLE_KEY}"] = kernel
    return official


def from_official(state_dict):
    """An official `G_ema` state dict under our names. All its FIR filters must be equal (they are, by design)."""
    ours = {_rename(k, _FROM_OFFICIAL): v for k, v in state_dict.items() if not k.endswith(RESAMPLE_KEY)}
    kernels = [v for k, v in state_dict.items() if k.endswith(RESAMPLE_KEY)]
    if not kernels or any((k != kernels[0]).any() for k in kernels):
        raise ValueError("The state dict has no single resample filter: this is no StyleGAN2 skip generator.")
    return {**ours, "kernel": kernels[0]}
