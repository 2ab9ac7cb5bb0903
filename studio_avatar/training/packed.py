"""What the stages with a budget make of the packed file: simulators on the device, networks that judge or make bases."""

import torch
import torch.nn.functional as F

from studio_avatar.data.prepare.pack import Pack
from studio_avatar.data.simulate.sky import TransferBank, panorama_nodes
from studio_avatar.data.simulate.texel_light import TexelSimulator, TexelWorld
from studio_avatar.models import InversionEncoder, StyleGAN2Generator
from studio_avatar.models.mobilefacenet import MobileFaceNet
from studio_avatar.pipeline.inversion import shrink_observed

from .budget import mixed_precision
from .perceptual import PerceptualFeatures, perceptual_loss

LIGHTS = ("photographed", "painted", "photographed_held_out")


def studio_textures(pack: Pack, kinds, size: int) -> torch.Tensor:
    """(N, 3, size, size) uint8 of the kinds that the file has, of "studio", "augmented" and "relit"."""
    return torch.cat([pack.images(kind, size) for kind in kinds if pack.facts.get(kind)])


def make_simulator(pack: Pack, textures, size: int, bank_size: int, device, share: int = 2) -> TexelSimulator:
    """Captures of `size` texels of studio textures (N, 3, S, S) uint8."""
    baked = pack.transfer()
    eyes = pack.masks().resized(baked["normals"].shape[-1], "cpu").eyes[0, 0] > 0.5
    bank = TransferBank(**baked, eyes=eyes, size=bank_size, device=device)
    lights = {name: panorama_nodes(pack.tensor(name).float(), bank.directions, device) for name in LIGHTS}
    covers, seen = pack.images("covers"), pack.images("seen")
    world = TexelWorld(textures.to(device), bank, lights, pack.masks(), covers, seen)
    return TexelSimulator(world, size, device, share)


class BaseMaker:
    """The networks before relighting: phone texture → studio base. Frozen."""

    def __init__(self, weights: str, device):
        """weights: folder or Hub id with `encoder` and `studio_generator`."""
        self.encoder = InversionEncoder.from_pretrained(weights, subfolder="encoder")
        self.generator = StyleGAN2Generator.from_pretrained(weights, subfolder="studio_generator")
        for network in (self.encoder, self.generator):
            network.float().to(device).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, phone, visibility, draw=None, noise: float = 0.0):
        """phone (B, 3, H, H) in [-1, 1], visibility (B, 1, H, H) → base (B, 3, r, r) in [-1, 1].

        noise: most deviation added to the codes, in their standard deviations, because refinement leaves the encoder's.
        """
        phone, visibility = shrink_observed(phone, visibility, self.generator.config.resolution)
        code = self.encoder(phone, visibility)
        if draw is not None:
            code = code + noise * code.std() * draw.normal(*code.shape) * draw.uniform(len(code), 1, 1)
        return self.generator.synthesize(code, noise_mode="const").clamp(-1, 1).float()


class Judges:
    """Frozen networks that compare pictures, in mixed precision: perceptual features, and the face's identity."""

    def __init__(self, pack: Pack, crop, device):
        """crop: a `FaceCrop`, or None where identity is not asked for."""
        self.device, self.crop = device, crop
        self.features = PerceptualFeatures()
        self.features.load_state_dict(pack.weights("features"))
        self.identity = MobileFaceNet()
        self.identity.load_state_dict(pack.weights("identity"))
        for network in (self.features, self.identity):
            network.to(device).eval().requires_grad_(False)

    def perceptual(self, picture, target):
        """Distance of features, pictures (B, 3, H, W) in [-1, 1]."""
        with mixed_precision(self.device):
            maps = self.features(picture), self.features(target)
        return perceptual_loss(*maps)

    def identity_distance(self, texture, target):
        """Mean of 1 − cosine of the faces' embeddings, textures (B, 3, H, H) in [-1, 1]."""
        with mixed_precision(self.device):
            one, other = self.identity(self.crop(torch.cat([texture, target]))).float().chunk(2)
        return (1 - F.cosine_similarity(one, other)).mean()


class InMixedPrecision:
    """A network as `pipeline.relight` calls it, in bfloat16, while everything around it stays float32."""

    def __init__(self, network, device):
        self.network, self.device, self.config = network, device, network.config

    def parameters(self):
        return self.network.parameters()

    def __call__(self, *inputs):
        with mixed_precision(self.device):
            return self.network(*inputs)
