"""The networks beyond parity: shapes, which code drives what, noise, truncation, gradients, precision."""

import math
from functools import partial

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from stylegan2 import ops
from stylegan2.discriminator import Discriminator, minibatch_stddev
from stylegan2.layers import resolutions, widths
from stylegan2.networks import Generator, build

WIDTHS = {4: 8, 8: 8, 16: 6, 32: 4, 64: 3}


def make_g(resolution=16, **kwargs) -> Generator:
    """A tiny generator with noise that is seen and codes that matter."""
    torch.manual_seed(0)
    g = Generator(resolution, z_dim=8, w_dim=8, mapping_layers=2, channels=WIDTHS, **kwargs)
    for conv in g.synthesis.convs:
        torch.nn.init.constant_(conv.noise_strength, 0.3)
    g.mapping.update_mean(200)
    return g.requires_grad_(False)


def make_d(resolution=16) -> Discriminator:
    torch.manual_seed(1)
    return Discriminator(resolution, WIDTHS).requires_grad_(False)


def randn(*shape, seed=3, **kwargs) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **kwargs)


# ------------------------------------------------------------------------------------------------------------ shapes
@pytest.mark.parametrize("resolution", [8, 16, 32, 64])
def test_shapes(resolution):
    g, d = make_g(resolution), make_d(resolution)
    ws = g.mapping(randn(3, 8))
    assert ws.shape == (3, 2 * (int(math.log2(resolution)) - 1), 8) and g.num_ws == ws.shape[1]
    image, rgbs = g.synthesis(ws, return_rgbs=True)
    assert image.shape == (3, 3, resolution, resolution) and image is rgbs[resolution]
    assert {r: rgb.shape[-1] for r, rgb in rgbs.items()} == {r: r for r in resolutions(resolution)}
    assert d(image).shape == (3, 1)


@pytest.mark.parametrize("resolution", [2048, 4, 12, 0, -8])
def test_odd_resolutions_are_refused(resolution):
    with pytest.raises(ValueError, match=f"power of two from 8 to 1024, got {resolution}"):
        Generator(resolution)


def test_widths_must_be_complete():
    with pytest.raises(ValueError, match=r"missing: \[16, 8\]"):
        Discriminator(16, {4: 8})


def test_inputs_of_another_shape_are_refused():
    g, d = make_g(), make_d()
    for z in (torch.zeros(1, g.num_ws, 8), torch.zeros(8), torch.zeros(2, 9)):  # also: a z per layer
        with pytest.raises(ValueError, match="one code per image"):
            g.mapping(z)
    with pytest.raises(ValueError, match=r"ws must be \[N, 6, 8\], got \[2, 5, 8\]"):
        g.synthesis(torch.zeros(2, 5, 8))
    with pytest.raises(ValueError, match=r"images must be \[N, 3, 16, 16\]"):
        d(torch.zeros(2, 3, 8, 8))


def test_published_sizes():
    """Config-f as it was published: 30,034,338 and 28,864,129 parameters at 256 px; 1024 px takes 18 codes."""
    with torch.device("meta"):  # nothing is allocated
        g, d, large = Generator(256), Discriminator(256), Generator(1024)
    assert (sum(p.numel() for p in g.parameters()), g.num_ws) == (30_034_338, 14)
    assert sum(p.numel() for p in d.parameters()) == 28_864_129
    assert (sum(p.numel() for p in large.parameters()), large.num_ws) == (30_370_060, 18)
    assert widths(1024) == {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}


# ------------------------------------------------------------------------------------- which code drives what, noise
@pytest.mark.parametrize("code", range(8))
def test_each_code_drives_its_layers_and_no_other(code):
    """Code i first shows at the resolution of its convolution or tRGB; everything below stays bit for bit the same."""
    g = make_g(32)
    ws = g.mapping(randn(1, 8)).clone()
    _, before = g.synthesis(ws, "const", return_rgbs=True)
    ws[:, code] += 1
    _, after = g.synthesis(ws, "const", return_rgbs=True)
    changed = [r for r in before if not torch.equal(before[r], after[r])]
    first = {0: 4, 1: 4, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 32}[code]  # 1, 3, 5: the tRGB here, the convolution above
    assert changed == [r for r in before if r >= first]


def test_the_code_of_the_next_convolution_drives_only_colours_here():
    """ws[3] is the 8x8 tRGB and the up-convolution to 16x16: the features at 8x8 do not see it."""
    g, seen = make_g(16), []
    g.synthesis.blocks["8"].register_forward_hook(lambda module, args, out: seen.append(out))
    ws = g.mapping(randn(1, 8)).clone()
    g.synthesis(ws, "const")
    ws[:, 3] += 1
    g.synthesis(ws, "const")
    (x0, rgb0), (x1, rgb1) = seen
    assert torch.equal(x0, x1) and not torch.equal(rgb0, rgb1)


def test_noise_modes():
    g = make_g()
    ws = g.mapping(randn(2, 8))
    const, none = g.synthesis(ws, "const"), g.synthesis(ws, "none")
    assert torch.equal(const, g.synthesis(ws, "const")) and torch.equal(none, g.synthesis(ws, "none"))
    assert not torch.equal(const, none)
    assert not torch.equal(g.synthesis(ws, "random"), g.synthesis(ws, "random"))
    same = g.synthesis(ws[:1].expand(2, -1, -1), "random")
    assert not torch.equal(same[0], same[1])  # every image its own noise


def test_a_generator_gives_noise_of_its_own():
    g = make_g()
    ws = g.mapping(randn(2, 8))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = g.synthesis(ws, torch.Generator().manual_seed(4))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, g.synthesis(ws, torch.Generator().manual_seed(4)))
    assert not torch.equal(first, g.synthesis(ws, torch.Generator().manual_seed(5)))


def test_noise_drawn_once_serves_many_calls():
    g = make_g()
    ws = g.mapping(randn(2, 8))
    drawn = g.synthesis.sample_noise(2)
    assert all(a is b for a, b in zip(drawn, g.synthesis.sample_noise(2, drawn), strict=True))
    assert torch.equal(g.synthesis(ws, drawn), g.synthesis(ws, drawn))
    assert [tuple(n.shape) for n in drawn] == [(2, 1, r, r) for r in (4, 8, 8, 16, 16)]
    with pytest.raises(ValueError, match="needs 5 tensors"):
        g.synthesis(ws, drawn[:-1])
    with pytest.raises(ValueError, match='must be "random", "const".*got \'fixed\''):
        g.synthesis(ws, "fixed")


# -------------------------------------------------------------------------------------------------------- truncation
def test_truncation():
    g = make_g()
    z, mean = randn(2, 8), make_g().mapping.w_mean
    ws = g.mapping(z)
    assert torch.equal(g.mapping(z, truncation=1), ws)
    torch.testing.assert_close(g.mapping(z, truncation=0), mean.expand(2, 6, 8))
    torch.testing.assert_close(g.mapping(z, truncation=1.5), mean + 1.5 * (ws - mean))
    torch.testing.assert_close(g.mapping(z, truncation=-0.5), mean - 0.5 * (ws - mean))


def test_mean_w_depends_on_its_seed_alone():
    g = make_g()
    torch.manual_seed(8)
    first = g.mapping.update_mean(1500, seed=1).clone()
    torch.manual_seed(9)
    assert torch.equal(first, g.mapping.update_mean(1500, seed=1))
    assert not torch.equal(first, g.mapping.update_mean(1500, seed=2))
    z = torch.randn(1500, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(first, g.mapping.w(z).mean(0))


def test_a_code_gives_the_same_image_in_any_batch():
    g, z = make_g(), randn(5, 8)
    torch.testing.assert_close(g(z, noise="const")[3:4], g(z[3:4], noise="const"), rtol=1e-4, atol=1e-5)


# ----------------------------------------------------------------------------------------------------- discriminator
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 13])
def test_minibatch_stddev_is_informative_for_any_batch(n):
    x = randn(n, 3, 4, 4, dtype=torch.float64)
    y = minibatch_stddev(x)
    assert y.shape == (n, 4, 4, 4) and torch.equal(y[:, :3], x)
    groups = math.ceil(n / 4)
    for k in range(groups):  # image i is in group i mod groups; each has 2 to 4 images
        group = x[k::groups]
        assert n == 1 or 2 <= len(group) <= 4
        expected = (group.var(0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[k::groups, 3], expected.expand(len(group), 4, 4))
    flat = minibatch_stddev(x[:1].expand(n, -1, -1, -1))[:, 3]
    torch.testing.assert_close(flat, torch.full_like(flat, 1e-4))  # equal images: sqrt of the epsilon


@pytest.mark.parametrize("n", [1, 5, 6, 7])
def test_discriminator_takes_any_batch_and_sees_variety(n):
    d, x = make_d(), randn(n, 3, 16, 16)
    logits = d(x)
    assert logits.shape == (n, 1) and logits.isfinite().all()
    if n > 1:  # the same image among copies of itself looks different from itself among others
        copies = d(x[:1].expand(n, -1, -1, -1).contiguous())
        assert (copies[0] - logits[0]).abs() > 1e-4


# --------------------------------------------------------------------------------------------------------- gradients
def double(*shape, seed=0) -> torch.Tensor:
    return randn(*shape, seed=seed, dtype=torch.float64).requires_grad_()


OPS = {
    "upsample2d": (ops.upsample2d, [(1, 2, 3, 3)]),
    "downsample2d": (ops.downsample2d, [(1, 2, 4, 4)]),
    "blurred_conv_up": (ops.blurred_conv_up, [(1, 2, 2, 3), (2, 2, 3, 3)]),
    "blurred_conv_down": (ops.blurred_conv_down, [(1, 2, 4, 2), (2, 2, 3, 3)]),
    "bias_act": (ops.bias_act, [(2, 3, 2, 2), (3,)]),
    "modulated_conv2d": (ops.modulated_conv2d, [(2, 2, 3, 2), (1, 2, 3, 3), (2, 2)]),
    "modulated_conv2d up": (partial(ops.modulated_conv2d, up=True), [(2, 2, 1, 2), (1, 2, 3, 3), (2, 2)]),
    "modulated_conv2d plain": (partial(ops.modulated_conv2d, demodulate=False), [(1, 2, 3, 3), (2, 2, 1, 1), (1, 2)]),
    "minibatch_stddev": (minibatch_stddev, [(3, 2, 2, 2)]),
}


@pytest.mark.parametrize("name", OPS)
def test_gradients_of_first_and_second_order(name):
    op, shapes = OPS[name]
    inputs = [double(*shape, seed=i) for i, shape in enumerate(shapes)]
    assert op(*inputs).dtype == torch.float64
    assert gradcheck(op, inputs)
    assert gradgradcheck(op, inputs, fast_mode=True)


def test_modulated_convolution_is_that_of_the_paper():
    """Scaling activations must equal scaling and normalising each image's weights (equations 1 and 3)."""
    x, weight, style = (double(*s, seed=i).detach() for i, s in enumerate([(2, 3, 5, 5), (4, 3, 3, 3), (2, 3)]))
    for n in range(2):
        w = weight * style[n][None, :, None, None]
        w = w / (w.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected = torch.nn.functional.conv2d(x[n : n + 1], w, padding=1)
        torch.testing.assert_close(ops.modulated_conv2d(x, weight, style)[n : n + 1], expected)


def test_resampling_keeps_a_flat_image_flat():
    """Unit gain inside (the outermost pixels mix with the zeros outside), and the size doubled or halved."""
    flat = torch.ones(1, 2, 16, 16)
    for y, size in ((ops.upsample2d(flat), 32), (ops.downsample2d(flat), 8)):
        assert y.shape == (1, 2, size, size)
        inside = y[..., 1:-1, 1:-1]
        torch.testing.assert_close(inside, torch.ones_like(inside))


def test_the_whole_of_both_networks_works_in_float64():
    g, d = make_g(8).double(), make_d(8).double()
    g.synthesis.compute_dtype = d.compute_dtype = torch.float64
    z = double(2, 8)
    assert gradcheck(lambda z: d(g(z, noise="const")), [z], fast_mode=True)


# --------------------------------------------------------------------------------------------------------- precision
def test_bfloat16_is_close_to_float32():
    g, d = make_g(32), make_d(32)
    z = randn(4, 8)
    exact = g(z, noise="const")
    logits = d(exact)
    g.synthesis.compute_dtype = d.compute_dtype = torch.bfloat16
    rough = g(z, noise="const")
    assert rough.dtype == torch.float32 and d(exact).dtype == torch.float32
    assert 0 < (rough - exact).std() / exact.std() < 0.03
    assert (d(exact) - logits).abs().max() < 0.05 * logits.abs().max().clamp(min=1)


def test_second_order_works_in_bfloat16():
    """R1 and path length train in low precision too: finite gradients for every parameter that has one."""
    g, d = make_g(16).requires_grad_(), make_d(16).requires_grad_()
    g.synthesis.compute_dtype = d.compute_dtype = torch.bfloat16
    x = randn(3, 3, 16, 16).requires_grad_()
    (grad,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
    ws = g.mapping(randn(2, 8))
    (path,) = torch.autograd.grad((g.synthesis(ws) * randn(2, 3, 16, 16)).sum(), ws, create_graph=True)
    (grad.square().sum() + path.square().sum()).backward()
    grads = [p.grad for p in [*g.parameters(), *d.parameters()] if p.grad is not None]
    assert len(grads) > 40 and all(gradient.isfinite().all() for gradient in grads)


HALF = torch.float16


def test_float16_is_for_the_highest_resolutions_and_close_to_float32():
    g, d = make_g(64), make_d(64)
    z = randn(4, 8)
    exact = g(z, noise="const")
    logits = d(exact)
    g.synthesis.compute_dtype = d.compute_dtype = HALF
    stages = {stage.resolution: stage.x.dtype for stage in g.synthesis.stages(g.mapping(z), "const")}
    assert stages == {4: torch.float32} | dict.fromkeys((8, 16, 32, 64), HALF)
    rough = g(z, noise="const")
    assert rough.dtype == torch.float32 and d(exact).dtype == torch.float32
    assert 0 < (rough - exact).std() / exact.std() < 0.01  # 10 bits of mantissa where bfloat16 has 7
    assert 0 < (d(exact) - logits).abs().max() < 0.02 * logits.abs().max().clamp(min=1)


def test_float16_does_not_overflow_where_styles_or_weights_are_large():
    """What demodulation takes out again must not be there in between: 65,504 is the largest number of float16."""
    g = make_g(16)
    conv = g.synthesis.blocks["16"].conv1
    with torch.no_grad():
        conv.affine.bias.mul_(3e4)
        conv.weight.mul_(3e4)
    z = randn(2, 8)
    exact = g(z, noise="const")
    g.synthesis.compute_dtype = HALF
    rough = g(z, noise="const")
    assert rough.isfinite().all() and (rough - exact).std() < 0.01 * exact.std()


def test_float16_activations_stay_within_bounds():
    d = make_d(16)
    d.compute_dtype = HALF
    images = randn(2, 3, 16, 16) * 1e5  # far beyond what a generator draws
    assert d(images.clamp(-6e4, 6e4)).isfinite().all()


@pytest.mark.parametrize(("clamp", "half", "whole"), [(None, 256, 1e4), (100, 100, 100), (1000, 256, 1000)])
def test_a_clamp_and_the_bound_of_float16_are_one(clamp, half, whole):
    x = torch.tensor([-1e4, -1.0, 1e4])
    assert ops.bounded(x.half(), clamp).tolist() == [-half, -1, half]
    assert ops.bounded(x, clamp).tolist() == [-whole, -1, whole]
    assert clamp is not None or ops.bounded(x) is x


@pytest.mark.parametrize("dtype", [torch.bfloat16, HALF])
def test_gradients_of_low_precision_point_the_same_way(dtype):
    """The second-order losses too: R1 and path length."""
    found = {}
    for kind in (torch.float32, dtype):
        g, d = make_g(32).requires_grad_(), make_d(32).requires_grad_()
        g.synthesis.compute_dtype = d.compute_dtype = kind
        x = randn(3, 3, 32, 32).requires_grad_()
        (grad,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
        ws = g.mapping(randn(2, 8))
        (path,) = torch.autograd.grad((g.synthesis(ws, "const") * randn(2, 3, 32, 32)).sum(), ws, create_graph=True)
        (grad.square().sum() + path.square().sum()).backward()
        found[kind] = {
            f"{part} {name}": p.grad
            for part, network in {"g": g, "d": d}.items()
            for name, p in network.named_parameters()
            if p.grad is not None and p.grad.norm() > 0
        }
    whole = [torch.cat([found[kind][name].flatten() for name in found[torch.float32]]) for kind in found]
    assert torch.cosine_similarity(*whole, dim=0) > 0.99


def test_latents_of_another_device_are_taken_along():
    """z and seeds are drawn on the CPU; the networks may be on a GPU. The meta device shows it without one."""
    g = build(16, "pocket")[0].to("meta")
    assert g(torch.randn(2, g.z_dim), noise="const").device.type == "meta"


@pytest.mark.gpu
def test_a_gpu_draws_the_same_images():
    g = build(64, "pocket")[0].eval().requires_grad_(False)
    z = torch.randn(4, g.z_dim, generator=torch.Generator().manual_seed(0))
    here = g(z, noise="const")
    with torch.backends.cudnn.flags(allow_tf32=False):  # by default convolutions multiply with 10 bits there
        there = g.to("cuda")(z, noise="const").cpu()
    assert (here - there).abs().max() < 1e-3 * here.std()
