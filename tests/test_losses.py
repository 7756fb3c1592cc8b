"""Losses against their formulas, the averaged generator, Adam under lazy regularisation, style mixing."""

import copy
import math

import pytest
import torch
from tiny_training import tiny_config, tiny_networks

from stylegan2 import losses
from stylegan2.inputs import step_generator
from stylegan2.iteration import lazy_adam


def test_adversarial_losses_are_the_formulas():
    real, fake = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [-3.0]])

    def log1pexp(x):
        return math.log(1 + math.exp(x))

    of_generator = (log1pexp(-0.5) + log1pexp(3.0)) / 2
    of_discriminator = (log1pexp(-2.0) + log1pexp(1.0)) / 2 + (log1pexp(0.5) + log1pexp(-3.0)) / 2
    assert losses.generator_loss(fake).item() == pytest.approx(of_generator, rel=1e-6)
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(of_discriminator, rel=1e-6)


def test_adversarial_losses_stay_finite_for_sure_discriminators():
    sure = torch.tensor([[-1e4]], requires_grad=True)
    loss = losses.generator_loss(sure)
    loss.backward()
    assert loss.item() == pytest.approx(1e4) and sure.grad.item() == pytest.approx(-1)  # does not saturate


# ---------------------------------------------------------------------------------------------------------------- R1


def test_r1_of_a_linear_discriminator_is_its_squared_norm():
    direction = torch.randn(3 * 8 * 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    penalty = losses.r1_penalty(lambda x: x.flatten(1) @ direction[:, None], torch.randn(5, 3, 8, 8))
    assert penalty.item() == pytest.approx(direction.square().sum().item(), rel=1e-5)
    penalty.backward()  # d |a|^2 / da = 2a: the double backward reaches the parameters
    torch.testing.assert_close(direction.grad, 2 * direction.detach())


def test_r1_is_taken_per_image_and_leaves_the_images_alone():
    real = torch.randn(4, 3, 8, 8)
    penalty = losses.r1_penalty(lambda x: x.square().flatten(1).sum(1, keepdim=True) / 2, real)  # gradient: x itself
    assert penalty.item() == pytest.approx(real.square().sum().item() / 4, rel=1e-5)
    assert real.grad is None and not real.requires_grad


# ------------------------------------------------------------------------------------------------------- path length


def linear_synthesis(seed: int = 0, n: int = 3, codes: int = 2, w_dim: int = 5, size: int = 4):
    """images = ws times a matrix A that is the same for every image: the Jacobian is A."""
    rng = torch.Generator().manual_seed(seed)
    matrix = torch.randn(codes, w_dim, 3, size, size, generator=rng, requires_grad=True)
    ws = torch.randn(n, codes, w_dim, generator=rng, requires_grad=True)
    noise = torch.randn(n, 3, size, size, generator=rng)
    return matrix, ws, noise, torch.einsum("nlk,lkchw->nchw", ws, matrix)


def test_path_lengths_of_a_linear_synthesis():
    matrix, ws, noise, images = linear_synthesis()
    jacobian_t_y = torch.einsum("lkchw,nchw->nlk", matrix, noise) / math.sqrt(4 * 4)
    expected = jacobian_t_y.square().sum(2).mean(1).sqrt()  # [N]: root mean square over the codes
    torch.testing.assert_close(losses.path_lengths(images, ws, noise), expected)


def test_path_length_regulariser_follows_the_mean_and_penalises_the_rest():
    matrix, ws, noise, images = linear_synthesis()
    regulariser = losses.PathLengthRegulariser(decay=0.25)
    lengths = losses.path_lengths(images, ws, noise)
    penalty = regulariser(images, ws, noise)
    mean = 0.25 * lengths.mean()
    assert regulariser.mean.item() == pytest.approx(mean.item(), rel=1e-6) and not regulariser.mean.requires_grad
    torch.testing.assert_close(penalty, (lengths - mean).square().mean())
    penalty.backward()
    assert matrix.grad.abs().sum() > 0
    regulariser(images.detach() * 0 + torch.einsum("nlk,lkchw->nchw", ws, matrix), ws, noise)
    assert regulariser.mean.item() == pytest.approx((mean + 0.25 * (lengths.mean() - mean)).item(), rel=1e-5)


@pytest.mark.parametrize("mapping_frozen", [False, True])
def test_path_length_reaches_synthesis_and_mapping(mapping_frozen):
    g, _ = tiny_networks()
    g.mapping.requires_grad_(not mapping_frozen)
    ws = losses.requires_graph(g.mapping(torch.randn(2, g.z_dim)))
    images = g.synthesis(ws, noise="none")
    losses.PathLengthRegulariser()(images, ws, torch.randn_like(images)).backward()
    assert all((p.grad is None) == mapping_frozen for p in g.mapping.layers.parameters())
    moved = {name for name, p in g.synthesis.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {
        "blocks.4.const",
        "blocks.4.conv1.weight",
        "blocks.8.conv0.affine.weight",
        "blocks.8.to_rgb.weight",
    } <= moved


def test_requires_graph_keeps_a_graph_that_is_there():
    ws = torch.randn(1, 2, 3, requires_grad=True) * 2
    assert losses.requires_graph(ws) is ws
    leaf = losses.requires_graph(torch.randn(1, 2, 3))
    assert leaf.requires_grad and leaf.is_leaf


# ------------------------------------------------------------------------------------------------- averaged generator


def test_after_a_half_life_of_images_old_weights_count_half():
    config = tiny_config("unused", batch=4, ema_images=40, ema_rampup=None)
    g, _ = tiny_networks()
    average = copy.deepcopy(g)
    with torch.no_grad():
        for p in average.parameters():
            p.fill_(1.0)
        for p in g.parameters():
            p.fill_(0.0)
    for step in range(10):  # 40 images
        half_life = config.ema_half_life(images_seen=(step + 1) * config.batch)
        losses.update_average(average, g, 0.5 ** (config.batch / half_life))
    for p in average.parameters():
        torch.testing.assert_close(p, torch.full_like(p, 0.5))


def test_average_copies_buffers_but_keeps_its_own_w_mean():
    g, _ = tiny_networks(seed=0)
    average, _ = tiny_networks(seed=1)
    centre = average.mapping.update_mean().clone()
    losses.update_average(average, g, 0.9)
    for (name, a), b in zip(average.named_buffers(), g.buffers(), strict=True):
        assert torch.equal(a, centre if name.endswith("w_mean") else b), name


def test_half_life_is_in_images_and_ramps_up_from_scratch_only():
    assert tiny_config("x", batch=16, ema_rampup=None, images=10**6).ema_half_life(0) == 10_000
    assert tiny_config("x", batch=32, ema_rampup=None, images=10**6).ema_half_life(0) == 20_000
    scratch = tiny_config("x", ema_images=10_000, images=10**6)
    assert scratch.ema_half_life(1_000) == pytest.approx(50)  # 5 % of the images so far
    assert scratch.ema_half_life(10**6) == 10_000
    assert scratch.ema_half_life(0) == 0  # the first average is the model itself


def test_half_life_is_at_most_a_quarter_of_a_fine_tuning_run():
    short = tiny_config("x", ema_images=10_000, images=2_000, fine_tune=True)
    assert short.ema_half_life(4) == short.ema_half_life(2_000) == 500
    assert tiny_config("x", ema_images=10_000, images=10**6, fine_tune=True).ema_half_life(4) == 10_000


# --------------------------------------------------------------------------------------------------- optimiser, mixing


def test_lazy_adam_is_corrected_for_the_regularising_step():
    parameter = torch.nn.Parameter(torch.ones(2))
    group = lazy_adam([parameter], lr=0.002, interval=16).param_groups[0]
    assert group["lr"] == pytest.approx(0.002 * 16 / 17)
    assert group["betas"] == (0.0, pytest.approx(0.99 ** (16 / 17)))
    assert lazy_adam([parameter], lr=0.002, interval=4).param_groups[0]["lr"] == pytest.approx(0.002 * 4 / 5)


def test_crossover_mixes_as_often_as_asked_and_everywhere_alike():
    rng = torch.Generator().manual_seed(0)
    drawn = torch.tensor([losses.sample_crossover(6, 0.9, rng) for _ in range(4000)])
    shares = torch.bincount(drawn, minlength=7) / len(drawn)
    assert shares[0] == 0 and shares[6].item() == pytest.approx(0.1, abs=0.02)
    assert all(share.item() == pytest.approx(0.18, abs=0.025) for share in shares[1:6])
    assert {losses.sample_crossover(6, 0.0, rng) for _ in range(50)} == {6}


def test_crossover_draws_the_same_numbers_whether_it_mixes_or_not():
    after = []
    for probability in (0.0, 1.0):
        rng = torch.Generator().manual_seed(3)
        losses.sample_crossover(6, probability, rng)
        after.append(torch.rand((), generator=rng))
    assert after[0] == after[1]


@pytest.mark.parametrize("crossover", [1, 3, 4])
def test_mixing_takes_the_second_code_from_the_crossover_on(crossover):
    g, _ = tiny_networks()
    z1, z2 = torch.randn(2, 3, g.z_dim).unbind(0)
    ws = losses.mix_styles(g.mapping, z1, z2, crossover)
    assert ws.shape == (3, g.num_ws, g.w_dim) and g.num_ws == 4
    torch.testing.assert_close(ws[:, :crossover], g.mapping(z1)[:, :crossover])
    torch.testing.assert_close(ws[:, crossover:], g.mapping(z2)[:, crossover:])


def test_random_numbers_of_a_step_depend_on_seed_step_and_stream():
    draws = {
        key: torch.rand(4, generator=step_generator(*key)).tolist()
        for key in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (1, 1, 0)]
    }
    assert len({tuple(draw) for draw in draws.values()}) == len(draws)
    assert torch.rand(4, generator=step_generator(0, 1)).tolist() == draws[0, 1, 0]
