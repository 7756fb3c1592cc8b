"""Our networks against the numbers of the original implementation (tests/golden; see make_weights for the recipe).

The two state dicts have other names: the weights are drawn by the *reference's* names and come in through the
converter, so the name table is tested by the same numbers.

A gradient jumps where the input of a leaky ReLU passes zero. Three of the millions of inputs behind the golden
gradients are nearer to zero (1e-8 to 4e-7) than float32 can tell, and there the reference's rounding took the other
side than exact arithmetic does. So the side is fixed for every input within 8 standard deviations of rounding error
("kinks" in the JSON file: layer, index, sign), and the result depends on no machine's order of summation.
"""

import json
import math
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch
from golden_numbers import GOLDEN, assert_close, make_weights

from stylegan2.checkpoints import rosinality
from stylegan2.losses import PathLengthRegulariser, path_lengths, r1_penalty
from stylegan2.ops import SLOPE


def assert_norms_close(ours: dict[str, float], theirs: dict[str, float]):
    """1e-3 relative; a norm that is exactly 0 there must be 0 here."""
    assert ours.keys() == theirs.keys()
    off = {k: (v, theirs[k]) for k, v in ours.items() if not math.isclose(v, theirs[k], rel_tol=1e-3, abs_tol=1e-12)}
    assert not off, off
    worst = max((abs(v - theirs[k]) / theirs[k] for k, v in ours.items() if theirs[k]), default=0)
    print(f"{len(ours)} gradient norms, worst relative deviation {worst:.1e}")


@pytest.fixture(scope="module")
def meta():
    return json.loads((GOLDEN / "rosinality_32.json").read_text())


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "rosinality_32.npz") as arrays:
        return {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays}


@pytest.fixture(scope="module")
def g(meta):
    return rosinality.to_generator(make_weights(meta["g_32"]))


@pytest.fixture(scope="module")
def d(meta):
    return rosinality.to_discriminator(make_weights(meta["d_32"]))


def grad_norms(rows, network, grads) -> dict[str, float]:
    """Norm of every parameter's gradient by the reference's name; parameters that had none are left out."""
    theirs = {row.ours: row.theirs for row in rows}
    pairs = zip(network.named_parameters(), grads, strict=True)
    return {theirs[name]: grad.norm().item() for (name, _), grad in pairs if grad is not None}


@contextmanager
def fixed_kinks(network, kinks: list[list]):
    """Put the listed inputs of leaky ReLUs on their side of zero. Each is at most 1e-5 away: only gradients notice."""
    sides = {}
    for layer, index, sign in kinks:
        sides.setdefault(layer, {})[index] = sign
    hooks = [network.get_submodule(layer).register_forward_hook(partial(_fix, s)) for layer, s in sides.items()]
    yield
    for hook in hooks:
        hook.remove()


def _fix(sides: dict[int, int], module, args, y: torch.Tensor) -> torch.Tensor:
    index, sign = torch.tensor(list(sides)), torch.tensor(list(sides.values()))
    values = y.detach().flatten()[index]
    assert values.abs().max() < 1.5e-5, "not a kink: this output differs by more than rounding"
    factor = torch.where(values.sign() == sign, 1.0, torch.where(sign > 0, 1 / SLOPE, SLOPE))
    return y * torch.ones(y.numel()).index_put((index,), factor).reshape(y.shape)


@torch.no_grad()
def test_generator_images(g, golden):
    w = g.mapping.w(golden["z"])
    assert_close("w", w, golden["w"])
    ws = g.mapping.broadcast(w)
    img, rgbs = g.synthesis(ws, noise="const", return_rgbs=True)
    assert_close("img", img, golden["img"])
    for size in (4, 8, 16, 32):
        assert_close(f"rgb_{size}", rgbs[size], golden[f"rgb_{size}"])
    mixed = torch.cat([ws[:, :3], ws.flip(0)[:, 3:]], dim=1)  # crossover 3: coarse from z, the rest from z reversed
    assert_close("img_mix3", g.synthesis(mixed, noise="const"), golden["img_mix3"])


@torch.no_grad()
def test_truncation(g, golden):
    g.mapping.w_mean.copy_(g.mapping.w(golden["z"]).mean(0))
    assert_close("img_trunc07", g(golden["z"], truncation=0.7, noise="const"), golden["img_trunc07"])
    g.mapping.w_mean.zero_()


def test_path_length_and_its_gradient(g, meta, golden):
    ws = g.mapping(golden["z"])
    with fixed_kinks(g, meta["kinks"]["g"]):
        img = g.synthesis(ws, noise="const")
    (grad,) = torch.autograd.grad((img * golden["pl_noise"]).sum(), ws, create_graph=True)  # [N, L, w_dim]
    # ours divides by sqrt(H W), so that resolutions are comparable; the golden lengths are without it
    lengths = path_lengths(img, ws, golden["pl_noise"]) * img.shape[-1]
    assert_close("pl_grad", grad.detach(), golden["pl_grad"])
    np.testing.assert_allclose(lengths.detach(), golden["pl_lengths"], rtol=1e-3)
    grads = torch.autograd.grad(lengths.sum(), list(g.parameters()), allow_unused=True)
    theirs = meta["path_length_param_grad_norms"]
    assert_norms_close(grad_norms(rosinality.generator_rows(g), g, grads), theirs)


def gradient(values, g, factors=None) -> torch.Tensor:
    """Of values (times factors, summed) with respect to all of the generator's parameters, in one row."""
    grads = torch.autograd.grad(values, list(g.parameters()), factors, retain_graph=True, materialize_grads=True)
    return torch.cat([grad.flatten() for grad in grads])


def test_the_gradient_of_the_path_length_penalty(g, meta, golden):
    """The running mean takes in the batch's own lengths, and the gradient goes through it, as in both originals.

    Of mean((l - a)^2) with a = a0 + decay (mean(l) - a0), by hand: 2 / N ((l_i - a) - decay mean(l - a)) for each
    length l_i, which then goes on to the parameters.
    """
    decay, before = 0.01, 0.4
    ws = g.mapping(golden["z"])
    with fixed_kinks(g, meta["kinks"]["g"]):
        img = g.synthesis(ws, noise="const")
    regulariser = PathLengthRegulariser(decay)
    regulariser.mean = torch.tensor(before)
    penalty = regulariser(img, ws, golden["pl_noise"])
    ours = gradient(penalty, g)

    (jacobian,) = torch.autograd.grad(
        (img * golden["pl_noise"]).sum() / img.shape[-1], ws, create_graph=True
    )  # [N, L, w_dim]
    lengths = (jacobian**2).sum(2).mean(1) ** 0.5  # [N]
    np.testing.assert_allclose(lengths.detach() * img.shape[-1], golden["pl_lengths"], rtol=1e-3)
    away = lengths.detach() - (before + decay * (lengths.detach().mean() - before))
    assert penalty.item() == pytest.approx((away**2).mean().item(), rel=1e-5)

    theirs = gradient(lengths, g, 2 / len(away) * (away - decay * away.mean()))
    detached = gradient(lengths, g, 2 / len(away) * away)
    deviation, without = ((x - theirs).norm() / theirs.norm() for x in (ours, detached))
    print(f"path length penalty: gradient off by {deviation:.1e}; with a detached mean by {without:.1e}")
    assert deviation < 1e-4 and without > 5e-3


def test_discriminator_and_r1(d, meta, golden):
    images = golden["d_in"].requires_grad_()
    with fixed_kinks(d, meta["kinks"]["d"]):
        logits = d(images)
    assert_close("d_out", logits.detach(), golden["d_out"])
    (grad,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    assert_close("r1_grad", grad.detach(), golden["r1_grad"])
    with fixed_kinks(d, meta["kinks"]["d"]):
        r1 = r1_penalty(d, golden["d_in"])
    assert r1.item() == pytest.approx(meta["r1"], rel=1e-3)
    grads = torch.autograd.grad(r1, list(d.parameters()), allow_unused=True)
    assert_norms_close(grad_norms(rosinality.discriminator_rows(d), d, grads), meta["r1_param_grad_norms"])


def test_name_table_is_complete_at_the_published_size(meta):
    """Names and shapes of a whole config-f checkpoint at 256 px, kernels and noise included, in both directions."""
    for kind, to_ours, to_theirs in [
        ("g_256", rosinality.to_generator, rosinality.from_generator),
        ("d_256", rosinality.to_discriminator, rosinality.from_discriminator),
    ]:
        file = {k: torch.full(s, 0.5) for k, s in meta[kind].items() if not k.endswith(".kernel")}
        exported = to_theirs(to_ours(file))
        assert {k: list(v.shape) for k, v in exported.items()} == meta[kind]
        assert all(torch.equal(exported[k], v) for k, v in file.items())
