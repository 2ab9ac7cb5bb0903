"""Means of weights, of tiny networks."""

import torch

from studio_avatar.models import RelightNetwork
from tools import mean_weights


def network(folder, seed, channels=(8, 8)):
    torch.manual_seed(seed)
    net = RelightNetwork(32, channels, gain_level=0, place_level=1)
    torch.nn.init.normal_(net.keep.weight)
    net.save_pretrained(folder)
    return net


def test_the_mean_is_a_network_by_shares(tmp_path):
    a, b = network(tmp_path / "a", 1), network(tmp_path / "b", 2)
    assert not mean_weights.main(["--out", str(tmp_path / "c"), f"{tmp_path / 'a'}=3", f"{tmp_path / 'b'}=1"])
    c = RelightNetwork.from_pretrained(tmp_path / "c")
    assert tuple(c.config.channels) == (8, 8)
    for name, parameter in c.named_parameters():
        expected = 0.75 * a.get_parameter(name) + 0.25 * b.get_parameter(name)
        torch.testing.assert_close(parameter, expected)


def test_what_cannot_be_averaged_is_a_sentence(tmp_path, capsys):
    network(tmp_path / "a", 1), network(tmp_path / "b", 2, (8, 16))
    out = ["--out", str(tmp_path / "c")]
    for networks in (
        ["nothing"],
        [f"{tmp_path}=1"],
        [f"{tmp_path / 'a'}=-1"],
        [f"{tmp_path / x}=1" for x in "ab"],
    ):
        assert mean_weights.main([*out, *networks]) == 2
        assert capsys.readouterr().err.strip().endswith(".")
        assert not (tmp_path / "c").exists()
