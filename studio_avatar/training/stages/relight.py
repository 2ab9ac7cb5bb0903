"""The relight network (`studio_avatar/pipeline/relight.py`): smooth gain, keep mask and repair.

Simulated captures with the true tone (and a little off) given, so that it learns light and covers alone; beside them
rendered ones that went through the capture itself (`captured.py`). Part of each batch are real portraits
(`portraits.py`): evened and put into simulated light, where what is finer than their evened light counts; and as they are,
where nobody knows the answer but that it is the same person with the same fine detail.

    python -m studio_avatar.training relight --budget 4m --pack RUNS/pack.safetensors --run RUNS/relight
    python -m studio_avatar.training relight … --set start=RUNS/relight/relight_network learning_rate=4e-4 \
        adversarial_from=0.15
"""

import torch

from studio_avatar.data.prepare.pack import Pack
from studio_avatar.data.simulate.draw import Draw, blur
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.model import HeadModel
from studio_avatar.models import RelightNetwork
from studio_avatar.pipeline.relight import log_linear, relight, resized, shaded_beside_skin
from studio_avatar.pipeline.skin_tone import measure_tone, set_tone
from studio_avatar.training import losses
from studio_avatar.training.adversary import Adversary
from studio_avatar.training.budget import Clock, batch_size, descend, pick_device, train_within
from studio_avatar.training.captured import RenderedCaptures, joined
from studio_avatar.training.config import RelightConfig
from studio_avatar.training.face_crop import FaceCrop
from studio_avatar.training.loop import EMA, sheet
from studio_avatar.training.options import BudgetOptions, budget_parser, parse_budget_options
from studio_avatar.training.packed import BaseMaker, InMixedPrecision, Judges, make_simulator, studio_textures
from studio_avatar.training.portraits import Portraits

TONE_ERROR = (3.0, 1.5, 2.0)  # standard deviations of what the given tone is off by, L*a*b*
FACE = (0.2, 0.14, 0.72)  # top, left and side of the face over the texture's size
LIGHT_OVER = 10 / 512  # of the width: what is coarser, a portrait's evened light may have wrong
BETWEEN_CHARTS = 0.2  # weight of texels that lie on no part of the head, beside 1 of eyes and mouth
FINE = 5 / 512  # of the width: what is finer is a person's detail, whatever the light
# Uneven light on real portraits, in natural logarithms: what it is averaged over, what studio textures have of it, too, by
# how much a person's own colors may differ from the base's, and from where on it is hair or something else that is no light.
EVEN_OVER, EVEN_ENOUGH, OWN_COLOR, NO_LIGHT = 24 / 512, 0.06, 0.15, 1.2
BEARDS_BELOW = 0.53  # of the height: where it is dark below, it may be a beard that the base has not
PREVIEW_SEED = 77


class RelightStage:
    def __init__(self, options: BudgetOptions, device):
        config: RelightConfig = options.config
        self.config, self.device = config, device
        pack = Pack(options.pack)
        textures = studio_textures(pack, ("augmented", "studio"), config.resolution)
        self.simulator = make_simulator(pack, textures, config.resolution, config.bank_size, device)
        self.bases = BaseMaker(options.weights, device)
        crop = FaceCrop(HeadModel.from_pretrained(options.weights, subfolder="head"))
        self.judges = Judges(pack, crop, device)
        self.portraits = Portraits(pack, self.bases, self.simulator)
        self.rendered = RenderedCaptures(pack, config.resolution, self.simulator.masks, device)
        batch = batch_size(config, device)
        self.real = max(int(batch * config.portrait_share), 1)
        self.num_rendered = round(batch * config.rendered_share) if len(self.rendered) else 0
        self.own = max(round(batch * config.own_light_share), 1)
        self.known = max(
            batch - self.real, self.num_rendered + 1
        )  # simulated or rendered: with a true target
        torch.manual_seed(config.seed)
        self.net = _network(config).to(device, memory_format=torch.channels_last).train()
        self.adversary = Adversary(config.adversarial_weight, config.adversarial_from, device)
        self.modules = {"net": self.net, "critic": self.adversary.critic}
        optimizer = torch.optim.AdamW(
            _parameter_groups(self.net, config), lr=config.learning_rate, weight_decay=1e-3, betas=(0.9, 0.98)
        )
        self.optimizers = {"net": optimizer, "critic": self.adversary.optimizer}
        self.ema = EMA(self.net, config.ema_decay)
        self.emas = {"net_ema": (self.ema, self.net)}
        masks = self.simulator.masks
        self.skin = masks.covered * masks.skin
        self.area = (0.4 + masks.face + 0.6 * masks.lips + 0.6 * masks.brows) * self.skin

    def step(self, draw, progress):
        phone, visibility, target, cover, trust = self.batch(draw)
        own_phone, own_visibility, own_trust = self.portraits.photos(self.own, draw)
        masks, made = self.simulator.masks, len(phone)
        lab = measure_tone(target, masks.tone_weight)
        lab = lab + draw.normal(*lab.shape) * torch.tensor(TONE_ERROR, device=self.device)
        target = set_tone(target, masks.tone_weight, lab, masks.skin)
        own_lab = measure_tone(own_phone, masks.tone_weight * own_visibility)
        # All in one pass: what a GPU does of it takes less time than asking for it.
        base, relit = self.relit(
            torch.cat([phone, own_phone]),
            torch.cat([visibility, own_visibility]),
            torch.cat([lab, own_lab]),
            draw,
        )
        texture = relit.texture.float()
        terms = self.terms(texture[:made], target, visibility, trust)
        given_up = 1 - relit.keep[:made] / visibility.clamp_min(1e-3)
        terms["beside_skin"] = self.beside_skin_term(relit.repair[: self.known].float(), target[: self.known])
        terms["keep"] = losses.weighted_l1(given_up, visibility * (1 - cover) * masks.covered)
        terms |= self.own_light_terms(texture[made:], own_phone, own_trust)
        own_base = set_tone(resized(base[made:], phone.shape[-1]), masks.tone_weight, own_lab, masks.skin)
        terms["even"] = self.even_term(texture[made:], own_base, own_visibility)
        loss = sum(getattr(self.config, f"{name}_weight") * term for name, term in terms.items())
        fooling = (torch.lerp(target, texture[:made], self.skin)[: self.known], visibility[: self.known])
        loss = loss + self.adversary.answer(*fooling, progress)
        descend(self.optimizers["net"], loss)
        self.adversary.learn(target[: self.known], *fooling, progress)
        return {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}

    def relit(self, phone, visibility, lab, draw):
        masks, network = self.simulator.masks, InMixedPrecision(self.net, self.device)
        base = self.bases(phone, visibility, draw, self.config.code_noise)
        return base, relight(base, phone, visibility, lab, network, masks.tone_weight, masks.skin)

    def batch(self, draw):
        """Simulated captures, rendered ones, then portraits in simulated light: phone, visibility, target, cover, and trust
        (r, 1, R, R) of the portraits' targets."""
        made = self.simulator.sample(self.known - self.num_rendered, draw)
        if self.num_rendered:
            made = joined(made, self.rendered.sample(self.num_rendered, draw))
        texture, visibility, trust = self.portraits.pairs(self.real, draw)
        real = self.simulator.sample(self.real, draw, pairs=(texture, visibility))
        trust = torch.where(real.mirrored.view(-1, 1, 1, 1), trust.flip(-1), trust) * (1 - real.cover)
        names = ("phone", "visibility", "target", "cover")
        return *(torch.cat([getattr(made, n), getattr(real, n)]) for n in names), trust

    def terms(self, texture, target, visibility, trust):
        """Distances of relit textures to their targets; portraits, the last, count by `trust`."""
        n, size = self.known, self.config.resolution
        area = torch.cat([self.area.expand(n, -1, -1, -1), self.area * trust])
        difference = texture - target
        # The portraits' evened light is no studio light: what is as coarse as it does not count.
        off = difference[n:]
        coarse = _mean_around(off, trust, LIGHT_OVER * size)
        seen = area[:n] * visibility[:n]
        judged = torch.cat([texture[:n], torch.lerp(target[n:], texture[n:], (trust > 0.3).float())])
        top, left, side = (int(size * share) for share in FACE)
        face = (..., slice(top, top + side), slice(left, left + side))
        return {
            "l1": losses.weighted_l1(difference[:n], area[:n]),
            # Light that is left is little beside the detail that is off, and would be lost in its signs.
            "light": losses.weighted_l1(_mean_around(difference[:n], seen, LIGHT_OVER * size), seen),
            "portrait_l1": losses.weighted_l1(off - coarse, area[n:]),
            "gradient": losses.weighted_gradient_l1(difference, area),
            "perceptual": self.judges.perceptual(judged[face], target[face]),
            "identity": self.judges.identity_distance(judged, target),
        }

    def own_light_terms(self, texture, phone, trust):
        """Real portraits in their own light: nobody knows the answer, but it is the same person."""
        difference = texture - phone
        fine = difference - blur(difference, FINE * self.config.resolution)
        return {
            "own_light_identity": self.judges.identity_distance(texture, phone),
            "own_light_detail": losses.weighted_l1(fine, self.area * trust),
        }

    def even_term(self, texture, base, visibility):
        """How uneven the light on real portraits is still: a face is nearly its own mirror image, and above the beard about
        as bright and as red at each place as its base, which the studio lights evenly."""
        size, seen = self.config.resolution, visibility * self.skin * self.simulator.masks.face
        light, even = (_mean_around(log_linear(one), seen, EVEN_OVER * size) for one in (texture, base))
        rows = torch.linspace(0, 1, size, device=seen.device).view(1, 1, -1, 1)
        mirrored, own = _beyond(light - light.flip(-1), EVEN_ENOUGH), _beyond(light - even, OWN_COLOR)
        return losses.weighted_l1(mirrored, seen * seen.flip(-1)) + losses.weighted_l1(
            own, seen * (rows < BEARDS_BELOW)
        )

    def beside_skin_term(self, repair, target):
        """Eyes, teeth and mouth, as they are drawn where they were not seen, and what lies between the charts: distance to
        the studio texture's, which are painted."""
        masks = self.simulator.masks
        area = masks.covered * (1 - masks.skin) + BETWEEN_CHARTS * (1 - masks.covered)
        return losses.weighted_l1(repair - shaded_beside_skin(target, masks.skin), area)

    @torch.no_grad()
    def preview(self):
        """Under held-out panoramas and tone curve: phone, visibility, base, smoothed quotient, relit, keep mask, truth."""
        masks = self.simulator.masks
        made = self.simulator.sample(
            4, Draw(PREVIEW_SEED, self.device), ("photographed_held_out",), held_out_curve=True
        )
        base = self.bases(made.phone, made.visibility)
        floor, relit = (
            relight(base, made.phone, made.visibility, made.lab, network, masks.tone_weight, masks.skin)
            for network in (None, self.ema.module)
        )
        base = resized(base, self.config.resolution)
        return sheet(made.phone, made.visibility, base, floor.texture, relit.texture, relit.keep, made.target)


def _mean_around(values, weight, sigma):
    """Gaussian mean of `values` (B, C, H, W) by `weight` (B, 1, H, W), fading where there is next to none."""
    return blur(values * weight, sigma) / blur(weight, sigma).clamp_min(0.05)


def _beyond(difference, free):
    """Size of a difference of logarithms beyond what is `free`; what is more than light can do has no gradient."""
    return (difference.abs() - free).clamp(0, NO_LIGHT)


def _network(config: RelightConfig) -> RelightNetwork:
    """The network to train; blocks that `config.start` has not begin as identities, a mirror as zero."""
    network = RelightNetwork(config.resolution, config.channels, config.blocks, mirrored=config.mirrored)
    if config.start:
        trained = RelightNetwork.from_pretrained(config.start).float().state_dict()
        if unknown := network.load_state_dict(trained, strict=False).unexpected_keys:
            raise InvalidInputError(
                f"{config.start} has more than `blocks` and `channels` allow, such as {unknown[0]}."
            )
    return network


def _parameter_groups(network: RelightNetwork, config: RelightConfig) -> list[dict]:
    """The layer of the mirrored texture learns faster: it begins at zero, beside what is trained already."""
    mirror = [] if network.mirror is None else [network.mirror.weight]
    others = [parameter for name, parameter in network.named_parameters() if not name.startswith("mirror.")]
    groups = (others, config.learning_rate), (mirror, config.learning_rate * config.mirror_rate)
    return [{"params": parameters, "lr": rate} for parameters, rate in groups if parameters]


def train(options: BudgetOptions) -> None:
    clock = Clock(options.seconds)
    stage = RelightStage(options, pick_device())
    train_within(options.run, options.config, clock, stage)
    stage.ema.module.save_pretrained(options.run / "relight_network")


def parse_options(arguments=None) -> BudgetOptions:
    return parse_budget_options("relight", budget_parser("relight", __doc__), arguments)


def main(arguments=None):
    train(parse_options(arguments))
