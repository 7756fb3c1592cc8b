"""NVIDIA's pickles: their numbers, from a file of the same structure, and nothing that is run on the way."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import re
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import nvidia_pickle
import pytest
import torch
from command import call
from golden_numbers import assert_close, draw
from nvidia_pickle import EasyDict, dump, network

from stylegan2 import checkpoints
from stylegan2.checkpoints import CheckpointError, nvidia
from stylegan2.cli.models import summary
from stylegan2.discriminator import SQRT_HALF, Discriminator
from stylegan2.layers import EqualConv2d
from stylegan2.networks import Generator, StyledConv, ToRGB

GOLDEN = Path(__file__).parent / "golden"
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])
FILTER = torch.outer(TAPS, TAPS) / 64


RENAMED = (  # ours -> theirs
    (r"^mapping\.layers\.", "mapping.fc"),
    (r"^mapping\.w_mean$", "mapping.w_avg"),
    (r"(^|\.)blocks\.(\d+)", r"\1b\2"),
    (r"\.to_rgb\.", ".torgb."),
    (r"\.from_rgb\.", ".fromrgb."),
    (r"^head\.", "b4."),
)


def to_their_name(name: str) -> str:
    for ours, theirs in RENAMED:
        name = re.sub(ours, theirs, name)
    return name


def numbers(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """The recipe of the golden numbers, by their names."""
    return {name: FILTER if name.endswith("resample_filter") else draw(name, shape) for name, shape in shapes.items()}


def entries(net: Generator | Discriminator) -> dict[str, torch.Tensor]:
    """Our network's numbers as theirs would hold them: by their names, in their shapes, with filters."""
    own = {(f"b{net.resolution}.{k}" if k.startswith("from_rgb") else k): v for k, v in net.state_dict().items()}
    found = {to_their_name(k): v for k, v in own.items()}
    found = {k: v[0] if k.endswith(".const") else v[0, 0] if k.endswith("noise_const") else v for k, v in found.items()}
    first = "synthesis.b4" if isinstance(net, Generator) else "b4.conv"
    return found | {f"{first}.resample_filter": FILTER}


def small(resolution: int = 16, mapping_layers: int = 2, channels=None, seed: int = 0):
    channels = channels or {4: 8, 8: 8, 16: 4}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        g, d = Generator(resolution, 8, 8, mapping_layers, channels), Discriminator(resolution, channels)
    g.mapping.w_mean.copy_(torch.randn(8))
    return g, d


def pickled(path: Path, g: Generator, d: Discriminator, **more) -> Path:
    return dump(path, {"G": network(entries(g)), "D": network(entries(d)), "G_ema": network(entries(g)), **more})


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """A pickle of the numbers behind the golden file, read back."""
    shapes = json.loads((GOLDEN / "nvidia_ada_32.json").read_text())
    g, d = (numbers(shapes[key]) for key in ("g_32", "d_32"))
    path = tmp_path_factory.mktemp("nvidia") / "network-snapshot.pkl"
    made = dump(
        path, {"G": network(g), "D": network(d), "G_ema": network(g), "training_set_kwargs": EasyDict(path="x")}
    )
    with np.load(GOLDEN / "nvidia_ada_32.npz") as arrays:
        return checkpoints.load(made), {name: torch.from_numpy(arrays[name]) for name in arrays}


@torch.no_grad()
def test_their_numbers_come_out_of_their_pickle(golden):
    found, theirs = golden
    for g in (found.g_ema, found.g):
        w = g.mapping.w(theirs["z"])
        assert_close("w", g.mapping.broadcast(w), theirs["w"])
        assert_close("img", g.eval().synthesis(g.mapping.broadcast(w), noise="const"), theirs["img"])
        assert_close("w_trunc07", g.mapping(theirs["z"], truncation=0.7), theirs["w_trunc07"])
    assert_close("d_out", found.d(theirs["d_in"]), theirs["d_out"])
    assert found.info["format"] == "nvidia" and found.info["training_set"] == {"path": "x"}


@pytest.mark.parametrize("depth", [2, 8])
@pytest.mark.parametrize("channels", [{4: 8, 8: 8, 16: 4}, {4: 8, 8: 4, 16: 2}])
def test_sizes_are_read_off_the_tensors(tmp_path, depth, channels):
    g, d = small(mapping_layers=depth, channels=channels)
    found = checkpoints.load(pickled(tmp_path / "a.pkl", g, d))
    for ours, theirs in ((found.g_ema, g), (found.d, d)):
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        assert all(torch.equal(v, theirs.state_dict()[k]) for k, v in ours.state_dict().items())
    assert len(found.g_ema.mapping.layers) == depth and found.g_ema.synthesis.channels == channels
    assert not any(p.requires_grad for p in found.g_ema.parameters()) and all(
        p.requires_grad for p in found.d.parameters()
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_and_parts_alone(tmp_path, protocol):
    """Python 3.7, with which nearly all published ones were written, writes protocol 3."""
    g, d = small()
    content = {"G": None, "D": None, "G_ema": network(entries(g)), "a set": {"alpha", "beta"}}
    path = dump(tmp_path / "a.pkl", content, protocol)
    assert nvidia.read(path)["a set"] == {"alpha", "beta"}  # and every module holds an empty one
    found = checkpoints.load(path)
    assert found.g is None and found.d is None
    assert all(torch.equal(v, g.state_dict()[k]) for k, v in found.g_ema.state_dict().items())
    path = pickled(tmp_path / "b.pkl", g, d, augment_pipe=None)
    assert checkpoints.load(path, g_ema_only=True).d is None


def test_a_256_pixel_config_f_and_paper256_are_read(tmp_path):
    """Half and full widths of the published sizes, without their numbers: names and shapes alone."""
    shapes = json.loads((GOLDEN / "nvidia_ada_32.json").read_text())["g_32"]
    assert {nvidia.to_our_name(k) for k in shapes if "resample" not in k} == set(Generator(
        32, 512, 512, 8, dict.fromkeys((4, 8, 16, 32), 512)
    ).state_dict())  # fmt: skip


def test_a_pickle_can_be_converted_and_drawn_with(tmp_path):
    g, d = small()
    path = pickled(tmp_path / "a.pkl", g, d)
    found = checkpoints.load(path)
    checkpoints.export(tmp_path / "theirs.pt", found)
    again = checkpoints.load(tmp_path / "theirs.pt")
    ws = again.g_ema.mapping(torch.randn(2, 8, generator=torch.Generator().manual_seed(1)), 0.7)
    assert torch.equal(again.g_ema.mapping.w_mean, g.mapping.w_mean)
    torch.testing.assert_close(again.g_ema.synthesis(ws, "const"), g.eval().synthesis(ws, "const"))


# ---------------------------------------------------------------------------------------------------------- conv_clamp
@contextmanager
def clamped_by_their_rules(net: Generator | Discriminator, clamp: float):
    """What they compute: every layer that ends in bias and activation is clamped, skips and linear layers are not."""
    half = {f"blocks.{r}.conv1" for r in (8, 16, 32)} if isinstance(net, Discriminator) else set()  # of a residual sum
    bounded = [m for m in net.named_modules() if isinstance(m[1], StyledConv | ToRGB | EqualConv2d)]
    bounded = {name: clamp * (0.5**0.5 if name in half else 1) for name, _ in bounded if not name.endswith("skip")}
    share = []

    def bite(bound: float, module, args, y):
        share.append((y.abs() > bound).float().mean().item())
        return y.clamp(-bound, bound)

    hooks = [net.get_submodule(name).register_forward_hook(partial(bite, b)) for name, b in bounded.items()]
    yield share
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def test_conv_clamp_bounds_what_it_bounds_there(golden, tmp_path):
    """On the weights of the golden numbers, which are without a bound, and with one low enough to matter."""
    shapes, (free, theirs) = json.loads((GOLDEN / "nvidia_ada_32.json").read_text()), golden
    g, d = (network(numbers(shapes[key]), clamp=0.75) for key in ("g_32", "d_32"))
    found = checkpoints.load(dump(tmp_path / "a.pkl", {"D": d, "G_ema": g}))
    ws = free.g_ema.mapping(theirs["z"])
    with clamped_by_their_rules(free.g_ema, 0.75) as share:
        expected = free.g_ema.synthesis(ws, "const")
    assert len(share) == 7 + 4 and min(share) > 0.003
    torch.testing.assert_close(found.g_ema.synthesis(ws, "const"), expected, rtol=0, atol=1e-6)
    assert (expected - theirs["img"]).abs().max() > 0.5
    with clamped_by_their_rules(free.d, 0.75) as share:
        expected = free.d(theirs["d_in"])
    assert len(share) == 1 + 2 * 3 + 1 and min(share) > 0.003
    torch.testing.assert_close(found.d(theirs["d_in"]), expected, rtol=0, atol=1e-6)
    assert (expected - theirs["d_out"]).abs().min() > 1e-3


def test_conv_clamp_is_kept_in_our_files_and_said_to_be_lost_in_others(tmp_path):
    g, d = small()
    content = {"G": network(entries(g), 0.5), "D": network(entries(d), 0.5), "G_ema": network(entries(g), 0.5)}
    dump(tmp_path / "a.pkl", content)
    said = call("convert", tmp_path / "a.pkl", "--out", tmp_path / "ours.pt", "--to", "ours", "--half")
    assert "note" not in said
    found = checkpoints.load(tmp_path / "ours.pt")
    ws = torch.randn(2, g.num_ws, 8, generator=torch.Generator().manual_seed(0))
    for ours in (found.g_ema, found.g):
        assert ours.synthesis.clamp == 0.5
        assert ours.synthesis.blocks["8"].conv0(torch.randn(2, 8, 4, 4) * 9, ws[:, 0], None).abs().max() == 0.5
    assert found.d.clamp == 0.5 and found.d.blocks["8"].conv1.clamp == 0.5 * SQRT_HALF
    assert "activations within +-0.5" in summary(found)
    assert checkpoints.fingerprint(found.g_ema) != checkpoints.fingerprint(g)
    said = call("convert", tmp_path / "ours.pt", "--out", tmp_path / "theirs.pt")
    assert "stay within +-0.5 (conv_clamp), which that layout cannot say" in said
    assert checkpoints.load(tmp_path / "theirs.pt").g_ema.synthesis.clamp is None
    assert "note" not in call("convert", tmp_path / "theirs.pt", "--out", tmp_path / "free.pt")


def test_a_conv_clamp_that_cannot_be_is_refused(tmp_path):
    g, _ = small()
    mixed = network(entries(g), 256)
    mixed.modules["synthesis"].modules["b8"].modules["conv0"].own["conv_clamp"] = 128
    wrong = {"its layers differ in conv_clamp .128.0, 256.0": mixed}
    wrong |= {f"is {clamp:g}, expected a positive": network(entries(g), clamp) for clamp in (-1, 0, float("inf"))}
    wrong |= {"not what PyTorch makes": network(entries(g), "high")}
    for message, theirs in wrong.items():
        with pytest.raises(CheckpointError, match=f"a.pkl': .*{message}"):
            checkpoints.load(dump(tmp_path / "a.pkl", {"G_ema": theirs}))


# ------------------------------------------------------------------------------------------------- nothing is executed
def test_the_source_code_inside_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints.load(pickled(tmp_path / "a.pkl", *small()))
    assert b"was_run" in (tmp_path / "a.pkl").read_bytes() and sorted(os.listdir()) == ["a.pkl"]


class Calls:
    """Pickles as a call of `function` with `args`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("evil", "named"),
    [
        (Calls(os.system, "touch was_run"), "system"),
        (Calls(eval, "open('was_run', 'w')"), "eval"),
        (Calls(getattr, "x", "upper"), "getattr"),
        (Calls(open, "was_run", "w"), "open"),
        (Calls(torch.load, "x"), "load"),
        (Calls(torch.hub.load, "x", "y"), "load"),
        (torch.nn.Linear, "Linear"),
    ],
)
def test_anything_else_is_refused_by_name(tmp_path, monkeypatch, evil, named):
    monkeypatch.chdir(tmp_path)
    g, d = small()
    path = pickled(tmp_path / "a.pkl", g, d, augment_pipe=evil)
    with pytest.raises(
        CheckpointError, match=rf"a.pkl' holds Python objects or code \(.*{named}\): refused, nothing was"
    ):
        checkpoints.load(path)
    assert sorted(os.listdir()) == ["a.pkl"]


def test_a_pickle_changes_nothing_of_ours():
    """It may set attributes of a class or a function that it names, which would hold for all later reads."""

    def seen(made):
        return dict(getattr(made, "__dict__", {})), getattr(made, "__defaults__", None)

    for (module, name), made in nvidia.ALLOWED.items():
        before = seen(made)
        attack = f"c{module}\n{name}\n(N}}V__defaults__\n(I1\ntsV__call__\nI1\nstb."
        with suppress(TypeError, AttributeError):
            nvidia.Reader(io.BytesIO(attack.encode())).load()
        assert seen(made) == before, name


def test_code_in_the_storage_of_a_tensor_is_refused(tmp_path, monkeypatch):
    """A tensor's numbers are a file of their own inside the pickle, which torch would unpickle."""
    monkeypatch.chdir(tmp_path)
    inner = io.BytesIO()
    torch.save(Calls(os.system, "touch was_run"), inner, _use_new_zipfile_serialization=False)
    storage = Calls(torch.storage._load_from_bytes, inner.getvalue())
    tensor = Calls(torch._utils._rebuild_tensor_v2, storage, 0, (2,), (1,), False, None)
    with pytest.raises(CheckpointError, match="damaged or truncated NVIDIA pickle"):
        checkpoints.load(pickled(tmp_path / "a.pkl", *small(), extra=tensor))
    assert sorted(os.listdir()) == ["a.pkl"]


def test_numbers_outside_of_their_storage_are_refused(tmp_path):
    inner = io.BytesIO()
    torch.save(
        torch.storage.TypedStorage(4, dtype=torch.float32, _internal=True), inner, _use_new_zipfile_serialization=False
    )
    storage = Calls(torch.storage._load_from_bytes, inner.getvalue())
    for size, stride in (((1 << 40,), (1,)), ((2,), (100,)), ((-1,), (1,)), (("a",), (1,))):
        tensor = Calls(torch._utils._rebuild_tensor_v2, storage, 0, size, stride, False, None)
        with pytest.raises(CheckpointError, match="damaged or truncated NVIDIA pickle"):
            checkpoints.load(pickled(tmp_path / "a.pkl", *small(), extra=tensor))


def test_damaged_pickles_are_errors_of_one_kind(tmp_path):
    data = pickled(tmp_path / "a.pkl", *small()).read_bytes()
    rng, wrong = random.Random(0), 0
    for _ in range(120):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        if rng.random() < 0.3:
            broken = broken[: rng.randrange(1, len(broken))]
        (tmp_path / "b.pkl").write_bytes(broken)
        try:
            checkpoints.load(tmp_path / "b.pkl")
        except CheckpointError as error:
            wrong += 1
            assert str(error).count("\n") == 0 and "b.pkl" in str(error)
    assert wrong > 30  # elsewhere only numbers changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mapping.embed.weight": torch.zeros(2)}, "with classes"),
        ({"synthesis.L0_36_512.weight": torch.zeros(2)}, "a StyleGAN3 generator"),
        ({"synthesis.b4.resample_filter": torch.ones(4, 4)}, "not the low-pass filter"),
        ({"synthesis.b8.extra": torch.zeros(2)}, "unknown: synthesis.blocks.8.extra"),
        ({"synthesis.b8.conv1.weight": torch.zeros(2)}, "wrong shape: synthesis.blocks.8.conv1.weight"),
    ],
)
def test_networks_of_another_kind_are_named(tmp_path, change, message):
    g, _ = small()
    path = dump(tmp_path / "a.pkl", {"G_ema": network(entries(g) | change)})
    with pytest.raises(CheckpointError, match=f"a.pkl': 'g_ema': .*{message}"):
        checkpoints.load(path)


class Layer3(nvidia_pickle.Network):
    """A module of StyleGAN3's, whose state holds sizes as NumPy arrays, and numbers as NumPy scalars."""

    def child(self, name: str) -> nvidia_pickle.Network:
        return self.modules.setdefault(name, Layer3("SynthesisLayer"))

    def __reduce__(self):
        function, (meta,) = super().__reduce__()
        sizes = {"in_size": np.broadcast_to(np.asarray(36), [2]), "weight_gain": 1 / np.sqrt(8)}
        meta["state"].update(sizes)
        return function, (meta,)


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_stylegan3_pickle_is_named(tmp_path, protocol):
    g3 = Layer3()
    shapes = {
        "mapping.fc0.weight": (8, 8), "mapping.fc0.bias": (8,), "mapping.w_avg": (8,),
        "synthesis.input.weight": (8, 8), "synthesis.input.affine.weight": (4, 8), "synthesis.input.freqs": (8, 2),
        "synthesis.L0_36_8.weight": (8, 8, 3, 3), "synthesis.L0_36_8.magnitude_ema": (),
        "synthesis.L1_36_3.weight": (3, 8, 1, 1), "synthesis.L1_36_3.down_filter": (12,),
    }  # fmt: skip
    for name, shape in shapes.items():
        g3.put(name, torch.zeros(shape))
    path = dump(tmp_path / "a.pkl", {"G": g3, "D": network(entries(small()[1])), "G_ema": g3}, protocol)
    with pytest.raises(CheckpointError, match="a.pkl': 'g_ema': a StyleGAN3 generator: this package reads StyleGAN2's"):
        checkpoints.load(path)


def test_a_conditional_pickle_is_named(tmp_path):
    """Its mapping takes the class too, and its discriminator has a mapping of its own."""
    g, d = (entries(net) for net in small())
    g |= {"mapping.embed.weight": torch.zeros(8, 3), "mapping.embed.bias": torch.zeros(8)}
    g |= {"mapping.fc0.weight": torch.zeros(8, 16)}
    d |= {
        "mapping.embed.weight": torch.zeros(8, 3),
        "mapping.fc0.weight": torch.zeros(8, 8),
        "b4.out.weight": torch.zeros(8, 8),
    }
    with pytest.raises(CheckpointError, match="'g_ema': a model with classes"):
        checkpoints.load(dump(tmp_path / "a.pkl", {"G": network(g), "D": network(d), "G_ema": network(g)}))
    with pytest.raises(CheckpointError, match="'d': a model with classes"):
        checkpoints.load(dump(tmp_path / "b.pkl", {"D": network(d), "G_ema": network(entries(small()[0]))}))


@pytest.mark.parametrize(
    ("part", "kind"),
    [("generator", "orig"), ("generator", "resnet"), ("discriminator", "orig"), ("discriminator", "skip")],
)
def test_other_architectures_of_the_same_code_are_named(tmp_path, part, kind):
    g, d = (entries(net) for net in small())
    changed = g if part == "generator" else d
    for name in list(changed):
        first = re.search(r"b(\d+)\.", name)
        if first is None:
            continue
        if part == "generator" and ".torgb." in name and first[1] != "16":  # "orig" and "resnet": the last block's only
            del changed[name]
        if part == "discriminator" and ".skip." in name:
            del changed[name]
    if (part, kind) == ("generator", "resnet"):
        changed |= {f"synthesis.b{r}.skip.weight": torch.zeros(4, 8, 1, 1) for r in (8, 16)}
    if (part, kind) == ("discriminator", "skip"):
        changed |= {f"b{r}.fromrgb.weight": torch.zeros(8, 3, 1, 1) for r in (8, 4)}
    path = dump(tmp_path / "a.pkl", {"G_ema": network(g), "D": network(d)})
    with pytest.raises(CheckpointError, match=f"a {part} of the architecture '{kind}': this package reads"):
        checkpoints.load(path)


def test_pickles_of_another_kind_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="without 'G_ema'"):
        checkpoints.load(dump(tmp_path / "a.pkl", {"D": network(entries(small()[1]))}))
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match="a Python pickle, which could run code"):
        checkpoints.load(tmp_path / "b.pkl")
    (tmp_path / "c.pkl").write_bytes(b"\x80\x04cdnnlib.tflib.network\nNetwork\n.")
    with pytest.raises(CheckpointError, match="TensorFlow"):
        checkpoints.load(tmp_path / "c.pkl")
    path = dump(tmp_path / "d.pkl", {"G_ema": nvidia_pickle.Network()})
    with pytest.raises(CheckpointError, match="lacks|blocks for the resolutions"):
        checkpoints.load(path)


def test_names_there_and_back():
    ours = [
        "mapping.layers.3.weight", "mapping.w_mean", "synthesis.blocks.16.conv0.affine.bias",
        "synthesis.blocks.4.to_rgb.weight", "b64.from_rgb.weight", "blocks.64.skip.weight", "head.fc.bias",
    ]  # fmt: skip
    theirs = [
        "mapping.fc3.weight", "mapping.w_avg", "synthesis.b16.conv0.affine.bias",
        "synthesis.b4.torgb.weight", "b64.fromrgb.weight", "b64.skip.weight", "b4.fc.bias",
    ]  # fmt: skip
    assert [to_their_name(name) for name in ours] == theirs
    assert [nvidia.to_our_name(name) for name in theirs] == [name.removeprefix("b64.") for name in ours]
