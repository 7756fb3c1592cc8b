"""StructureLoss: zero for a network against itself, shared inputs, one pass of each network."""

import copy

import pytest
import torch
from tiny_training import fine_tuner, source

from stylegan2.inputs import Fakes, Inputs
from stylegan2.transfer import StructureLoss, source_stages

KINDS = [StructureLoss((4, 8, 16)), StructureLoss((8, 16), on="features"), StructureLoss((4, 8), relative=True)]


def inputs_of(g, n: int = 6, seed: int = 0, crossover: int = 3) -> Inputs:
    rng = torch.Generator().manual_seed(seed)
    return Inputs(torch.randn(2, n, g.z_dim, generator=rng), crossover, g.synthesis.sample_noise(n, rng))


def fakes_of(g, inputs: Inputs) -> Fakes:
    ws = inputs.ws(g.mapping)
    return Fakes(inputs, ws, {stage.resolution: stage for stage in g.synthesis.stages(ws, inputs.noise)})


@pytest.mark.parametrize("loss", KINDS, ids=str)
def test_a_network_against_its_own_copy_scores_exactly_zero(loss):
    g = source().g_ema
    with torch.no_grad():
        assert float(loss.distance(fakes_of(g, inputs_of(g)), copy.deepcopy(g))) == 0


@pytest.mark.parametrize("loss", KINDS, ids=str)
def test_on_another_code_path_it_is_a_millionth_of_the_variance(loss):
    """With a graph the target convolves activations, without one the source may fold styles into its kernels."""
    g = source().g_ema.requires_grad_(True)
    for n in (1, 6):
        fakes = fakes_of(g, inputs_of(g, n))
        variance = fakes.images.detach().var()
        distance = loss.distance(fakes, copy.deepcopy(g).requires_grad_(False)).detach()
        assert float(distance) <= 1e-6 * variance


def test_it_is_the_sum_of_mean_squared_differences_of_running_rgb_sums():
    g, other = source(1).g_ema, source(2).g_ema
    inputs = inputs_of(g)
    own = g.synthesis(inputs.ws(g.mapping), inputs.noise, return_rgbs=True)[1]
    theirs = other.synthesis(inputs.ws(other.mapping), inputs.noise, return_rgbs=True)[1]
    expected = sum((own[r] - theirs[r]).square().mean() for r in (4, 16))
    loss = StructureLoss((4, 16), weight=3.0)
    torch.testing.assert_close(loss.losses(fakes_of(g, inputs), other)["structure"], 3 * expected)
    relative = sum((own[r] - theirs[r]).square().mean() / theirs[r].var(dim=(0, 2, 3)).mean() for r in (4, 16))
    torch.testing.assert_close(StructureLoss((4, 16), relative=True).distance(fakes_of(g, inputs), other), relative)


def test_features_are_those_after_the_last_convolution(monkeypatch):
    g, other = source(1).g_ema, source(2).g_ema
    inputs, seen = inputs_of(g), {}
    for name, network in (("own", g), ("theirs", other)):
        network.synthesis.blocks["8"].conv1.register_forward_hook(lambda m, i, out, name=name: seen.update({name: out}))
    distance = StructureLoss((8,), on="features").distance(fakes_of(g, inputs), other)
    torch.testing.assert_close(distance, (seen["own"] - seen["theirs"]).square().mean())


def test_drawing_noise_or_crossover_anew_would_not_score_zero():
    """What the original did (REFERENCE: bug 7): then a network differs from itself."""
    g = source().g_ema
    fakes = fakes_of(g, inputs_of(g))
    for other in (inputs_of(g, seed=1), inputs_of(g, crossover=1)):
        mixed = Inputs(fakes.inputs.z, other.crossover, other.noise)
        theirs = source_stages(g, mixed, 16)
        assert (fakes.stages[16].rgb - theirs[16].rgb).square().mean() > 1e-4


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("loss", [StructureLoss((4, 8, 16)), StructureLoss((8, 16), on="features")], ids=str)
def test_the_trainer_shares_all_draws_with_the_source(tmp_path, loss, precision):
    """At step 0 the target is the source, whatever z, crossover and noise were drawn: the loss must be 0."""
    trainer = fine_tuner(tmp_path, loss, style_mixing=1.0, precision=precision)
    for seed in range(5):
        (fakes,) = trainer._fakes(4, torch.Generator().manual_seed(seed))
        distance = loss.distance(fakes, trainer.source).detach()
        assert distance <= 1e-6 * fakes.images.detach().var()
    assert all(noise is not None and noise.std() > 0.5 for noise in fakes.inputs.noise)


def test_one_pass_of_each_network_only_as_far_as_needed(tmp_path):
    trainer = fine_tuner(tmp_path, StructureLoss((4, 8)), pl_weight=0.0)
    calls = []
    for name, network in (("target", trainer.g), ("source", trainer.source)):
        for r, block in network.synthesis.blocks.items():
            block.register_forward_hook(lambda *_, name=name, r=r: calls.append((name, r)))
    rng = torch.Generator().manual_seed(0)
    trainer._generator_step(trainer._fakes(4, rng), rng)
    assert calls == [("target", "4"), ("target", "8"), ("target", "16"), ("source", "4"), ("source", "8")]


def test_only_the_target_gets_a_gradient():
    g, other = source(1).g_ema.requires_grad_(True), source(2).g_ema.requires_grad_(True)
    StructureLoss((4, 8)).distance(fakes_of(g, inputs_of(g)), other).backward()
    assert all(p.grad is None for p in other.parameters())
    moved = {name for name, p in g.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert "mapping.layers.0.weight" in moved and "synthesis.blocks.4.const" in moved
    assert not any("blocks.16" in name for name in moved)


def test_the_loss_of_a_batch_is_the_mean_over_its_shards():
    """Several processes, each with a part of the batch, whose gradients are averaged, do what one process does."""
    g, other = source(1).g_ema.requires_grad_(True), source(2).g_ema
    whole = inputs_of(g, 6)
    parts = [
        Inputs(whole.z[:, s], whole.crossover, [noise[s] for noise in whole.noise]) for s in (slice(3), slice(3, 6))
    ]
    for loss in KINDS[:2]:
        gradients = []
        for batch in ([whole], parts):
            g.zero_grad()
            for inputs in batch:
                (loss.distance(fakes_of(g, inputs), other) / len(batch)).backward()
            gradients.append([p.grad.clone() for p in g.parameters() if p.grad is not None])
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_it_pulls_the_target_back_to_the_source(tmp_path):
    """The same fine-tuning with and without: the distance at the end is smaller with it."""
    distances = {}
    for weight in (0.0, 300.0):
        trainer = fine_tuner(tmp_path / str(weight), StructureLoss((4, 8), weight), images=160)
        g, start = trainer.run(progress=False), source().g_ema
        with torch.no_grad():
            distances[weight] = float(StructureLoss((4, 8)).distance(fakes_of(g, inputs_of(g, 32)), start))
    assert distances[300.0] < 0.5 * distances[0.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on": "pixels"}, "compares 'pixels', expected 'rgb' or 'features'"),
        ({"resolutions": ()}, "without resolutions"),
        ({"weight": -1.0}, "weighs -1.0, expected a number of at least 0"),
        ({"weight": float("nan")}, "weighs nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StructureLoss(**arguments)
