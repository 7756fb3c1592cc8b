"""The encoder: parity with the original, its files, its training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import call
from golden_numbers import assert_close, make_weights
from tiny_encoder import Pixels, an_encoder
from tiny_training import dies_at, tiny_networks

from stylegan2 import checkpoints, files
from stylegan2.checkpoints import CheckpointError, rosinality
from stylegan2.editing.encoder import (
    Encoder,
    export_encoder,
    from_original,
    load_encoder,
    save_encoder,
    to_original,
)
from stylegan2.editing.perceptual import psnr
from stylegan2.pocket import world
from stylegan2.pocket.nets import encoder_training
from stylegan2.pocket.nets.encoder_training import EncoderConfig, EncoderTraining
from stylegan2.pocket.nets.teaching import FaceCodes, describe

GOLDEN = Path(__file__).parent / "golden"
TINY = {"images": 8 * 6, "batch": 8, "faces": 12}


@pytest.fixture(scope="module")
def g():
    return tiny_networks(16, 6, 1)[0].eval().requires_grad_(False)


# ---------------------------------------------------------------------------------------------------------- the network
def test_codes_are_the_originals():
    shapes = json.loads((GOLDEN / "encoder_32.json").read_text())
    with np.load(GOLDEN / "encoder_32.npz") as golden:
        e = from_original(make_weights(shapes))
        assert (e.resolution, e.num_ws, e.w_dim) == (32, 8, 512)
        assert_close("w", e(torch.from_numpy(golden["x"])).detach(), golden["w"])


def test_there_is_one_code_for_every_layer(g):
    e = an_encoder(g)
    images = torch.randn(3, 3, 16, 16)
    ws = e(images)
    assert ws.shape == (3, g.num_ws, g.w_dim) and torch.isfinite(g.synthesis(ws, "const")).all()
    torch.testing.assert_close(ws[1:2], e(images[1:2]), rtol=0, atol=1e-5)  # each image by itself
    with pytest.raises(ValueError, match=r"images must be \[N, 3, 16, 16\]"):
        e(images[..., :8])


# ------------------------------------------------------------------------------------------------------------ its files
@pytest.mark.parametrize("half", (False, True))
def test_a_saved_encoder_comes_back(g, tmp_path, half):
    e = an_encoder(g)
    save_encoder(tmp_path / "e.pt", e, {"generator": "abc"}, half)
    found = load_encoder(tmp_path / "e.pt")
    assert found.meta == {"generator": "abc"} and not any(p.requires_grad for p in found.encoder.parameters())
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(found.encoder(images), e(images), rtol=0, atol=2e-2 if half else 0)
    assert found.encoder.channels == e.channels


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The encoder of the golden numbers in the file of the original system, which says nothing of psi."""
    weights = make_weights(json.loads((GOLDEN / "encoder_32.json").read_text()))
    path = tmp_path_factory.mktemp("published") / "e.pt"
    files.write(path, {"e": weights, "d": {}, "e_optim": {}})
    return path


def test_the_originals_file_is_read(published):
    e = load_encoder(published).encoder
    assert torch.equal(e.head, files.read(published)["e"]["convs.4.weight"]) and not e.training
    assert e.psi == 0.7 and an_encoder(tiny_networks(16, 6, 1)[0]).psi == 1


@torch.no_grad()
def test_the_originals_codes_are_drawn_with_the_psi_it_was_trained_with(published):
    """G(mean + 0.7 (e(x) - mean)) with fixed noise, by the original's own e(x) and a generator of its layout."""
    shapes = json.loads((GOLDEN / "rosinality_32.json").read_text())["g_32"]
    g = rosinality.to_generator(make_weights(shapes))
    mean = g.mapping.update_mean(1000).clone()
    e = load_encoder(published).encoder
    with np.load(GOLDEN / "encoder_32.npz") as golden:
        x, answer = (torch.from_numpy(golden[name]) for name in ("x", "w"))
    with pytest.raises(ValueError, match=r"hold for psi 0.7: call encoder.around\(g.mapping\) first"):
        e(x)
    codes = e.around(g.mapping)(x)
    assert_close("codes", codes, mean + 0.7 * (answer - mean))
    images = g.synthesis(mean + 0.7 * (answer - mean), "const")
    assert_close("images", g.synthesis(codes, "const"), images)
    plain = g.synthesis(answer, "const")
    assert (plain - images).abs().max() > 0.1 * images.std()  # so that the line above can tell them apart
    with pytest.raises(ValueError, match=r"mean is \[6, 8\], this encoder's codes are \[8, 512\]"):
        e.around(tiny_networks(16, 6, 1)[0].mapping)


def test_psi_is_kept_in_every_layout(g, published, tmp_path):
    images = torch.randn(2, 3, 16, 16)
    for psi in (1.0, 0.7, 0.5):
        e = Encoder(16, g.num_ws, g.w_dim, {4: 6, 8: 8, 16: 4}, psi).around(g.mapping).eval()
        save_encoder(tmp_path / "ours.pt", e)
        export_encoder(tmp_path / "theirs.pt", e)
        for name in ("ours.pt", "theirs.pt"):
            found = load_encoder(tmp_path / name).encoder
            assert found.psi == psi and torch.equal(found.around(g.mapping)(images), e(images))
    said = [call("convert", published, "--out", tmp_path / "ours.pt", "--to", "ours")]
    said += [call("convert", tmp_path / "ours.pt", "--out", tmp_path / "theirs.pt")]
    assert load_encoder(tmp_path / "theirs.pt").encoder.psi == 0.7 and "note" not in "".join(said)
    save_encoder(tmp_path / "own.pt", an_encoder(g))
    assert "note: this encoder's codes hold for psi 1;" in call(
        "convert", tmp_path / "own.pt", "--out", tmp_path / "theirs.pt"
    )
    assert load_encoder(tmp_path / "theirs.pt").encoder.psi == 1


def test_other_files_are_refused_with_reasons(g, tmp_path):
    e = an_encoder(g)
    save_encoder(tmp_path / "e.pt", e)
    content = files.read(tmp_path / "e.pt")
    odd = {
        "a": ({"g_ema": {}}, "is no encoder: it holds g_ema"),
        "b": ({**content, "format": "other"}, "format 'other' is unknown"),
        "c": ({**content, "num_ws": 7}, "no 7 codes"),
        "p": ({**content, "psi": -1.0}, "psi is -1.0, expected a positive number"),
        "q": ({"e": to_original(e), "psi": "0.7"}, "psi is '0.7', expected"),
        "d": ({**content, "e": {k: v for k, v in content["e"].items() if k != "from_rgb.bias"}}, "from_rgb.bias"),
    }
    for name, (wrong, message) in odd.items():
        files.write(tmp_path / f"{name}.pt", wrong)
        with pytest.raises(CheckpointError, match=message):
            load_encoder(tmp_path / f"{name}.pt")
    with pytest.raises(CheckpointError, match="an encoder, which goes from photos to codes"):
        files.write(tmp_path / "o.pt", {"e": {}, "d": {}, "e_optim": {}})
        checkpoints.load(tmp_path / "o.pt")


# --------------------------------------------------------------------------------------------------------- its training
def training(g, config: EncoderConfig, known: bool = True) -> EncoderTraining:
    """One of which the pictures are noise."""
    run, rng = EncoderTraining(config, g, Pixels(), "cpu"), torch.Generator().manual_seed(0)
    images = torch.randint(0, 255, (config.faces, 3, 16, 16), dtype=torch.uint8, generator=rng)
    run.faces = images, torch.randn(config.faces, g.w_dim, generator=rng) if known else None
    return run


def test_the_codes_of_rendered_faces_are_known_if_something_tells_them(g):
    codes = FaceCodes(describe(world.sample("photo", 1)).shape[1], g.w_dim)
    config = EncoderConfig(**TINY)
    for teller in (None, codes):
        photos, w = EncoderTraining(config, g, Pixels(), "cpu", teller).faces
        faces = world.sample("photo", 12, seed=encoder_training.FACES_SEED)
        assert torch.equal(photos, world.render(faces, "photo", 16))
        assert w is None if teller is None else torch.equal(w, codes.w(describe(faces)))


def test_killed_training_goes_on_to_the_same_encoder(g, tmp_path, monkeypatch):
    config = EncoderConfig(**TINY)
    monkeypatch.setattr(encoder_training, "measure", lambda *arguments: {"generated": 20.0})
    training(g, config).train(tmp_path / "a.pt", tmp_path / "a")
    steps = dies_at(monkeypatch, EncoderTraining, 4)
    with pytest.raises(KeyboardInterrupt):
        training(g, config).train(tmp_path / "b.pt", tmp_path / "b")
    assert not (tmp_path / "b.pt").exists()
    training(g, config).train(tmp_path / "b.pt", tmp_path / "b")
    assert steps == [0, 1, 2, 3, 3, 4, 5]
    whole, resumed = (load_encoder(tmp_path / f"{name}.pt").encoder.state_dict() for name in "ab")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    written = json.loads((tmp_path / "b.json").read_text())
    assert written["psnr"] == {"generated": 20.0} and written["training"]["generator"] == checkpoints.fingerprint(g)


def test_a_state_of_other_settings_is_passed_over(g, tmp_path):
    run = training(g, EncoderConfig(**TINY))
    run.step = 3
    run.save(tmp_path / "state.pt")
    found = []
    for changes in ({"lr": 0.5}, {}):
        other = training(g, EncoderConfig(**TINY | changes))
        other.resume(tmp_path / "state.pt")
        found.append(other.step)
    assert found == [0, 3]


def test_it_learns_to_give_back_generated_images(g):
    """Against the mean code, which is the best that one code for all can do."""
    config = EncoderConfig(images=8 * 150, batch=8, faces=8, lr=1e-2, perceptual=0.0)
    run = training(g, config, known=False)  # noise has no code that could be learned
    rows = [run.train_step(*run.batch()) for _ in range(config.steps)]
    assert sum(r["codes"] for r in rows[-10:]) < 0.7 * sum(r["codes"] for r in rows[:10])
    images, ws = run.batch()
    with torch.no_grad():
        found = run.g.synthesis(run.model(images[:4]), "const")
        mean = run.g.synthesis(run.g.mapping.mean_ws.expand(4, -1, -1), "const")
    assert psnr(found, images[:4]).mean() > psnr(mean, images[:4]).mean()


def test_a_batch_is_half_generated_and_a_function_of_the_step(g):
    run = training(g, EncoderConfig(**TINY))
    photos, w = run.faces
    images, ws = run.batch()
    assert images.shape == (8, 3, 16, 16) and ws.shape == (8, g.num_ws, g.w_dim)
    torch.testing.assert_close(run.g.synthesis(ws[:4], "const").clamp(-1, 1), images[:4], rtol=0, atol=2e-2)
    real = photos.float() / 127.5 - 1
    for image, code in zip(images[4:], ws[4:], strict=True):  # each with its own w in all layers
        k = int((image - real).abs().amax((1, 2, 3)).argmin())
        assert torch.allclose(image, real[k], atol=1e-5) and torch.allclose(code, w[k], atol=1e-4)
    assert torch.equal(run.batch()[0], images)
    run.step = 1
    assert not torch.equal(run.batch()[0], images)


def test_settings_are_checked():
    for wrong in ({"images": 3, "batch": 8}, {"batch": 5}, {"faces": 0}, {"codes": -1.0}, {"lr": 0.0}):
        with pytest.raises(ValueError, match="expected|must be"):
            EncoderConfig(**wrong)
