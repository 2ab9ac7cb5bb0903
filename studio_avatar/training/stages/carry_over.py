"""Stage 4: the carry-over network (`studio_avatar/pipeline/carry_over.py`), which puts back what the W+ code misses of the
person.

Trained on simulated pairs with the true tone given, so that it learns structure alone:

    L = L1 + λ_gradient multi-scale gradients + λ_identity (1 − cos of face embeddings)

    accelerate launch -m studio_avatar.training carry_over --data RUNS/data --phone RUNS/phone --studio RUNS/studio \
        --tone RUNS/tone --identity RUNS/mobilefacenet.safetensors --head weights_card/head --run RUNS/carry_over
"""

import torch

from studio_avatar.head.model import HeadModel
from studio_avatar.models import InversionEncoder, StyleGAN2Generator, ToneEstimator
from studio_avatar.models.mobilefacenet import MobileFaceNet
from studio_avatar.pipeline.carry_over import PATCH, carry_over
from studio_avatar.pipeline.skin_tone import measure_tone
from studio_avatar.training import losses
from studio_avatar.training.config import CarryOverConfig
from studio_avatar.training.datasets import to_float, to_mask
from studio_avatar.training.face_crop import FaceCrop
from studio_avatar.training.loop import EMA, Draws, make_accelerator, optimizer_step, sheet, train_network
from studio_avatar.training.networks import build_unet
from studio_avatar.training.options import parse_stage_options
from studio_avatar.training.pairs import load_pairs, pair_batch


class CarryOverStage:
    def __init__(self, options, accelerator):
        config: CarryOverConfig = options.config
        self.config, self.accelerator, self.draws = config, accelerator, Draws(accelerator)
        device = accelerator.device
        inputs = options.weights
        self.encoder = (
            InversionEncoder.from_pretrained(inputs["phone"] / "encoder").eval().requires_grad_(False)
        )
        self.generator = StyleGAN2Generator.from_pretrained(
            inputs["studio"] / "studio_generator"
        ).requires_grad_(False)
        self.tone = ToneEstimator.from_pretrained(inputs["tone"] / "tone_estimator").to(device)
        resolution = self.generator.config.resolution
        self.pairs = load_pairs(options.data, resolution)
        self.validation = load_pairs(options.data, resolution, "validation")
        self.crop = FaceCrop(HeadModel.from_pretrained(inputs["head"]))
        self.identity = MobileFaceNet.from_file(inputs["identity"]).to(device)
        self.unet = build_unet(config.channels, inputs=7, patch=PATCH)
        for net in (self.encoder, self.generator, self.unet):
            net.to(device, memory_format=torch.channels_last)
        self.ema = EMA(self.unet, config.ema_decay)
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), lr=config.learning_rate, weight_decay=1e-4)

    @torch.no_grad()
    def base(self, phone, seen):
        """The studio generator's picture of the encoder's code, shaken as refinement shakes it."""
        code = self.encoder(phone, seen)
        noise = self.draws.randn(*code.shape) * self.draws.rand(len(code), 1, 1)
        code = code + self.config.code_noise * noise.to(code.device)
        return self.generator.synthesize(code, noise_mode="none").clamp(-1, 1)

    def step(self, step):
        config, tone = self.config, self.tone
        phone, seen, target = pair_batch(self.pairs, step, config, self.accelerator)
        lab = measure_tone(target, tone.tone_weight)
        picture = carry_over(self.base(phone, seen), phone, seen, lab, self.unet, tone.tone_weight, tone.skin)
        ones = torch.ones_like(seen)
        with torch.no_grad():
            truth = self.identity.embed(self.crop(target))
        terms = {
            "l1": losses.masked_l1(picture, target, ones),
            "gradient": losses.gradient_loss(picture, target, ones),
            "identity": (1 - (self.identity.embed(self.crop(picture)) * truth).sum(1)).mean(),
        }
        weights = (1.0, config.gradient_weight, config.identity_weight)
        optimizer_step(
            self.accelerator, self.optimizer, sum(w * t for w, t in zip(weights, terms.values(), strict=True))
        )
        log = {name: term.item() for name, term in terms.items()}
        if step % config.validation_interval == 0 or step + 1 == config.steps:
            log["validation_l1"] = self.validation_l1()
        return log

    @torch.no_grad()
    def validate(self):
        """(phone, base, carried over, truth) of the validation people, with the estimated tone."""
        device, tone = self.accelerator.device, self.tone
        phone, seen = to_float(self.validation.rgb).to(device), to_mask(self.validation.seen).to(device)
        lab, _ = tone.estimate(phone, seen)
        base = self.generator.synthesize(self.encoder(phone, seen), noise_mode="none").clamp(-1, 1)
        picture = carry_over(base, phone, seen, lab, self.ema.module, tone.tone_weight, tone.skin)
        return phone, base, picture, to_float(self.validation.target).to(device)

    def validation_l1(self) -> float:
        _, _, picture, target = self.validate()
        return (picture - target).abs().mean().item()

    def preview(self, step):
        return sheet(*(part[:12] for part in self.validate()))


INPUTS = (
    ("phone", "run folder of train_phone"),
    ("studio", "run folder of train_studio"),
    ("tone", "run folder of train_tone"),
    ("identity", "MobileFaceNet weights (safetensors)"),
    ("head", "the baked head's folder"),
)


def main(arguments=None):
    options = parse_stage_options("carry_over", __doc__, arguments, INPUTS)
    accelerator = make_accelerator(options.run, options.config.seed)
    stage = CarryOverStage(options, accelerator)
    train_network(options, accelerator, stage, "unet", stage.unet, stage.preview)
    if accelerator.is_main_process:
        stage.ema.module.save_pretrained(options.run / "carry_over")
