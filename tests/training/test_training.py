"""The training kit on tiny networks and data: resuming, configuration, losses, divergence."""

import os
import pickle
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from accelerate.state import AcceleratorState
from helpers.prepared_sets import TINY_PHONE, write_prepared_sets
from safetensors.torch import load_file, save_file

from studio_avatar.errors import InvalidInputError
from studio_avatar.models import InversionEncoder, StyleGAN2Generator
from studio_avatar.training import losses, relight
from studio_avatar.training.checkpoint import load_checkpoint, save_checkpoint
from studio_avatar.training.codes import RESIDUALS_FILE, load_residuals, phone_codes
from studio_avatar.training.config import LoopConfig, load_config, override
from studio_avatar.training.datasets import drop_regions, load_textures, to_float, to_mask
from studio_avatar.training.loop import TrainingDiverged, batch_indices, make_accelerator, train
from studio_avatar.training.options import CONFIGS
from studio_avatar.training.pairs import load_phone_set
from studio_avatar.training.stages import refine_codes as refine_codes_module
from studio_avatar.training.stages.phone import main as train_phone
from studio_avatar.training.stages.refine_codes import main as refine_codes
from studio_avatar.training.stages.refine_codes import refine_all


@pytest.fixture
def data(tmp_path):
    return write_prepared_sets(tmp_path)


def run_phone(data, run, config_steps):
    config = data / "tiny.yaml"
    config.write_text(TINY_PHONE % config_steps)
    train_phone(["--data", str(data), "--run", str(run), "--config", str(config)])


def test_a_killed_run_resumes_to_the_same_weights(data, tmp_path, monkeypatch):
    run_phone(data, tmp_path / "whole", 6)
    from studio_avatar.training.stages import phone as module

    original, calls = module.PhoneStage.step, []

    def dying(self, step):
        calls.append(step)
        if step == 3:
            raise KeyboardInterrupt
        return original(self, step)

    monkeypatch.setattr(module.PhoneStage, "step", dying)
    with pytest.raises(KeyboardInterrupt):
        run_phone(data, tmp_path / "killed", 6)
    monkeypatch.setattr(module.PhoneStage, "step", original)
    run_phone(data, tmp_path / "killed", 6)
    assert calls == [0, 1, 2, 3]
    for file in ("encoder", "phone_generator"):
        whole, resumed = (
            load_file(tmp_path / run / file / "diffusion_pytorch_model.safetensors")
            for run in ("whole", "killed")
        )
        assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_encoder_keeps_the_statistics_of_its_codes(data, tmp_path):
    run_phone(data, tmp_path / "run", 3)
    state = load_file(tmp_path / "run" / "encoder" / "diffusion_pytorch_model.safetensors")
    components, std = state["code_components"], state["code_std"]
    assert (std[:-1] >= std[1:]).all() and std[0] > 0
    torch.testing.assert_close(components @ components.t(), torch.eye(4), atol=1e-4, rtol=0)


def test_settings_can_differ_from_the_file_for_an_ablation():
    config = load_config(CONFIGS / "small.yaml").studio
    assert override(config, ["frozen_resolution=16", "identity_weight=0"]).frozen_resolution == 16
    assert override(config, ["learning_rate=4e-4"]).learning_rate == 0.0004
    for setting, word in (("frozen=16", "frozen"), ("steps", "--set steps=VALUE")):
        with pytest.raises(InvalidInputError, match=word):
            override(config, [setting])


def test_unknown_keys_stop_before_training(tmp_path):
    for text, word in (("phone: {lerning_rate: 1}", "lerning_rate"), ("fone: {}", "fone")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(InvalidInputError, match=word):
            load_config(tmp_path / "bad.yaml")


def test_missing_data_is_said_in_a_sentence(tmp_path):
    with pytest.raises(InvalidInputError, match=r"run `python -m studio_avatar\.data\.prepare` first"):
        load_textures(tmp_path / "portraits.safetensors", 64, "train")


def test_splits_and_area_averaging(data):
    held_out = load_textures(data / "portraits.safetensors", 32, "held_out")
    assert [item["id"] for item in held_out.items] == ["portraits8"]
    assert held_out.rgb.shape == (1, 3, 32, 32) and held_out.seen.shape == (1, 1, 32, 32)
    assert set(held_out.seen.unique().tolist()) == {0, 255}


def test_not_finite_losses_stop_and_keep_the_last_checkpoint(tmp_path):
    module = torch.nn.Linear(1, 1)

    def step(index):
        module.weight.data += 1
        return {"loss": float("nan") if index == 2 else 0.0}

    config = LoopConfig(steps=5, checkpoint_minutes=0)
    with pytest.raises(TrainingDiverged, match="step 2"):
        train(tmp_path, config, make_accelerator(tmp_path), {"m": module}, {}, step)
    kept = torch.nn.Linear(1, 1)
    assert load_checkpoint(tmp_path / "checkpoint", {"m": kept}, {}) == 2
    torch.testing.assert_close(kept.weight, module.weight - 1)


def test_checkpoint_survives_a_crash_between_its_two_renames(tmp_path):
    module = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    save_checkpoint(tmp_path / "c", 7, {"m": module}, {"o": optimizer})
    (tmp_path / "c").rename(tmp_path / "c.old")
    other = torch.nn.Linear(2, 2)
    other_optimizer = torch.optim.Adam(other.parameters())
    assert load_checkpoint(tmp_path / "c", {"m": other}, {"o": other_optimizer}) == 7
    assert torch.equal(module.weight, other.weight)
    for net, opt in ((module, optimizer), (other, other_optimizer)):
        opt.zero_grad()
        net(torch.ones(1, 2)).square().sum().backward()
        opt.step()
    assert torch.equal(module.weight, other.weight)  # the Adam moments came along


def test_codes_are_refined_for_weights_without_residuals(data, tmp_path, monkeypatch):
    """The published weights' way: as many rows as stage 1 writes, and a better picture than the encoder's."""
    run = tmp_path / "phone"
    run_phone(data, run, 2)
    (run / RESIDUALS_FILE).rename(tmp_path / RESIDUALS_FILE)
    with pytest.raises(InvalidInputError, match="refine_codes"):
        load_residuals(run)
    monkeypatch.setattr(refine_codes_module, "ProcessPoolExecutor", ThreadPool)
    refine_codes(["--data", str(data), "--phone", str(run), "--pairs", "2", "--steps", "5", "--workers", "1"])

    textures = load_phone_set(data, 64, 2)
    residuals = load_residuals(run)
    assert len(residuals) == 2 * len(textures) == 2 * (7 + 2)
    assert load_residuals(tmp_path).shape[1:] == residuals.shape[1:]
    generator = StyleGAN2Generator.from_pretrained(run / "phone_generator")
    encoder = InversionEncoder.from_pretrained(run / "encoder")
    rgb, seen = to_float(textures.rgb).flip(-1), to_mask(textures.seen).flip(-1)
    errors = []
    for change in (torch.zeros_like(residuals), residuals):
        codes = phone_codes(encoder, textures, change)[1::2]
        with torch.no_grad():
            picture = generator.synthesize(codes, noise_mode="const")
        errors.append(losses.masked_mse(picture, rgb, seen))
    assert errors[1] < 0.9 * errors[0]

    # As a run leaves it that was killed after two codes: these are kept, the others made.
    save_file({"codes": torch.full_like(residuals[:2], 7.0)}, run / f".partial_5_{len(textures)}.safetensors")
    resumed = refine_all(textures, run, num_steps=5, workers=1)
    assert (resumed[:2] == 7).all() and torch.equal(resumed[2:], residuals[2:])


class ThreadPool(ThreadPoolExecutor):
    """Does what `ProcessPoolExecutor` does without the seconds that a new process needs to import torch.

    What goes to a new process is pickled, here as there, and the names of functions must lead to them.
    """

    def __init__(self, workers, context):
        assert context.get_start_method() == "spawn"
        super().__init__(workers)

    def map(self, work, items):
        return super().map(pickle.loads(pickle.dumps(work)), pickle.loads(pickle.dumps(list(items))))


def test_batches_cover_every_epoch_once_and_split_over_processes():
    class Process:
        def __init__(self, index, count):
            self.process_index, self.num_processes = index, count

    config = LoopConfig(batch_size=4)
    alone = [batch_indices(10, step, config, Process(0, 1)) for step in range(5)]
    assert sorted(sum(alone, [])) == sorted(list(range(10)) * 2)
    shared = [batch_indices(10, 3, config, Process(i, 2)) for i in range(2)]
    assert sorted(sum(shared, [])) == sorted(alone[3])


def test_masked_losses_ignore_unseen_texels():
    a, b, mask = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16), torch.zeros(2, 1, 16, 16)
    mask[..., 4:12, 4:12] = 1
    changed = b.clone()
    changed[..., :3] += 5.0
    for loss in (losses.masked_l1, losses.masked_mse, losses.gradient_loss):
        assert loss(a, b, mask) == loss(a, changed, mask) > 0
        assert loss(a, a, mask) == 0


def test_light_moves_from_one_subject_to_another():
    """The ratio of a half-shadowed capture must shade another subject the same way, and cancel on its own."""
    torch.manual_seed(0)
    studio = torch.rand(1, 3, 1, 1).expand(1, 3, 32, 32) * 0.8 - 0.4
    light = torch.ones(1, 1, 32, 32)
    light[..., 16:] = 0.4
    phone = relight.linear_to_srgb(relight.srgb_to_linear(studio * 0.5 + 0.5) * light) * 2 - 1
    ratio = relight.light_ratio(phone, studio, torch.ones(1, 1, 32, 32), radius=1)
    torch.testing.assert_close(ratio[..., 2:12], torch.ones(1, 3, 32, 10), atol=1e-3, rtol=0)
    torch.testing.assert_close(ratio[..., 20:30], torch.full((1, 3, 32, 10), 0.4), atol=1e-3, rtol=0)
    torch.testing.assert_close(relight.relight(studio, torch.ones_like(ratio)), studio, atol=1e-4, rtol=0)


def test_dropped_regions_only_remove():
    seen = (torch.rand(16, 1, 32, 32) > 0.3).float()
    kept = drop_regions(seen, 1.0)
    assert (kept <= seen).all() and (kept.sum((1, 2, 3)) < seen.sum((1, 2, 3))).all()
    assert torch.equal(drop_regions(seen, 0.0), seen)


def test_uint8_ends_map_to_the_ends_of_the_range():
    assert to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]


@pytest.fixture
def first_of_two(monkeypatch):
    """This process is the first of two that accelerate knows; the environment of the second."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in {**shared, "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    AcceleratorState._reset_state(reset_partial_state=True)  # or it stays alone, as it was in tests before
    yield {**os.environ, "RANK": "1", "LOCAL_RANK": "1"}
    AcceleratorState._reset_state(reset_partial_state=True)


def test_one_process_and_two_learn_the_same(data, tmp_path, request):
    """The same global batch; that `accelerate launch` starts two is seen where a batch runs on two (test_batch.py)."""
    config = data / "tiny.yaml"
    config.write_text(TINY_PHONE % 4)
    given = {run: ["--data", data, "--run", tmp_path / run, "--config", config] for run in ("one", "two")}
    train_phone(list(map(str, given["one"])))
    environment = request.getfixturevalue("first_of_two")
    command = [sys.executable, "-m", "studio_avatar.training", "phone", *given["two"]]
    second = subprocess.Popen(command, env=environment)
    try:
        train_phone(list(map(str, given["two"])))
        assert second.wait(timeout=60) == 0
    finally:
        second.kill()  # it would wait for this one, were that to fail
    one, two = (load_file(tmp_path / run / "checkpoint" / "autoencoder.safetensors") for run in given)
    torch.testing.assert_close(two, one, atol=1e-3, rtol=1e-3)
