"""Stage 3: the skin tone estimator, on simulated captures of people of all tones.

Gaussian negative log likelihood of the true studio texture's tone; the estimate that counts is the one on validation people,
captured through rendered frames. They also say by how much the estimated standard deviations fall short.

    accelerate launch -m studio_avatar.training tone --data RUNS/data --head weights_card/head --run RUNS/tone
"""

import torch

from studio_avatar.head.model import HeadModel
from studio_avatar.models import ToneEstimator
from studio_avatar.pipeline.skin_tone import linear_to_lab, mean_linear, measure_tone
from studio_avatar.training import losses
from studio_avatar.training.config import ToneConfig
from studio_avatar.training.datasets import drop_regions, to_float, to_mask
from studio_avatar.training.loop import EMA, Draws, make_accelerator, optimizer_step, train_network
from studio_avatar.training.options import parse_stage_options
from studio_avatar.training.pairs import load_pairs, pair_batch, tone_masks


class ToneStage:
    def __init__(self, options, accelerator):
        config: ToneConfig = options.config
        self.config, self.accelerator, self.draws = config, accelerator, Draws(accelerator)
        self.pairs = load_pairs(options.data, config.resolution)
        self.validation = load_pairs(options.data, config.resolution, "validation")
        self.net = ToneEstimator(config.resolution, config.channels, config.hidden)
        weight, skin = tone_masks(HeadModel.from_pretrained(options.weights["head"]), config.resolution)
        self.net.tone_weight.copy_(weight)
        self.net.skin.copy_(skin)
        tones = torch.cat([measure_tone(to_float(part), weight) for part in self.pairs.target.split(64)])
        self.net.lab_mean.copy_(tones.mean(0))
        self.net.lab_std.copy_(tones.std(0))
        self.net.to(accelerator.device)
        self.ema = EMA(self.net, config.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def step(self, step):
        phone, seen, target = pair_batch(self.pairs, step, self.config, self.accelerator)
        seen = drop_regions(seen, self.config.mask_dropout, self.draws)
        truth = (
            linear_to_lab(mean_linear(target, self.net.tone_weight)) - self.net.lab_mean
        ) / self.net.lab_std
        mean, log_variance = self.net(phone, seen)
        loss = losses.gaussian_nll(mean, log_variance, truth)
        optimizer_step(self.accelerator, self.optimizer, loss)
        log = {"nll": loss.item(), "error": ((mean - truth) * self.net.lab_std).norm(dim=1).mean().item()}
        if step % self.config.validation_interval == 0 or step + 1 == self.config.steps:
            log["validation_error"] = self.validation_error()
        return log

    @torch.no_grad()
    def validate(self):
        """(estimated mean, standard deviation, true tone) of the validation people's captures, (N, 3) L*a*b* each."""
        device, net = self.accelerator.device, self.ema.module
        mean, std = net.estimate(
            to_float(self.validation.rgb).to(device), to_mask(self.validation.seen).to(device)
        )
        return mean, std, measure_tone(to_float(self.validation.target).to(device), net.tone_weight)

    def validation_error(self) -> float:
        """Mean Euclidean L*a*b* distance of estimated and true tone, validation people."""
        mean, _, truth = self.validate()
        return (mean - truth).norm(dim=1).mean().item()

    def fit_spread(self):
        """Widens the exported standard deviations until the validation errors are one of them, in root mean square."""
        mean, std, truth = self.validate()
        self.ema.module.spread.mul_(((mean - truth) / std).square().mean(0).sqrt())


def main(arguments=None):
    options = parse_stage_options("tone", __doc__, arguments, (("head", "the baked head's folder"),))
    accelerator = make_accelerator(options.run, options.config.seed)
    stage = ToneStage(options, accelerator)
    train_network(options, accelerator, stage, "net", stage.net)
    if accelerator.is_main_process:
        stage.fit_spread()
        stage.ema.module.save_pretrained(options.run / "tone_estimator")
