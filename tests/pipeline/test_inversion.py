"""W+ inversion on tiny networks: it finds codes, keeps to what was seen, and repeats to the bit."""

import pytest
import torch

from studio_avatar.models import InversionEncoder, StyleGAN2Generator
from studio_avatar.pipeline.inversion import invert, minimise, shrink_observed


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    generator = StyleGAN2Generator(
        resolution=64, z_dim=16, w_dim=16, num_mapping_layers=2, channels=(16, 16, 16, 8, 8)
    ).eval()
    encoder = InversionEncoder(
        resolution=64,
        num_ws=generator.num_ws,
        w_dim=16,
        embedding_size=8,
        hidden_sizes=(8, 8, 8, 8),
        bottleneck=16,
        num_components=8,
    ).eval()
    encoder.code_components.copy_(torch.linalg.qr(torch.randn(generator.num_ws * 16, 8))[0].t())
    encoder.code_std.fill_(1.0)
    with torch.no_grad():
        picture = generator.synthesize(encoder.sample_codes(torch.randn(1, 8)))
    return generator, encoder, picture


def error(picture, target, mask):
    return ((picture - target).square() * mask).sum() / mask.sum()


def test_refinement_comes_closer_than_the_encoder(networks):
    generator, encoder, picture = networks
    seen = torch.ones(1, 1, 64, 64)
    start = invert(picture, seen, encoder, generator, num_steps=0)
    refined = invert(picture, seen, encoder, generator, num_steps=60, first_step=0.06, manifold_weight=0.0)
    assert error(refined.reconstruction, picture, seen) < 0.2 * error(start.reconstruction, picture, seen)
    assert refined.w_plus.shape == (1, generator.num_ws, 16)


def test_unseen_texels_do_not_matter(networks):
    generator, encoder, picture = networks
    seen = torch.ones(1, 1, 64, 64)
    seen[..., 32:] = 0
    other = torch.where(seen > 0, picture, torch.rand_like(picture))
    assert torch.equal(
        invert(picture, seen, encoder, generator, num_steps=3).w_plus,
        invert(other, seen, encoder, generator, num_steps=3).w_plus,
    )


def test_unseen_texels_are_pulled_to_the_encoders_completion(networks):
    generator, encoder, picture = networks
    seen = torch.ones(1, 1, 64, 64)
    seen[..., 32:] = 0
    encoded = invert(picture, seen, encoder, generator, num_steps=0).reconstruction
    far, near = (
        invert(picture, seen, encoder, generator, num_steps=30, completion_weight=weight).reconstruction
        for weight in (0.0, 1.0)
    )
    assert error(near, encoded, 1 - seen) < 0.5 * error(far, encoded, 1 - seen)


def test_a_stronger_pull_stays_closer_to_the_training_codes(networks):
    generator, encoder, picture = networks
    seen = torch.ones(1, 1, 64, 64)
    far, near = (
        invert(picture, seen, encoder, generator, num_steps=40, manifold_weight=weight).w_plus
        for weight in (0.0, 1.0)
    )
    assert encoder.code_distance(near) < encoder.code_distance(far)


def test_one_step_is_one_picture(networks, monkeypatch):
    generator, encoder, picture = networks
    made, synthesize = [], generator.synthesize
    monkeypatch.setattr(generator, "synthesize", lambda *a, **k: made.append(1) or synthesize(*a, **k))
    invert(picture, torch.ones(1, 1, 64, 64), encoder, generator, num_steps=7)
    assert len(made) == 1 + 7 + 1  # the encoder's completion, the steps, the reconstruction


def test_minimize_follows_curvature_through_a_narrow_valley():
    scales = torch.logspace(0, 3, 20)
    answer = minimise(
        lambda x: (0.5 * (scales * x.square()).sum(), scales * x), torch.ones(20), 60, first_step=0.1
    )
    assert (
        answer.abs().max() < 1e-3
    )  # gradient descent, at the longest stable step, would leave 0.9 of the flattest


def test_minimize_returns_from_where_there_is_no_number():
    def objective(x):  # least at 1; the first step leads out of its domain
        return (x - x.log()).sum(), 1.0 - 1.0 / x

    answer = minimise(objective, torch.full((3,), 2.0), 30, first_step=5.0)
    assert torch.allclose(answer, torch.ones(3), atol=1e-3)


def test_minimize_never_ends_higher_than_it_started():
    def objective(x):  # steep walls: full first steps overshoot
        return x.square().square().sum(), 4.0 * x**3

    start = torch.tensor([1.0, -0.2])
    values = [objective(minimise(objective, start, count, first_step=3.0))[0] for count in (1, 2, 4, 8, 16)]
    assert (
        values[0] == objective(start)[0]
        and values == sorted(values, reverse=True)
        and values[-1] < 0.1 * values[0]
    )


def test_callback_counts_and_gradients_stay_off_the_networks(networks):
    generator, encoder, picture = networks
    steps = []
    with torch.no_grad():  # as inside the pipeline
        invert(
            picture,
            torch.ones(1, 1, 64, 64),
            encoder,
            generator,
            num_steps=3,
            callback=lambda step, total: steps.append((step, total)),
        )
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert all(p.grad is None for net in (generator, encoder) for p in net.parameters())


def test_shrinking_averages_only_what_was_seen():
    rgb, seen = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    rgb[..., :2, :2] = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    seen[..., 0, 0] = 1.0
    small, weight = shrink_observed(rgb, seen, 2)
    assert small[0, 0, 0, 0] == 1.0 and weight[0, 0, 0, 0] == 0.25
    assert small[0, 0, 1, 1] == 0.0 and weight[0, 0, 1, 1] == 0.0
