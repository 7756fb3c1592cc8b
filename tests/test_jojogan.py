"""A style from one drawing, on tiny networks: pairs, the discriminator's distance, learning, and the verb `stylize`."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import skimage.data
import torch
from command import call, invoke, refusal
from PIL import Image
from tiny_encoder import Pixels, an_encoder
from tiny_training import tiny_networks

from stylegan2 import checkpoints, display, runs
from stylegan2.collect import align
from stylegan2.editing import jojogan
from stylegan2.editing.cartoonize import cartoonize
from stylegan2.editing.jojogan import Pairs, StyleConfig, faults, invert, style_layers, stylize
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.optimise import INTERRUPTED
from stylegan2.editing.perceptual import DiscriminatorDistance
from stylegan2.editing.photos import Portrait
from stylegan2.pocket.nets.judge import Judge

CONFIG = StyleConfig(iterations=12, batch=3, lr=0.01)


@pytest.fixture(scope="module")
def networks():
    g, d = tiny_networks(16, 6, 1)
    g.mapping.update_mean(100)
    return g.eval().requires_grad_(False), d.eval()


@pytest.fixture(scope="module")
def drawings(networks) -> torch.Tensor:
    """Two pictures of strong colours."""
    picture = torch.full((2, 3, 16, 16), -0.8)
    picture[0, 0, 4:12], picture[1, 1, :, 6:10] = 0.9, 0.9
    return picture


@pytest.fixture(scope="module")
def ws(networks) -> torch.Tensor:
    return ws_from_seeds(networks[0], [3, 4])


# ---------------------------------------------------------------------------------------------------------- the layers
def test_layers_follow_from_the_models_size():
    assert style_layers(10) == tuple(range(5, 10)) and style_layers(12) == tuple(range(7, 12))  # 64, 128 pixels
    assert style_layers(14) == tuple(range(7, 14)) and style_layers(18) == tuple(range(7, 18))  # 256, 1024: the paper
    assert style_layers(6) == (1, 2, 3, 4, 5)


def test_layers_may_be_named():
    assert style_layers(10, StyleConfig(layers="2,5-6")) == (2, 5, 6)
    with pytest.raises(ValueError, match="0 to 9"):
        style_layers(10, StyleConfig(layers="10"))


@pytest.mark.parametrize(
    "wrong", [{"iterations": 0}, {"batch": 0}, {"lr": 0.0}, {"lr": 1.0}, {"seed": -1}, {"iterations": 1.5}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StyleConfig(**wrong)


# ----------------------------------------------------------------------------------------------------------- the pairs
def test_codes_outside_the_style_layers_are_the_drawings_to_the_bit(networks, drawings, ws):
    codes, _ = Pairs(networks[0], drawings, ws, replace(CONFIG, layers="2-3"))(0)
    own, others = ws[[0, 1, 0]], [0, 1, 4, 5]
    assert torch.equal(codes[:, others], own[:, others])
    assert (codes[:, 2:4] != own[:, 2:4]).all()
    assert torch.equal(codes[:, 2], codes[:, 3]) and len(torch.unique(codes[:, 2], dim=0)) == 3  # a face each


def test_drawings_take_turns_and_a_step_is_a_function_of_its_number(networks, drawings, ws):
    pairs = Pairs(networks[0], drawings, ws, CONFIG)
    assert torch.equal(pairs(0)[1], drawings[[0, 1, 0]]) and torch.equal(pairs(1)[1], drawings[[1, 0, 1]])
    assert torch.equal(pairs(5)[0], pairs(5)[0]) and not torch.equal(pairs(5)[0], pairs(6)[0])
    assert not torch.equal(pairs(5)[0], Pairs(networks[0], drawings, ws, replace(CONFIG, seed=1))(5)[0])


def test_kept_colours_are_those_of_each_face_and_lines_the_drawings(networks, ws):
    """A drawing that is its face, with other colours and a dark line: only the line is learnt."""
    g = networks[0]
    face = g.synthesis(ws, "const")
    line = torch.zeros_like(face)
    line[..., 7, 3:13] = -0.5
    config = replace(CONFIG, keep_colours=True)
    plain, tinted, drawn = (Pairs(g, face + more, ws, config)(0) for more in (0, 0.3, line))
    faces = g.synthesis(plain[0], "const").clamp(-1, 1)
    assert torch.equal(tinted[0], plain[0]) and (plain[1] - faces).abs().max() < 1e-5
    assert (tinted[1] - faces).abs().max() < 1e-5
    darker = (drawn[1] - faces).mean((0, 1))
    assert darker[7, 4:12].max() < -0.1 and darker[:4].abs().max() < 1e-5


# -------------------------------------------------------------------------------------------------------- the distance
def test_the_discriminators_distance(networks, drawings):
    g, d = networks
    distance = DiscriminatorDistance(d)
    maps = distance.of(drawings)
    assert [x.shape[-1] for x in maps] == [16, 8, 4] and torch.equal(maps[-1], d.features(drawings))
    assert distance(drawings, maps).tolist() == [0, 0]
    other = distance.of(drawings.flip(0))
    by_hand = sum((a[0] - b[0]).abs().mean() for a, b in zip(maps, other, strict=True))
    torch.testing.assert_close(distance(drawings, other)[0], by_hand)


# --------------------------------------------------------------------------------------------------------- the learning
def test_codes_are_the_encoders_or_those_of_a_search_in_w(networks, drawings):
    g, _ = networks
    e = an_encoder(g)
    assert torch.equal(invert(g, drawings, Pixels(), e), e(drawings))
    searched = invert(g, drawings, Pixels(), None, steps=3)
    assert torch.equal(searched, searched[:, :1].expand_as(searched)) and not torch.equal(searched[0], searched[1])


@pytest.fixture(scope="module")
def learnt(networks, drawings, ws):
    history = []
    style = stylize(*networks, drawings, ws, replace(CONFIG, iterations=60), history, progress=False)
    return style, history


def test_random_codes_come_to_render_the_drawing(networks, drawings, ws, learnt):
    style, history = learnt
    assert [row["step"] for row in history] == list(range(60))
    assert sum(row["loss"] for row in history[-5:]) < 0.7 * sum(row["loss"] for row in history[:5])
    codes, images = Pairs(networks[0], drawings, ws, CONFIG)(1000)  # that were never seen
    distance = DiscriminatorDistance(networks[1])
    target = distance.of(images)
    before, after = (distance(g.synthesis(codes, "const"), target) for g in (networks[0], style))
    assert (after < before).all()


def test_the_source_and_the_discriminator_stay(networks, drawings, ws):
    before = [checkpoints.fingerprint(network) for network in networks]
    style = stylize(*networks, drawings, ws, CONFIG, progress=False)
    assert [checkpoints.fingerprint(network) for network in networks] == before
    assert all(p.requires_grad for p in networks[1].parameters())
    assert not any(p.requires_grad for p in style.parameters())
    assert torch.equal(style.mapping.w_mean, networks[0].mapping.w_mean)


def test_the_same_seed_gives_the_same_bits(networks, drawings, ws):
    same = [stylize(*networks, drawings, ws, CONFIG, progress=False) for _ in range(2)]
    other = stylize(*networks, drawings, ws, replace(CONFIG, seed=1), progress=False)
    assert checkpoints.fingerprint(same[0]) == checkpoints.fingerprint(same[1]) != checkpoints.fingerprint(other)


def test_alpha_0_is_the_source_and_1_the_style_to_the_bit(networks, learnt, ws):
    g, style = networks[0], learnt[0]
    for strength, model in ((0.0, g), (1.0, style)):
        drawn = cartoonize(g, {"drawn": style}, ws, strength=strength)["drawn"]
        assert torch.equal(drawn, model.synthesis(ws, "const"))
    half = cartoonize(g, {"drawn": style}, ws, strength=0.5)["drawn"]
    apart = [(half - model.synthesis(ws, "const")).abs().mean() for model in (g, style)]
    assert min(apart) > 0 and sum(apart) < 2 * (g.synthesis(ws, "const") - style.synthesis(ws, "const")).abs().mean()


@pytest.fixture
def stopped_at_4(monkeypatch) -> None:
    """Ctrl-C in the fifth iteration."""

    def interrupted(self, step, call=Pairs.__call__):
        if step == 4:
            raise KeyboardInterrupt
        return call(self, step)

    monkeypatch.setattr(Pairs, "__call__", interrupted)


def test_stopped_early_it_keeps_what_was_learnt(networks, drawings, ws, stopped_at_4):
    history = []
    style = stylize(*networks, drawings, ws, CONFIG, history, progress=False)
    whole = stylize(*networks, drawings, ws, replace(CONFIG, iterations=4), progress=False)
    assert len(history) == 4 and checkpoints.fingerprint(style) == checkpoints.fingerprint(whole)


def test_ctrl_c_within_a_step_leaves_no_gradients_on(networks, drawings, ws, monkeypatch):
    seen = []

    def interrupted(self, images, target, call=DiscriminatorDistance.forward):
        if seen.append(1) or len(seen) == 3:
            raise KeyboardInterrupt
        return call(self, images, target)

    monkeypatch.setattr(DiscriminatorDistance, "forward", interrupted)
    style = stylize(*networks, drawings, ws, CONFIG, progress=False)
    whole = stylize(*networks, drawings, ws, replace(CONFIG, iterations=2), progress=False)
    assert not any(p.requires_grad for p in style.parameters())
    assert checkpoints.fingerprint(style) == checkpoints.fingerprint(whole)


def test_shapes_that_do_not_fit_are_named(networks, drawings, ws):
    with pytest.raises(ValueError, match="images must be float"):
        stylize(*networks, drawings[..., :8], ws, CONFIG)
    with pytest.raises(ValueError, match="codes must be"):
        stylize(*networks, drawings, ws[:1], CONFIG)


# -------------------------------------------------------------------------------------------------- what is wrong in it
@pytest.fixture(scope="module")
def face() -> Image.Image:
    """A real face, aligned."""
    photo = Image.fromarray(skimage.data.astronaut())
    return align.cut(photo, align.square_of(align.find_people(photo)[0]), 256)


def faults_of(image: Image.Image, side: int = 256) -> list[str]:
    return faults(Portrait(image, "as it is", side), align.FFHQ)


def test_an_aligned_face_has_no_faults_and_no_face_none_either(face):
    assert faults_of(face) == []
    assert faults_of(Image.new("RGB", (64, 64), "grey")) == []


def test_a_face_that_is_turned_or_far_away_is_not_aligned(face):
    (turned,) = faults_of(face.rotate(25, Image.Resampling.BICUBIC))
    assert "not aligned" in turned and abs(25 + int(re.search(r"turned by (-?\d+) degrees", turned)[1])) < 8
    (small,) = faults_of(face.resize((128, 128)).crop((-64, -64, 192, 192)))
    assert "not aligned" in small and "0.5 times as large" in small
    assert all("not aligned" in word for word in faults_of(face.resize((72, 72)).crop((-92, -92, 164, 164))))  # tiny


def test_a_square_of_few_pixels_is_too_small(face):
    assert faults_of(face, 200) == ["is too small (200x200 pixels, the model's images have 256x256: take a larger one)"]


def test_eyes_that_are_less_open_than_the_limit_are_named(face, monkeypatch):
    """No picture of shut eyes is at hand: the limit is moved instead."""
    monkeypatch.setattr(jojogan, "SHUT", 0.9)
    (closed,) = faults_of(face)
    assert "closed eyes" in closed


# ------------------------------------------------------------------------------------------------------------ the verb
@pytest.fixture(scope="module")
def folder(tmp_path_factory, networks, drawings) -> Path:
    """model.pt (16 px), no_d.pt, judge.pt, a.png and b.png of the model's size, small.png, text.png."""
    folder = tmp_path_factory.mktemp("stylize")
    g, d = networks
    checkpoints.save(folder / "model.pt", g_ema=g, d=d)
    checkpoints.save(folder / "no_d.pt", g_ema=g)
    torch.manual_seed(0)
    Judge().save(folder / "judge.pt")
    for name, image in zip("ab", drawings, strict=True):
        display.to_pil(image).save(folder / f"{name}.png")
    display.to_pil(drawings[0]).resize((8, 8)).save(folder / "small.png")
    Image.new("RGB", (32, 32), "grey").save(folder / "empty.png")
    (folder / "text.png").write_text("<html>")
    return folder


def options(folder: Path, out: Path, *more) -> list:
    words = ["--source", folder / "model.pt", "--judge", folder / "judge.pt", "--out", out]
    return [*words, "--iterations", 5, "--batch", 2, "--steps", 3, *more]


def test_a_run_is_a_model_for_other_verbs(folder, tmp_path):
    out = tmp_path / "runs" / "drawn"
    said = call("stylize", folder / "a.png", folder / "b.png", *options(folder, out, "--layers", "2-5"))
    assert "2 drawings" in said and f"cartoonize PHOTO --style {out}" in said
    assert Image.open(out / "sheet.png").height > 5 * 192
    settings = json.loads((out / "config.json").read_text())
    assert settings["source"] == str(folder / "model.pt") and settings["steps"] == 3
    assert settings["drawings"] == ["a", "b"] and settings["layers"] == [2, 3, 4, 5] and settings["iterations"] == 5
    style = checkpoints.load(runs.latest(out), "cpu")
    source = checkpoints.load(folder / "model.pt", "cpu").g_ema
    assert style.info["origin"] == checkpoints.fingerprint(source) != checkpoints.fingerprint(style.g_ema)
    call("generate", out, "--seeds", "0-3", "--out", tmp_path / "faces.png")
    assert "holds a run already" in refusal("stylize", folder / "a.png", *options(folder, out))


def test_strength_0_writes_the_source(folder, tmp_path):
    call("stylize", folder / "a.png", *options(folder, tmp_path, "--strength", 0))
    models = (checkpoints.load(path, "cpu").g_ema for path in (runs.latest(tmp_path), folder / "model.pt"))
    assert len({checkpoints.fingerprint(g) for g in models}) == 1


def test_ctrl_c_keeps_what_was_learnt(folder, tmp_path, stopped_at_4):
    result = invoke("stylize", folder / "a.png", *options(folder, tmp_path), code=130)
    assert "4 of 5 iterations are kept" in result.stderr and runs.latest(tmp_path) is not None


def test_ctrl_c_in_the_search_learns_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(jojogan, "project", lambda *_: SimpleNamespace(stopped=INTERRUPTED))
    result = invoke("stylize", folder / "a.png", *options(folder, tmp_path / "none", "--encoder", "none"), code=130)
    assert "nothing was written" in result.stderr and not (tmp_path / "none").exists()


def test_what_cannot_work_is_refused_before_anything_is_written(folder, tmp_path):
    out = tmp_path / "none"
    for words, message in (
        ([folder / "text.png"], "text.png' cannot be read: a web page"),
        ([folder / "no.png"], "no.png"),
        ([folder / "empty.png"], "empty.png': no face found"),
        (
            [folder / "small.png", "--align", "no"],
            "'small' is too small (8x8 pixels, the model's images have 16x16: take",
        ),
        ([folder / "a.png", "--source", folder / "no_d.pt"], "no discriminator"),
        ([folder / "a.png", "--iterations", 0], "--iterations is 0"),
        ([folder / "a.png", "--strength", 2], "--strength is 2"),
        ([folder / "a.png", "--layers", "9"], "0 to 5"),
        ([folder / "a.png", "--encoder", folder / "judge.pt"], "is no encoder"),
    ):
        assert message in refusal("stylize", *options(folder, out), *words)
        assert not out.exists(), words
    assert "is the folder of your photos" in refusal("stylize", folder / "a.png", *options(folder, folder))
    assert "Invalid value for '--steps'" in call("stylize", *options(folder, out), "--steps", 0, code=2)


def test_faults_are_told_and_may_be_overruled(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(jojogan, "faults", lambda portrait, frame: ["has closed eyes (0.05: take another)"])
    said = refusal("stylize", folder / "a.png", *options(folder, tmp_path / "none"))
    assert "'a' has closed eyes (0.05: take another)" in said and "--anyway" in said
    call("stylize", folder / "a.png", *options(folder, tmp_path / "out", "--anyway"))
