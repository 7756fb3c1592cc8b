"""Transfer methods: exact names, what is frozen stays while the rest learns, and models that carry what they need."""

import copy

import pytest
import torch
from tiny_training import Trainer, fine_tuner, random_pictures, source, tiny_config, tiny_networks

from stylegan2 import checkpoints, networks
from stylegan2.pocket.studies.methods import METHODS, named
from stylegan2.transfer import (
    FreezeD,
    FreezeFC,
    FreezeG,
    FreezeSG,
    FreezeStyle,
    Method,
    StructureLoss,
    freeze,
)

FROM_RGB = ["D.from_rgb.bias", "D.from_rgb.weight"]
MAPPING = [f"G.mapping.layers.{i}.{part}" for i in (0, 1) for part in ("bias", "weight")]
SHARED = [f"G.mapping.source.layers.{i}.{part}" for i in (0, 1) for part in ("bias", "weight")]


def d_block(resolution: int) -> list[str]:
    parts = ("conv0.bias", "conv0.weight", "conv1.bias", "conv1.weight", "skip.weight")
    return [f"D.blocks.{resolution}.{part}" for part in parts]


def g_block(resolution: int) -> list[str]:
    convs = ["conv1"] if resolution == 4 else ["conv0", "conv1"]
    parts = [f"{c}.{p}" for c in convs for p in ("affine.bias", "affine.weight", "bias", "noise_strength", "weight")]
    parts += [f"to_rgb.{p}" for p in ("affine.bias", "affine.weight", "bias", "weight")]
    return [f"G.synthesis.blocks.{resolution}.{p}" for p in parts + ["const"] * (resolution == 4)]


# --------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("methods", "names"),
    [
        ([], []),
        ([Method()], []),
        ([FreezeD(16)], d_block(16) + FROM_RGB),
        ([FreezeD(8)], d_block(16) + d_block(8) + FROM_RGB),
        ([FreezeG(4)], g_block(4) + MAPPING),
        ([FreezeG(8)], g_block(4) + g_block(8) + MAPPING),
        ([FreezeG(8, mapping=False)], g_block(4) + g_block(8)),
        ([FreezeStyle(1)], SHARED),
        ([FreezeStyle(6)], SHARED + MAPPING),  # all codes are the source's: nothing of its own mapping is used
        ([FreezeFC()], SHARED + MAPPING),
        ([FreezeSG(8, 4)], g_block(4) + g_block(8) + SHARED),
        ([FreezeG(4), FreezeStyle(2)], g_block(4) + MAPPING + SHARED),
        ([FreezeD(16), FreezeD(16), FreezeSG(4, 2)], d_block(16) + FROM_RGB + g_block(4) + SHARED),
        ([StructureLoss()], []),
    ],
)
def test_names_are_exact_and_these_parameters_lose_their_gradient(methods, names):
    g, d = tiny_networks(16)
    for each in methods:
        each.prepare(g, copy.deepcopy(g))
    assert freeze(methods, g, d) == sorted(names)
    parameters = {f"G.{n}": p for n, p in g.named_parameters()} | {f"D.{n}": p for n, p in d.named_parameters()}
    assert sorted(n for n, p in parameters.items() if not p.requires_grad) == sorted(names)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ([FreezeD(4)], r"FreezeD\(min_resolution=4\): no resolution 4, expected some of \[16, 8\]"),
        ([FreezeG(32)], r"FreezeG\(.*\): no resolution 32, expected some of \[4, 8, 16\]"),
        ([FreezeSG(5, 2)], r"no resolution 5, expected some of \[4, 8, 16\]"),
        ([FreezeStyle(0)], r"k is 0, expected 1 to 6"),
        ([FreezeStyle(7)], r"k is 7, expected 1 to 6"),
        ([FreezeStyle(2), FreezeStyle(2)], r"the first 2 codes come from another model already"),
        ([FreezeG(16)], r"FreezeG\(max_resolution=16, mapping=True\): nothing of the generator is left to train"),
        (
            [StructureLoss((4,)), StructureLoss((8,))],
            r"two methods add a loss of the same name \(structure, structure\)",
        ),
        ([StructureLoss((4, 32))], r"no resolution 32, expected some of \[4, 8, 16\]"),
    ],
)
def test_what_the_networks_do_not_have_is_refused(tmp_path, methods, message):
    with pytest.raises(ValueError, match=message):
        fine_tuner(tmp_path, *methods)


def test_methods_of_the_course_by_name():
    assert list(METHODS)[0] == "baseline" and named("baseline", 64) == [FreezeD(32)]
    assert named("freeze-sg", 256) == [FreezeD(128), FreezeSG(16, 6)]
    assert all(isinstance(each, Method) for name in METHODS for each in named(name, 64))


# ------------------------------------------------------------------------------------------- what trains and what stays

COMBINATIONS = {
    "FreezeD": [FreezeD(16)],
    "FreezeG": [FreezeG(8)],
    "FreezeG, mapping free": [FreezeG(4, mapping=False)],
    "FreezeStyle": [FreezeStyle(3)],
    "FreezeFC": [FreezeFC()],
    "FreezeSG": [FreezeD(16), FreezeSG(8, 4)],
    "StructureLoss and FreezeG": [StructureLoss((4, 8)), FreezeG(4)],
}


def state(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Copies of all parameters and buffers by name, of the networks in training and of the average."""
    nets = {"D": trainer.d, "G": trainer.g, "G_ema": trainer.g_ema}
    return {f"{k}.{n}": v.detach().clone() for k, net in nets.items() for n, v in net.state_dict().items()}


@pytest.mark.parametrize("methods", COMBINATIONS.values(), ids=COMBINATIONS)
def test_over_20_steps_nothing_frozen_moves_and_everything_else_does(tmp_path, methods):
    trainer = fine_tuner(tmp_path / "run", *methods)
    before = state(trainer)
    trainer.run(progress=False)
    after = state(trainer)
    assert trainer.step == 20
    still = {name for name in before if torch.equal(before[name], after[name])}
    frozen = set(trainer.frozen)
    own_mapping_frozen = set(MAPPING) <= frozen
    buffers = {
        f"G.{name}" for name, _ in trainer.g.named_buffers()
    }  # fixed noise, w_mean, k: only training code moves them
    expected = (
        frozen | buffers | {name.replace("G.", "G_ema.", 1) for name in frozen | buffers if name.startswith("G.")}
    )
    if not own_mapping_frozen:
        expected.discard("G_ema.mapping.w_mean")  # follows its mapping
    assert still == expected


def test_what_is_frozen_in_the_result_is_the_sources_to_the_last_bit(tmp_path):
    start = source()
    theirs = start.g_ema.state_dict()
    g = fine_tuner(tmp_path, FreezeSG(8, 4), start=start).run(progress=False).state_dict()
    assert all(
        torch.equal(g[name.removeprefix("G.")], theirs[name.removeprefix("G.")]) for name in g_block(4) + g_block(8)
    )
    assert all(
        torch.equal(g[n.removeprefix("G.")], theirs[n.removeprefix("G.").replace("source.", "")]) for n in SHARED
    )


def test_fine_tuning_leaves_the_loaded_source_as_it_was(tmp_path):
    start = source()
    before = copy.deepcopy([start.g_ema.state_dict(), start.d.state_dict()])
    trainer = fine_tuner(tmp_path, FreezeSG(8, 4), StructureLoss((4, 8)), start=start)
    trainer.run(progress=False)
    for old, new in zip(before, (start.g_ema.state_dict(), start.d.state_dict()), strict=True):
        assert all(torch.equal(old[name], new[name]) for name in old) and old.keys() == new.keys()
    assert all(torch.equal(before[0][name], value) for name, value in trainer.source.state_dict().items())
    assert not any(p.requires_grad for p in trainer.source.parameters()) and not trainer.source.training
    with pytest.raises(ValueError, match="has no discriminator"):
        fine_tuner(tmp_path / "other", start=checkpoints.Checkpoint(start.g_ema))


def test_a_second_trainer_does_not_inherit_what_the_first_one_froze(tmp_path):
    pair = tiny_networks(16)
    config, data = tiny_config(tmp_path), random_pictures(resolution=16)
    assert Trainer(config, data, *pair, methods=[FreezeD(8), FreezeG(8)]).frozen
    trainer = Trainer(config, data, *pair)
    assert trainer.frozen == [] and len(trainer.d_parameters) == len(list(trainer.d.parameters()))


def test_path_length_trains_the_rest_under_a_frozen_mapping(tmp_path):
    trainer = fine_tuner(tmp_path, FreezeG(4))
    before = state(trainer)
    trainer._path_length_step(torch.Generator().manual_seed(0))
    moved = {n for n, v in state(trainer).items() if n.startswith("G.") and not torch.equal(v, before[n])}
    assert float(trainer.path_length.mean) > 0
    assert moved and not moved & set(trainer.frozen) and "G.synthesis.blocks.16.conv1.weight" in moved


# ---------------------------------------------------------------------------------------------------- codes of a source


def test_freeze_style_takes_exactly_the_first_codes_from_the_source(tmp_path):
    start = source()
    trainer = fine_tuner(tmp_path / "run", FreezeStyle(3), start=start, lr=0.5)  # so that the mapping moves visibly
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(trainer.g.mapping(z), start.g_ema.mapping(z))
    g_ema = trainer.run(progress=False)
    ws, theirs = g_ema.mapping(z), start.g_ema.mapping(z)
    assert torch.equal(ws[:, :3], theirs[:, :3])
    assert (ws[:, 3:] - theirs[:, 3:]).abs().max() > 1e-3
    assert torch.equal(ws[:, 3], ws[:, 5])


def test_a_saved_model_makes_the_codes_it_was_trained_with(tmp_path):
    g_ema = fine_tuner(tmp_path / "run", FreezeSG(8, 4), lr=0.5).run(progress=False)
    checkpoints.save(tmp_path / "model.pt", g_ema=g_ema)
    found = checkpoints.load(tmp_path / "model.pt").g_ema
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    assert found.mapping.k == 4
    for truncation in (1, 0.5):
        assert torch.equal(found.mapping(z, truncation), g_ema.mapping(z, truncation))
    assert torch.equal(found(z, noise="const"), g_ema(z, noise="const"))
    checkpoints.save(tmp_path / "half.pt", g_ema=g_ema, half=True)
    assert checkpoints.load(tmp_path / "half.pt").g_ema.mapping.k == 4
    checkpoints.export(tmp_path / "theirs.pt", checkpoints.Checkpoint(found))
    assert torch.equal(checkpoints.load(tmp_path / "theirs.pt").g_ema.mapping(z, 0.5), g_ema.mapping(z, 0.5))


def test_codes_are_truncated_around_the_mean_of_the_mapping_that_made_them():
    a, b = (source(seed).g_ema.mapping for seed in (1, 2))
    shared = networks.SharedMapping(copy.deepcopy(a), b, k=2)
    z = torch.randn(3, 8)
    torch.testing.assert_close(shared(z, 0.3)[:, :2], b(z, 0.3)[:, :2])
    torch.testing.assert_close(shared(z, 0.3)[:, 2:], a(z, 0.3)[:, 2:])
    assert torch.equal(shared(z, 0)[0], torch.cat([b.w_mean.expand(2, -1), a.w_mean.expand(4, -1)]))


def test_a_damaged_k_is_refused(tmp_path):
    g = source().g_ema
    g.mapping = networks.SharedMapping(g.mapping, g.mapping, 2)
    g.mapping.from_source.copy_(torch.tensor([1.0, 0, 1, 0, 0, 0]))
    checkpoints.save(tmp_path / "bad.pt", g_ema=g)
    with pytest.raises(checkpoints.CheckpointError, match=r"bad.pt.*from_source is 1, 0, 1, 0 and 2 more"):
        checkpoints.load(tmp_path / "bad.pt")
    for wrong in (0.0, float("nan")):
        g.mapping.from_source.fill_(wrong)
        checkpoints.save(tmp_path / "bad.pt", g_ema=g)
        with pytest.raises(checkpoints.CheckpointError, match="from_source is"):
            checkpoints.load(tmp_path / "bad.pt")


def test_with_a_frozen_mapping_taking_codes_changes_nothing(tmp_path):
    """The original's freezeG freezes the mapping, which makes its freezeStyle a no-op (REFERENCE: bug 3)."""
    plain = fine_tuner(tmp_path / "a", FreezeG(8), lr=0.5).run(progress=False)
    both = fine_tuner(tmp_path / "b", FreezeG(8), FreezeStyle(4), lr=0.5).run(progress=False)
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(plain.mapping(z), both.mapping(z))
    torch.testing.assert_close(plain(z, noise="const"), both(z, noise="const"))


# -------------------------------------------------------------------------------------------------- resume, precision


@pytest.mark.parametrize("methods", [[FreezeSG(4, 2)], [StructureLoss((4, 8), weight=3), FreezeG(4)]], ids=str)
def test_a_resumed_run_computes_the_same_bits(tmp_path, methods):
    def run(out, stop_at=None):
        trainer = fine_tuner(out, *methods, snapshot_images=16, keep=3)
        if stop_at:
            on_log = lambda t, _: t.stop() if t.images_seen >= stop_at else None  # noqa: E731
            trainer.run(on_log, progress=False)
            assert trainer.step < 20
            trainer = fine_tuner(out, *methods, snapshot_images=16, keep=3)
        trainer.run(progress=False)
        return trainer

    whole, resumed = run(tmp_path / "a"), run(tmp_path / "b", stop_at=30)
    assert all(torch.equal(value, state(resumed)[name]) for name, value in state(whole).items())
    names = ["images", "loss_g"] + ["structure"] * bool(whole.loss_names)
    logs = [(t.folder / "log.csv").read_text().splitlines() for t in (whole, resumed)]
    columns = [logs[0][0].split(",").index(name) for name in names]
    assert [[line.split(",")[c] for c in columns] for line in logs[0]] == [
        [line.split(",")[c] for c in columns] for line in logs[1]
    ]


def test_resuming_with_other_methods_is_refused(tmp_path):
    fine_tuner(tmp_path, StructureLoss((4, 8)), images=16, snapshot_images=16).run(progress=False)
    with pytest.raises(
        ValueError, match=r"different methods \(StructureLoss.*4, 8.* then, StructureLoss.*\(4,\).* now\)"
    ):
        fine_tuner(tmp_path, StructureLoss((4,)), images=16, snapshot_images=16).run(progress=False)


def test_resuming_from_another_source_is_refused(tmp_path):
    """What is frozen would be one source's, and what is compared with the other's."""
    fine_tuner(tmp_path, StructureLoss((4,)), images=16, snapshot_images=16).run(progress=False)
    with pytest.raises(ValueError, match="different source"):
        fine_tuner(tmp_path, StructureLoss((4,)), images=16, start=source(seed=8), snapshot_images=16).run(
            progress=False
        )


@pytest.mark.parametrize("methods", COMBINATIONS.values(), ids=COMBINATIONS)
def test_all_methods_train_in_bfloat16(tmp_path, methods):
    trainer = fine_tuner(tmp_path, *methods, precision="bfloat16", images=8)
    assert trainer.g.synthesis.compute_dtype == torch.bfloat16
    assert trainer.source is None or trainer.source.synthesis.compute_dtype == torch.bfloat16
    before = state(trainer)
    trainer.run(progress=False)
    after = state(trainer)
    assert all(torch.equal(before[name], after[name]) for name in trainer.frozen)
    moved = [n for n, p in trainer.g.named_parameters() if p.requires_grad and not torch.equal(before[f"G.{n}"], p)]
    assert len(moved) == sum(p.requires_grad for p in trainer.g.parameters())
    assert all(p.isfinite().all() for p in trainer.g.parameters())
