"""The studio stage and its baseline, from tiny prepared sets to the networks that they write."""

import pytest
import torch
from diffusers import UNet2DModel
from helpers.prepared_sets import TINY_PHONE, write_prepared_sets
from helpers.tiny_weights import WEIGHTS
from safetensors.torch import save_file

from studio_avatar.models import InversionEncoder, StyleGAN2Generator
from studio_avatar.models.mobilefacenet import MobileFaceNet
from studio_avatar.training import losses
from studio_avatar.training.codes import encoder_codes
from studio_avatar.training.datasets import to_float, to_mask
from studio_avatar.training.pairs import load_pairs
from studio_avatar.training.stages.phone import main as train_phone
from studio_avatar.training.stages.plain_unet import main as train_plain_unet
from studio_avatar.training.stages.plain_unet import translate
from studio_avatar.training.stages.studio import main as train_studio

SETTINGS = (
    TINY_PHONE % 2
    + """
studio: {steps: %d, batch_size: 2, learning_rate: 2.0e-2, ema_decay: 0.5, discriminator_channels: [8, 8, 8, 8, 8],
         r1_interval: 2, preview_steps: 4, checkpoint_minutes: 0, warmup_steps: 1}
plain_unet: {steps: %d, batch_size: 2, resolution: 64, channels: [16, 32], learning_rate: 1.0e-2, ema_decay: 0.5,
             preview_steps: 4, warmup_steps: 1}
"""
)


@pytest.fixture
def data(tmp_path):
    return write_prepared_sets(tmp_path)


def arguments(data, run, steps, **inputs):
    config = data / "tiny.yaml"
    config.write_text(SETTINGS % (steps, steps))
    given = {"--data": data, "--run": data / run, "--config": config}
    given |= {f"--{name}": path for name, path in inputs.items()}
    return [str(part) for pair in given.items() for part in pair]


def test_the_studio_stage_learns_above_its_frozen_blocks(data):
    train_phone(arguments(data, "phone", 0))
    save_file(MobileFaceNet().state_dict(), data / "face.safetensors")
    inputs = {"phone": data / "phone", "identity": data / "face.safetensors", "head": WEIGHTS / "head"}
    train_studio(arguments(data, "studio", 8, **inputs))
    phone = StyleGAN2Generator.from_pretrained(data / "phone" / "phone_generator")
    studio = StyleGAN2Generator.from_pretrained(data / "studio" / "studio_generator")
    for (name, before), after in zip(phone.state_dict().items(), studio.state_dict().values(), strict=True):
        part, _, rest = name.partition(".")
        if part != "blocks" or int(rest.partition(".")[0]) <= 8:
            assert torch.equal(before, after), name
    pairs = load_pairs(data, 64)
    codes = encoder_codes(InversionEncoder.from_pretrained(data / "phone" / "encoder"), pairs)[::2]
    target = to_float(pairs.target)
    with torch.no_grad():
        errors = [
            losses.masked_l1(net.synthesize(codes, noise_mode="none"), target, torch.ones_like(target[:, :1]))
            for net in (phone, studio)
        ]
    assert errors[1] < 0.9 * errors[0]
    assert (data / "studio" / "preview_000007.png").is_file()


def test_the_plain_unet_learns_what_the_pairs_show(data):
    train_plain_unet(arguments(data, "unet", 12))
    unet = UNet2DModel.from_pretrained(data / "unet" / "plain_unet")
    pairs = load_pairs(data, 64, "validation")
    phone, seen, target = to_float(pairs.rgb), to_mask(pairs.seen), to_float(pairs.target)
    with torch.no_grad():
        picture = translate(unet, phone, seen)
    # Untrained, its picture is gray.
    error, start = (losses.masked_l1(one, target, seen) for one in (picture, torch.zeros_like(target)))
    assert picture.shape == target.shape and error < 0.3 * start
