"""Several trained tone estimators become the members of one.

Their answers are brought to the first one's normalization, and the standard deviations of what they say together are widened
to its errors at the validation captures of the packed file. A+B is the mean of the weights of A and B, which must have begun
as the same network.

    python -m studio_avatar.training join_tone --pack RUNS/pack.safetensors --out RUNS/joined/tone_estimator A+B C+D
"""

import argparse
from pathlib import Path

import torch

from studio_avatar.data.prepare.pack import Pack
from studio_avatar.data.simulate.texel_light import typology_angle
from studio_avatar.errors import InvalidInputError
from studio_avatar.models import ToneEstimator
from studio_avatar.training.networks import mean_parameters
from studio_avatar.training.validated import ValidatedCaptures


def joined(networks: list[ToneEstimator]) -> ToneEstimator:
    """One estimator with all members of the networks, of one shape; buffers, and what is unheard, are the first's."""
    first = networks[0]
    shape = {
        name: first.config[name]
        for name in ("resolution", "channels", "hidden", "scene_size", "unheard", "scene_share")
    }
    members = [(network, member) for network in networks for member in network.members]
    together = ToneEstimator(**shape, num_members=len(members))
    state = {name: value for name, value in first.state_dict().items() if not name.startswith("members.")}
    for number, (network, one) in enumerate(members):
        member = dict(one.state_dict())
        weight, bias = list(member)[-2:]  # of the last layer: mean, and logarithm of the variance
        scale = network.lab_std / first.lab_std
        shift = (network.lab_mean - first.lab_mean) / first.lab_std
        wider = 2 * torch.log(scale * network.spread / first.spread)
        scales = torch.cat([scale, torch.ones_like(scale)])
        member[weight] = member[weight] * scales[:, None]
        member[bias] = member[bias] * scales + torch.cat([shift, wider])
        state |= {f"members.{number}.{name}": value for name, value in member.items()}
    together.load_state_dict(state)
    return together.eval()


def mean_of(folders: list[str]) -> ToneEstimator:
    """The network with the mean of the parameters of those in `folders`; buffers are the first's."""
    return mean_parameters([ToneEstimator.from_pretrained(folder).float() for folder in folders]).eval()


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.training join_tone",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pack", type=Path, required=True, help="with captures of validation people")
    parser.add_argument("--out", type=Path, required=True, help="folder of the joined network")
    parser.add_argument(
        "--scene-share", type=float, help="of the joined answer; as the first network's otherwise"
    )
    parser.add_argument("networks", nargs="+", metavar="FOLDER[+FOLDER]", help="trained tone estimators")
    options = parser.parse_args(arguments)
    together = joined([mean_of(folders.split("+")) for folders in options.networks])
    if options.scene_share is not None:
        together.register_to_config(scene_share=options.scene_share)
    captures = ValidatedCaptures(Pack(options.pack), together.config.resolution, "cpu")
    if not len(captures):
        raise InvalidInputError(
            f"{options.pack} has no captures of validation people: pack it with --validation."
        )
    lab, std, truth = captures.estimates(together)
    together.spread.mul_(((lab - truth) / std).square().mean(0).sqrt())
    together.save_pretrained(options.out)
    error = (typology_angle(lab) - typology_angle(truth)).abs().mean()
    print(
        f"{options.out}: {together.config.num_members} members, {error:.2f} degrees off at {len(captures)} captures"
    )
