"""The operations' fast paths against the plain ones they stand for, gradients of first and second order included."""

import pytest
import torch
from torch.nn import functional as F

from stylegan2 import checkpoints, ops
from stylegan2.networks import Discriminator, Generator
from stylegan2.ops import Filter, FilterBack, demodulation, fir_kernel


def randn(*shape, seed=0, **kwargs) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **kwargs)


def second_order(op, *inputs) -> list[torch.Tensor]:
    """Value, gradients, and the gradients of the gradients' squared norm: what R1 and path length need."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    y = op(*inputs)
    first = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
    return [y.detach(), *(g.detach() for g in first), *second]


def assert_same(ours: list[torch.Tensor], plain: list[torch.Tensor], within: float) -> None:
    for a, b in zip(ours, plain, strict=True):
        assert (a - b).abs().max() <= within * b.std().clamp(min=1e-12)


# ---------------------------------------------------------------------------------------------------------- resampling
@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (1, 2), (2, 1)])
def test_the_filter_is_the_depthwise_convolution_it_stands_for(stride, padding):
    def plain(x, bias):
        return F.conv2d(x, fir_kernel(x, 4.0), bias, stride, padding, groups=3)

    inputs = randn(2, 3, 8, 8, dtype=torch.float64), randn(3, dtype=torch.float64, seed=1)
    ours = second_order(lambda x, bias: Filter.apply(x, bias, 4.0, stride, padding), *inputs)
    assert_same(ours, second_order(plain, *inputs), 1e-12)


@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (1, 2), (2, 1)])
def test_the_filter_and_its_transpose_belong_together(stride, padding):
    """<filter(x), y> = <x, transpose(y)>"""
    x = randn(1, 2, 6, 6, dtype=torch.float64)
    filtered = Filter.apply(x, None, 1.0, stride, padding)
    y = randn(*filtered.shape, dtype=torch.float64, seed=1)
    back = FilterBack.apply(y, 1.0, stride, padding)
    torch.testing.assert_close((filtered * y).sum(), (x * back).sum())


def test_resampling_in_bfloat16_stays_bfloat16():
    x = randn(1, 2, 8, 8)
    for op in (ops.upsample2d, ops.downsample2d):
        rough = op(x.bfloat16())
        assert rough.dtype == torch.bfloat16
        assert (rough.float() - op(x)).abs().max() < 0.02


# -------------------------------------------------------------------------------------------------- styled convolution
def textbook(x, weight, style, bias, noise, up):
    """Figure 2c step by step: modulate, convolve, demodulate, noise, bias, leaky ReLU with its gain."""
    y = ops.modulated_conv2d(x, weight, style, up=up)
    return ops.bias_act(y if noise is None else y + noise, bias)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_styled_convolution_is_its_steps(up, noisy):
    x, weight, style, bias = (
        randn(*shape, seed=i, dtype=torch.float64) for i, shape in enumerate([(2, 3, 6, 6), (4, 3, 3, 3), (2, 3), (4,)])
    )
    side = 12 if up else 6
    noise = [randn(2, 1, side, side, seed=9, dtype=torch.float64)] if noisy else []

    def call(op):
        return lambda x, weight, style, bias, *noise: op(x, weight, style, bias, noise[0] if noise else None, up)

    inputs = x, weight, style, bias, *noise
    assert_same(second_order(call(ops.styled_conv), *inputs), second_order(call(textbook), *inputs), 1e-10)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("up", [False, True])
def test_rendering_gives_the_numbers_of_training(up, n):
    """Without a graph the style of a single image is folded into the weights: the same to float32's last bits."""
    x, weight, style, bias = randn(n, 3, 16, 16), randn(4, 3, 3, 3, seed=1), randn(n, 3, seed=2), randn(4, seed=3)
    folded = ops.styled_conv(x, weight, style, bias, None, up)
    trained = ops.styled_conv(x, weight.clone().requires_grad_(), style, bias, None, up).detach()
    assert_same([folded], [trained], 1e-4)
    assert_same([folded], [textbook(x, weight, style, bias, None, up)], 1e-4)


@pytest.mark.parametrize("n", [1, 3])
def test_colours_are_the_plain_modulated_convolution(n):
    x, weight, style, bias = randn(n, 4, 8, 8), randn(3, 4, 1, 1, seed=1), randn(n, 4, seed=2), randn(3, seed=3)
    expected = torch.einsum("nihw,oi,ni->nohw", x, weight[..., 0, 0], style) + bias[:, None, None]
    torch.testing.assert_close(ops.modulated_rgb(x, weight, style, bias), expected)
    assert ops.modulated_rgb(x.bfloat16(), weight, style, bias).dtype == torch.float32


def test_demodulation_brings_features_to_unit_variance():
    weight, style = randn(5, 64, 3, 3), randn(2, 64, seed=1)
    x = randn(2, 64, 24, 24, seed=2)
    y = F.conv2d((x * style[:, :, None, None]), weight) * demodulation(weight, style)[:, :, None, None]
    assert ((y.std(dim=(2, 3)) - 1).abs() < 0.15).all()


# ------------------------------------------------------------------------------------------------------------ networks
def test_batches_judged_together_get_the_logits_of_batches_alone():
    torch.manual_seed(0)
    d = Discriminator(16, {4: 8, 8: 8, 16: 4}).requires_grad_(False)
    real, fake = randn(6, 3, 16, 16), 2 * randn(6, 3, 16, 16, seed=1)
    together = d(torch.cat([real, fake]), batches=2)
    torch.testing.assert_close(together, torch.cat([d(real), d(fake)]), rtol=1e-4, atol=1e-5)
    assert (d(torch.cat([real, fake])) - together).abs().max() > 1e-4  # one batch of 12 is something else
    with pytest.raises(ValueError, match="5 images cannot be 2 batches"):
        d(randn(5, 3, 16, 16), batches=2)


def tiny_generator() -> Generator:
    torch.manual_seed(0)
    return Generator(16, 8, 8, 2, {4: 8, 8: 8, 16: 4}).requires_grad_(False)


def test_loaded_weights_lie_as_the_convolutions_want_them(tmp_path):
    """Otherwise every convolution rearranges its weights first."""
    g = tiny_generator()
    checkpoints.save(tmp_path / "g.pt", g_ema=g, half=True)
    checkpoints.export(tmp_path / "theirs.pt", checkpoints.load(tmp_path / "g.pt"))
    for name in ("g.pt", "theirs.pt"):
        loaded = checkpoints.load(tmp_path / name).g_ema
        for layer in loaded.synthesis.convs:
            assert layer.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_renders_what_its_images_render_alone():
    g = tiny_generator()
    ws = g.mapping(randn(3, 8))
    alone = torch.cat([g.synthesis(w[None], "const") for w in ws])
    assert_same([g.synthesis(ws, "const")], [alone], 1e-4)
