"""SeFa and GANSpace: closed-form directions against the original's numbers, and what makes them right.

tests/golden/rosinality_32_sefa.npz holds the original's singular values, for the weights of test_parity.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from golden_numbers import GOLDEN, make_weights
from tiny_training import tiny_networks

from stylegan2.checkpoints import fingerprint, rosinality
from stylegan2.editing.ganspace import principal_directions
from stylegan2.editing.sefa import factorize, style_weights
from stylegan2.networks import Generator, SharedMapping, build


@pytest.fixture(scope="module")
def g() -> Generator:
    """16 px, 6 codes, 5 convolutions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(16, "pocket")[0].eval().requires_grad_(False)


def styles_of(g: Generator, ws: torch.Tensor, layers) -> torch.Tensor:
    """What the chosen convolutions are modulated by, [N, C]."""
    return torch.cat([g.synthesis.convs[i].affine(ws[:, i]) for i in layers], dim=1)


def test_singular_values_are_those_of_the_original():
    shapes = json.loads((GOLDEN / "rosinality_32.json").read_text())["g_32"]
    golden = np.load(GOLDEN / "rosinality_32_sefa.npz")["sefa_singular_values"]
    model = rosinality.to_generator(make_weights(shapes))
    found = factorize(model, normalise=False, to_rgb=[4])
    deviation = np.abs(found.values.sqrt().numpy() / golden - 1).max()
    print(f"largest relative deviation {deviation:.1e}")
    assert deviation <= 1e-5
    ours = factorize(model, normalise=False).values.sqrt().numpy()  # without the tRGB that got in there
    assert np.abs(ours / golden - 1).max() > 1e-2


def test_with_the_last_colour_layer_all_directions_are_those_of_the_authors(g):
    """Theirs: columns of the transposed weights, each of length 1, of every convolution and of the last tRGB."""
    layers = [*[conv.affine for conv in g.synthesis.convs], g.synthesis.blocks["16"].to_rgb.affine]
    columns = np.concatenate([layer.weight.detach().double().numpy().T for layer in layers], axis=1)
    columns /= np.linalg.norm(columns, axis=0, keepdims=True)
    values, vectors = np.linalg.eigh(columns @ columns.T)
    found = factorize(g, "all", to_rgb=[16], count=8)
    np.testing.assert_allclose(found.values, values[::-1][:8], rtol=1e-5)
    cosines = np.abs((found.vectors.numpy() * vectors[:, ::-1][:, :8].T).sum(axis=1))
    assert cosines.min() > 1 - 1e-5 and found.made_from["to_rgb"] == [16]
    without = factorize(g, "all", count=8)
    assert not torch.allclose(found.vectors, without.vectors, atol=1e-3)


def test_weights_are_those_of_the_convolutions_in_order(g):
    a = style_weights(g, "0,3")
    convs = g.synthesis.convs
    assert torch.equal(a, torch.cat([convs[0].affine.weight, convs[3].affine.weight]).double())
    assert len(style_weights(g)) == sum(conv.affine.weight.shape[0] for conv in convs)
    more = style_weights(g, "0", to_rgb=[16])
    assert torch.equal(more[len(convs[0].affine.weight) :], g.synthesis.blocks["16"].to_rgb.affine.weight.double())


def test_a_colour_layer_changes_nothing(g):
    before = factorize(g, "all", count=3).vectors
    weight = g.synthesis.blocks["8"].to_rgb.affine.weight
    kept = weight.clone()
    weight.mul_(100)
    try:
        assert torch.equal(factorize(g, "all", count=3).vectors, before)
    finally:
        weight.copy_(kept)


@pytest.mark.parametrize("normalise", [False, True])
def test_directions_are_eigenvectors_sorted_and_upright(g, normalise):
    d = factorize(g, "coarse", normalise)
    a = style_weights(g, "coarse")
    a = a / a.norm(dim=1, keepdim=True) if normalise else a
    v = d.vectors.double()
    torch.testing.assert_close(a.T @ (a @ v.T), v.T * d.values.double(), rtol=0, atol=1e-5 * float(d.values[0]))
    torch.testing.assert_close(v @ v.T, torch.eye(len(v), dtype=torch.float64), rtol=0, atol=1e-5)
    assert (d.values.diff() <= 0).all() and d.values.min() >= 0
    assert (v.gather(1, v.abs().argmax(1, keepdim=True)) > 0).all()
    assert d.layers == (0, 1) and d.vectors.dtype == torch.float32
    if normalise:
        assert float(d.values.sum()) == pytest.approx(len(a), rel=1e-5)  # the trace: rows of length 1


def test_a_mixture_has_the_value_of_its_own_vector(g):
    a, d = style_weights(g, "coarse"), factorize(g, "coarse", normalise=False)
    mixed = d.mix({0: 1.0, 3: -2.0}, "both")
    assert float(mixed.values) == pytest.approx(float((a @ mixed.vectors[0].double()).square().sum()), rel=1e-4)


def test_no_step_of_the_same_length_changes_the_styles_more(g):
    """The claim of the paper, equation 4, on the network's own styles."""
    d, layers = factorize(g, "middle", normalise=False), (2, 3, 4)
    ws = g.mapping(torch.randn(1, g.z_dim, generator=torch.Generator().manual_seed(0)))

    def change(step):
        return (styles_of(g, ws + step, layers) - styles_of(g, ws, layers)).square().sum().item()

    most = change(d.vectors[0])
    gain = g.synthesis.convs[0].affine.weight_gain ** 2
    assert most == pytest.approx(float(d.values[0]) * gain, rel=1e-3)
    steps = torch.randn(50, g.w_dim, generator=torch.Generator().manual_seed(1))
    assert all(change(step / step.norm()) < most for step in steps)
    assert change(d.vectors[1]) < most


def test_the_same_model_gives_the_same_directions_and_says_which(g):
    a, b = factorize(g, "2-3", count=5), factorize(g, [3, 2], count=5)
    assert torch.equal(a.vectors, b.vectors) and len(a) == 5
    assert a.made_from == {"method": "sefa", "layers": "2-3", "normalise": True, "generator": fingerprint(g)}
    other = build(16, "pocket", seed=1)[0]
    assert factorize(other, "2-3", count=5).made_from["generator"] != a.made_from["generator"]


def test_the_last_code_moves_along_but_has_nothing_to_factorise(g):
    whole = factorize(g, "2-5", count=2)
    assert whole.layers == (2, 3, 4, 5)
    assert torch.equal(whole.vectors, factorize(g, "2-4", count=2).vectors)
    with pytest.raises(ValueError, match="code 5 drives the last tRGB alone; expected some of 0 to 4"):
        factorize(g, "5")


@pytest.mark.parametrize("count", [0, -1, 129])
def test_impossible_settings_are_refused(g, count):
    with pytest.raises(ValueError, match=rf"count is {count}, expected 1 to 128"):
        factorize(g, count=count)
    with pytest.raises(ValueError, match=rf"count is {count}, expected 1 to 128"):
        principal_directions(g, count=count, samples=200)
    with pytest.raises(ValueError, match="has no layers 6; expected 0 to 5"):
        factorize(g, "6")
    with pytest.raises(ValueError, match=r"to_rgb \[32\]: expected some of the resolutions \[4, 8, 16\]"):
        style_weights(g, to_rgb=[32])


def test_presets_of_a_published_size():
    """256 px: 14 codes, 13 convolutions."""
    large = tiny_networks(256, 4)[0]
    for name, layers in (("coarse", (0, 1)), ("middle", (2, 3, 4, 5)), ("fine", tuple(range(6, 14)))):
        d = factorize(large, name, count=2)
        assert d.layers == layers == principal_directions(large, name, 2, samples=50).layers
        weights = [large.synthesis.convs[i].affine.weight for i in layers if i < 13]
        assert torch.equal(style_weights(large, name), torch.cat(weights).double())


# ---------------------------------------------------------------------------------------------------------- GANSpace


def test_principal_directions_are_those_of_the_codes(g):
    d = principal_directions(g, "coarse", samples=500, seed=3)
    z = torch.randn(500, g.z_dim, generator=torch.Generator().manual_seed(3))
    w = g.mapping.w(z).double()
    along = (w - w.mean(0)) @ d.vectors.double().T  # [500, K]
    torch.testing.assert_close(along.std(0), d.values.double(), rtol=1e-4, atol=1e-5)
    correlated = torch.cov(along.T) - torch.diag(along.var(0))
    assert correlated.abs().max() < 1e-5 * along.var(0).max()
    assert (d.values.diff() <= 0).all() and d.layers == (0, 1)
    assert (d.vectors.gather(1, d.vectors.abs().argmax(1, keepdim=True)) > 0).all()


def test_principal_directions_depend_on_the_seed_alone(g):
    state = torch.get_rng_state()
    a, b = (principal_directions(g, count=4, samples=300, seed=1) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a.vectors, b.vectors) and len(a) == 4
    assert a.made_from["samples"] == 300 and a.made_from["method"] == "ganspace"
    assert not torch.equal(principal_directions(g, count=4, samples=300, seed=2).values, a.values)
    with pytest.raises(ValueError, match="samples is 50, expected at least 128"):
        principal_directions(g, samples=50)


def test_a_mixture_of_components_has_its_own_standard_deviation(g):
    d = principal_directions(g, samples=500, seed=3)
    mixed = d.mix({0: 2.0, 5: 3.0}, "both")
    w = g.mapping.w(torch.randn(500, g.z_dim, generator=torch.Generator().manual_seed(3)))
    assert float(mixed.values) == pytest.approx(float((w @ mixed.vectors[0]).std()), rel=1e-3)


def test_the_codes_are_those_of_the_mapping_that_makes_them():
    """FreezeStyle: codes 0 to 2 come from the source's mapping."""
    source, target = (tiny_networks(32, 6, seed)[0].requires_grad_(False) for seed in (1, 2))
    own = principal_directions(target, "3-7", samples=100)
    target.mapping = SharedMapping(target.mapping, source.mapping, k=3)
    for layers, expected in (("coarse", principal_directions(source, "coarse", samples=100)), ("3-7", own)):
        found = principal_directions(target, layers, samples=100)
        assert torch.equal(found.vectors, expected.vectors) and torch.equal(found.values, expected.values)
        assert found.made_from["generator"] == fingerprint(target)
    with pytest.raises(ValueError, match="layers 2-3: codes below 3 come from another mapping"):
        principal_directions(target, "2-3", samples=100)
