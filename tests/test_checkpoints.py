"""Checkpoint files: round trips, rosinality's layout, and one clear error for everything else."""

import argparse
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from stylegan2 import checkpoints, files
from stylegan2.checkpoints import CheckpointError, rosinality
from stylegan2.cli.models import summary
from stylegan2.networks import Discriminator, Generator
from stylegan2.pocket.nets.clip_training import write_deflated

GOLDEN = Path(__file__).parent / "golden"
WIDTHS = {4: 6, 8: 5, 16: 4}


@pytest.fixture
def g():
    torch.manual_seed(0)
    g = Generator(16, z_dim=7, w_dim=9, mapping_layers=3, channels=WIDTHS)
    g.mapping.update_mean(100)
    return g


@pytest.fixture
def d():
    torch.manual_seed(1)
    return Discriminator(16, WIDTHS)


@pytest.fixture
def theirs(g, d):
    """A rosinality file as their training script writes it."""
    g_state = rosinality.from_generator(g)
    args = argparse.Namespace(size=16, lr=0.002, path="data")
    optim = {"state": {}, "param_groups": [{"lr": 0.002, "params": [0]}]}
    return {
        "g": dict(g_state),
        "d": rosinality.from_discriminator(d),
        "g_ema": dict(g_state),
        "g_optim": optim,
        "d_optim": optim,
        "args": args,
        "ada_aug_p": 0.25,
    }


def same(a, b) -> bool:
    """Do two networks hold the same names and, bit for bit, the same numbers?"""
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


def stored(tmp_path, content, name="model.pt"):
    torch.save(content, tmp_path / name)
    return tmp_path / name


def error_of(path) -> str:
    """The one short line that loading `path` ends with; it names the file."""
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    assert len(message) < 450 + len(str(path))
    return message


# ------------------------------------------------------------------------------------------------------- our format
def test_round_trip_keeps_every_bit(tmp_path, g, d):
    optimiser = torch.optim.Adam(d.parameters())
    d(torch.randn(2, 3, 16, 16)).sum().backward()
    optimiser.step()
    state = {"optimiser": optimiser.state_dict(), "rng": torch.get_rng_state(), "p": 0.5, "list": [1, (2, None)]}
    path = tmp_path / "new folder" / "run.pt"
    checkpoints.save(path, g_ema=g, g=g, d=d, meta={"images": 1000}, training=state)
    found = checkpoints.load(path)
    assert same(found.g_ema, g) and same(found.g, g) and same(found.d, d)
    assert torch.equal(found.g_ema.mapping.w_mean, g.mapping.w_mean)
    assert found.meta == {"images": 1000} and found.training["list"] == [1, (2, None)]
    exp_avg = optimiser.state_dict()["state"][0]["exp_avg"]
    assert torch.equal(found.training["optimiser"]["state"][0]["exp_avg"], exp_avg)
    assert found.g_ema.synthesis.channels == WIDTHS and found.d.channels == dict(reversed(WIDTHS.items()))


def test_what_is_loaded_can_be_trained_where_it_should(tmp_path, g, d):
    checkpoints.save(tmp_path / "a.pt", g_ema=g, g=g, d=d)
    found = checkpoints.load(tmp_path / "a.pt")
    assert not found.g_ema.training and not any(p.requires_grad for p in found.g_ema.parameters())
    for network in (found.g, found.d):
        assert network.training and all(p.requires_grad and p.is_leaf for p in network.parameters())
    with torch.no_grad():  # the parts own their memory
        next(found.g.parameters()).zero_()
    assert same(found.g_ema, g)


def test_absent_parts_are_none_and_g_ema_can_be_read_alone(tmp_path, g, d):
    checkpoints.save(tmp_path / "a.pt", g_ema=g)
    found = checkpoints.load(tmp_path / "a.pt")
    assert found.g is None and found.d is None and found.training is None
    checkpoints.save(tmp_path / "b.pt", g_ema=g, g=g, d=d, training={"step": 3})
    found = checkpoints.load(tmp_path / "b.pt", g_ema_only=True)
    assert same(found.g_ema, g) and found.g is None and found.d is None and found.training is None


def test_nothing_is_written_without_an_averaged_generator(tmp_path, g):
    with pytest.raises(ValueError, match="needs an averaged generator"):
        checkpoints.save(tmp_path / "a.pt", g_ema=None, g=g)
    assert not list(tmp_path.iterdir())


def test_half_is_half_the_size_and_loads_as_float32(tmp_path):
    g = Generator(8, z_dim=128, w_dim=128, channels={4: 64, 8: 64})
    checkpoints.save(tmp_path / "full.pt", g_ema=g)
    checkpoints.save(tmp_path / "half.pt", g_ema=g, half=True)
    assert (tmp_path / "half.pt").stat().st_size < 0.55 * (tmp_path / "full.pt").stat().st_size
    found = checkpoints.load(tmp_path / "half.pt").g_ema
    for name, value in g.state_dict().items():
        if not name.endswith("w_mean"):  # zero in g: computed when loaded
            loaded = found.state_dict()[name]
            assert loaded.dtype == torch.float32
            torch.testing.assert_close(loaded, value, rtol=1e-3, atol=1e-6)


def test_half_refuses_what_it_cannot_hold(tmp_path, g):
    g.synthesis.blocks["4"].const.data[0, 0, 0, 0] = 1e6
    with pytest.raises(ValueError, match="blocks.4.const.*half=False"):
        checkpoints.save(tmp_path / "a.pt", g_ema=g, half=True)


def test_an_absent_mean_w_is_computed_from_a_seed(tmp_path, g):
    g.mapping.w_mean.zero_()
    checkpoints.save(tmp_path / "a.pt", g_ema=g)
    torch.manual_seed(5)  # the global generator has no say
    first = checkpoints.load(tmp_path / "a.pt").g_ema.mapping.w_mean
    torch.manual_seed(6)
    assert torch.equal(first, checkpoints.load(tmp_path / "a.pt").g_ema.mapping.w_mean)
    assert torch.equal(first, g.mapping.update_mean()) and first.any()


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, g, monkeypatch):
    path = tmp_path / "a.pt"
    checkpoints.save(path, g_ema=g, meta={"images": 1})
    before = path.read_bytes()

    def fail(content, file):
        file.write(b"half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space"):
        checkpoints.save(path, g_ema=g, meta={"images": 2})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_deflated_is_smaller_reads_the_same_and_fails_cleanly(tmp_path, monkeypatch):
    table = torch.zeros(2000, 64, dtype=torch.float16)
    table[::50] = torch.randn(40, 64, generator=torch.Generator().manual_seed(0)).half()
    content = {"table": table, "view": table[3:7].T, "steps": 12, "names": ["a", "b"], "none": None}
    plain, packed = tmp_path / "plain.pt", tmp_path / "new" / "packed.pt"
    files.write(plain, content)
    write_deflated(packed, content)
    assert packed.stat().st_size < 0.1 * plain.stat().st_size
    for found in (files.read(packed), torch.load(packed, weights_only=True)):
        assert list(found) == list(content) and found["names"] == ["a", "b"] and found["steps"] == 12
        assert torch.equal(found["table"], table) and torch.equal(found["view"], content["view"])
    assert zipfile.ZipFile(packed).testzip() is None
    assert {e.compress_type for e in zipfile.ZipFile(packed).infolist()} == {zipfile.ZIP_DEFLATED}
    before = packed.read_bytes()

    def fail(self, *arguments):
        self.fp.write(b"half an entry")
        raise OSError("no space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(OSError, match="no space"):
        write_deflated(packed, {"other": 1})
    assert packed.read_bytes() == before and list(packed.parent.iterdir()) == [packed]


@pytest.mark.parametrize("write", [files.write, write_deflated])
def test_the_same_content_is_the_same_bytes_at_any_time(tmp_path, monkeypatch, write):
    content, path, written = {"table": torch.arange(100.0), "names": ["a"]}, tmp_path / "a.pt", []
    for now in (1.6e9, 1.7e9):
        monkeypatch.setattr("time.time", lambda now=now: now)
        write(path, content)
        written.append(path.read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("kind", ["meta", "training"])
def test_save_refuses_what_load_would_refuse(tmp_path, g, kind):
    with pytest.raises(TypeError, match=rf"{kind}\['deep'\]\[1\] is a PosixPath"):
        checkpoints.save(tmp_path / "a.pt", g_ema=g, **{kind: {"deep": [1, Path("x")]}})


def test_entries_of_a_later_version_are_kept_as_meta(tmp_path, g):
    checkpoints.save(tmp_path / "a.pt", g_ema=g, meta={"images": 5})
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    path = stored(tmp_path, content | {"style_source": {"k": 2}})
    assert checkpoints.load(path).meta == {"images": 5, "style_source": {"k": 2}}
    assert "update" in error_of(stored(tmp_path, content | {"format": "cartoonize-yourself/2"}))
    assert "unknown" in error_of(stored(tmp_path, content | {"format": "something"}))


def test_info_goes_into_json_and_describe_shows_it(tmp_path, g, d):
    checkpoints.save(tmp_path / "a.pt", g_ema=g, d=d, meta={"images": 48_000, "tensor": torch.ones(1)})
    found = checkpoints.load(tmp_path / "a.pt")
    assert json.loads(json.dumps(found.info)) == {
        "format": "cartoonize-yourself/1",
        "resolution": 16,
        "parameters": sum(p.numel() for p in g.parameters()),
        "images": 48_000,
    }
    text = summary(found)
    for word in ("16 x 16", "3 mapping layers", "48,000 images", "g_ema, d", "16: 4"):
        assert word in text


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checkpoints.sha256(tmp_path / "a") == digest


# ------------------------------------------------------------------------------------------------------- rosinality
def test_a_rosinality_file_is_read_whole(tmp_path, theirs, g, d):
    found = checkpoints.load(stored(tmp_path, theirs))
    assert same(found.d, d)
    w_mean = found.g_ema.mapping.w_mean.clone()
    assert torch.equal(w_mean, g.mapping.update_mean())  # no latent_avg in the file: the seeded mean
    assert same(found.g_ema, g) and same(found.g, g)
    assert found.info["args"] == {"size": 16, "lr": 0.002, "path": "data"} and found.info["ada_aug_p"] == 0.25
    assert not found.g_ema.training and found.g.training


def test_latent_avg_is_the_mean_w(tmp_path, theirs):
    theirs["latent_avg"] = torch.arange(9.0)
    assert torch.equal(checkpoints.load(stored(tmp_path, theirs)).g_ema.mapping.w_mean, torch.arange(9.0))
    theirs["latent_avg"] = torch.ones(8)
    assert "'latent_avg' must be [9]" in error_of(stored(tmp_path, theirs))


def test_only_g_ema_is_required_and_only_noise_and_kernels_may_be_missing(tmp_path, theirs, g):
    state = {k: v for k, v in theirs["g_ema"].items() if not k.startswith("noises.") and not k.endswith(".kernel")}
    path = stored(tmp_path, {"g_ema": state})
    a, b = checkpoints.load(path).g_ema, checkpoints.load(path).g_ema
    assert same(a, b)
    assert a.synthesis.blocks["8"].conv0.noise_const.std() > 0.5  # drawn, from a seed
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), g.parameters(), strict=True))


def test_a_file_of_before_torch_1_6_is_read(tmp_path, theirs, g):
    torch.save({"g_ema": theirs["g_ema"]}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    found = checkpoints.load(tmp_path / "old.pt").g_ema
    assert all(torch.equal(p, q) for p, q in zip(found.parameters(), g.parameters(), strict=True))
    checkpoints.load(tmp_path / "old.pt", g_ema_only=True)


def test_export_comes_back_the_same_and_has_their_names(tmp_path, g, d):
    checkpoints.export(tmp_path / "r.pt", checkpoints.Checkpoint(g_ema=g, g=g, d=d))
    content = torch.load(tmp_path / "r.pt", weights_only=True)
    assert sorted(content) == ["d", "g", "g_ema", "latent_avg"]
    assert content["g_ema"]["noises.noise_4"].shape == (1, 1, 16, 16)
    found = checkpoints.load(tmp_path / "r.pt")
    assert same(found.g_ema, g) and same(found.d, d)
    z = torch.randn(2, 7)
    assert torch.equal(found.g_ema(z, noise="const"), g(z, noise="const"))


def test_exported_entries_are_those_of_the_original(g):
    """All 135 + 50 entries of config-f at 256 px and all of the 32 px model, kernels included, by name and shape."""
    shapes = json.loads((GOLDEN / "rosinality_32.json").read_text())
    for resolution in (32, 256):
        with torch.device("meta"):
            nets = Generator(resolution), Discriminator(resolution)
        tables = [rosinality.generator_rows(nets[0]), rosinality.discriminator_rows(nets[1])]
        kernels = [rosinality.generator_kernels(nets[0]), rosinality.discriminator_kernels(nets[1])]
        for kind, rows, kernel in zip("gd", tables, kernels, strict=True):
            ours = {row.theirs: list(row.shape) for row in rows} | {k: list(v.shape) for k, v in kernel.items()}
            assert ours == shapes[f"{kind}_{resolution}"]
    blur, up = (rosinality.generator_kernels(g)[k] for k in ("convs.0.conv.blur.kernel", "to_rgbs.0.upsample.kernel"))
    assert blur.sum() == up.sum() == 4  # gain for the inserted zeros


def wrong(theirs, change):
    change(theirs["g_ema"])
    return theirs


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("convs.1.noise.weight"), ["missing: convs.1.noise.weight"]),
        (lambda s: s.pop("style.1.weight"), ["lacks style.1.weight"]),
        (lambda s: s.update(extra=torch.ones(1)), ["unknown: extra"]),
        (lambda s: s.update({"style.2.bias": torch.ones(4)}), ["style.2.bias [4] instead of [9]"]),
        (lambda s: s.update({"input.input": torch.ones(4)}), ["input.input should have 4 axes"]),
        (lambda s: s["convs.0.conv.blur.kernel"].copy_(torch.ones(4, 4) / 4), ["convs.0.conv.blur", "[1, 3, 3, 1]"]),
        (lambda s: [s.pop(k) for k in list(s) if "modulation.bias" in k], ["and 4 more"]),
        (lambda s: s.clear(), ["generator lacks"]),
        (lambda s: s.update({"style.1.bias": "text"}), ["must map names to tensors"]),
    ],
)
def test_wrong_entries_are_named(tmp_path, theirs, change, said):
    message = error_of(stored(tmp_path, wrong(theirs, change)))
    for words in ["'g_ema'", *said]:
        assert words in message


def test_wrong_entries_of_our_format_and_of_d_are_named(tmp_path, theirs, g, d):
    del theirs["d"]["final_linear.1.bias"]
    message = error_of(stored(tmp_path, theirs))
    assert "'d': the discriminator's entries do not fit; missing: final_linear.1.bias" in message
    checkpoints.save(tmp_path / "a.pt", g_ema=g, d=d)
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    content["g_ema"]["synthesis.blocks.8.bonus"] = torch.ones(1)
    assert "unknown: synthesis.blocks.8.bonus" in error_of(stored(tmp_path, content))
    del content["g_ema"]
    assert "'g_ema', the averaged generator, is missing" in error_of(stored(tmp_path, content))


def test_nan_weights_are_warned_about(tmp_path, g):
    g.synthesis.blocks["8"].conv0.bias.data[0] = float("nan")
    checkpoints.save(tmp_path / "a.pt", g_ema=g)
    with pytest.warns(UserWarning, match="g_ema holds NaN or infinite numbers in synthesis.blocks.8.conv0.bias"):
        checkpoints.load(tmp_path / "a.pt")


# -------------------------------------------------------------------------------------------------------- bad files
def test_missing_file_suggests_a_similar_name(tmp_path, g):
    checkpoints.save(tmp_path / "photo.pt", g_ema=g)
    assert "did you mean photo.pt?" in error_of(tmp_path / "foto.pt")
    assert "nor a folder" in error_of(tmp_path / "nowhere" / "photo.pt")
    assert "is a folder" in error_of(tmp_path) and "photo.pt" in error_of(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html><head><title>Quota exceeded</title>", "web page, probably a download quota"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "a PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "a JPEG image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b"hello, this is a note", "a text file"),
        (bytes(range(1, 256)), "not a PyTorch file"),
        (pickle.dumps({"G": "torch_utils.persistence"}), "NVIDIA pickle without 'G_ema'"),
        (pickle.dumps({"weights": [1, 2]}), "a Python pickle"),
    ],
)
def test_a_file_of_something_else_is_recognised(tmp_path, content, said):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    message = error_of(path)
    assert said in message and "expected a checkpoint" in message


def test_a_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("photos/1.jpg", b"x")
    assert "a zip of something else (photos/1.jpg)" in error_of(tmp_path / "a.pt")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("part", [0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file(tmp_path, theirs, part, zipped):
    torch.save({"g_ema": theirs["g_ema"]}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    content = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(content[: int(part * len(content))])
    message = error_of(tmp_path / "a.pt")
    assert "truncated" in message or "damaged" in message


class Bomb:
    """Unpickled without care, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_never_runs(tmp_path, theirs, zipped):
    victim = tmp_path / "ran"
    theirs["g_optim"] = Bomb(str(victim))
    torch.save(theirs, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    message = error_of(tmp_path / "a.pt")
    assert "refused, nothing was run" in message and not victim.exists()
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Bomb(str(victim))))
    assert "could run code" in error_of(tmp_path / "b.pt") and not victim.exists()
    torch.load(tmp_path / "a.pt", weights_only=False)  # the bomb is a real one
    assert victim.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "holds a list"),
        ({"model": {}, "epoch": 3}, "the keys model, epoch, but without 'g_ema'"),
        ({"a.weight": torch.ones(1)}, "a bare state dict (a.weight)"),
        ({"e": {}, "d": {}, "e_optim": {}}, "an encoder, which goes from photos to codes"),
        ({"g_ema": [1]}, "'g_ema' must be a dict, is a list"),
        ({"g_ema": None}, "'g_ema' must be a dict, is a NoneType"),
    ],
)
def test_a_pytorch_file_of_something_else(tmp_path, content, said):
    assert said in error_of(stored(tmp_path, content))


def test_loading_is_quiet_and_draws_nothing(tmp_path, theirs, g):
    path = stored(tmp_path, theirs)
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoints.load(path)
    checkpoints.save(path, g_ema=g)
    checkpoints.load(path)
    assert torch.equal(state, torch.get_rng_state())
