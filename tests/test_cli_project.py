"""The verbs `project` and `train-encoder`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command import call, invoke, refusal
from PIL import Image
from tiny_clip import save_clip, tiny_clip
from tiny_training import tiny_networks

from stylegan2 import checkpoints, display
from stylegan2.editing.cartoonize import CAREFUL
from stylegan2.editing.encoder import Encoder, load_encoder, save_encoder
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.perceptual import psnr
from stylegan2.editing.projection import Projection
from stylegan2.editing.style_mixing import mix_grid
from stylegan2.editing.styleclip import TextEdit
from stylegan2.pocket.nets.judge import Judge


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """model.pt (16 px), judge.pt, encoder.pt, two pictures, one of them wide, and a text."""
    folder = tmp_path_factory.mktemp("project")
    g = tiny_networks(16, 6, 1)[0].eval()
    checkpoints.save(folder / "model.pt", g_ema=g)
    g = checkpoints.load(folder / "model.pt").g_ema  # with its mean w
    torch.manual_seed(0)
    Judge().save(folder / "judge.pt")
    e = Encoder(16, g.num_ws, g.w_dim, {4: 6, 8: 8, 16: 4}, psi=0.7)
    save_encoder(folder / "encoder.pt", e, {"generator": checkpoints.fingerprint(g)})
    images = g.synthesis(ws_from_seeds(g, [3, 4]), "const").clamp(-1, 1)
    display.to_pil(images[0]).save(folder / "me.png")
    wide = Image.new("RGB", (32, 16), "white")
    wide.paste(display.to_pil(images[1]), (8, 0))
    wide.save(folder / "wide.png")
    (folder / "text.png").write_text("<html>")
    return folder


def options(folder: Path, out: Path, *more) -> list:
    return ["--out", out, "--judge", folder / "judge.pt", "--steps", 4, *more]


def picture(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].float() / 127.5 - 1


def test_codes_and_pictures_are_kept_for_every_photo(folder, tmp_path):
    out = tmp_path / "new" / "out"
    photos = [folder / "me.png", folder / "wide.png"]
    said = call("project", folder / "model.pt", *photos, *options(folder, out, "--space", "w", "--align", "no"))
    g = checkpoints.load(folder / "model.pt").g_ema
    for name in ("me", "wide"):
        found = Projection.load(out / f"{name}.pt")
        assert found.ws.shape == (1, g.num_ws, g.w_dim) and found.config.space == "w" and len(found.history) == 4
        assert found.made_from == {"generator": checkpoints.fingerprint(g), "psi": 1.0, "photo": name}
        assert Image.open(out / f"{name}.png").height >= 2 * 192
        assert f"{name}: " in said and " dB" in said
    shown = psnr(g.synthesis(Projection.load(out / "me.pt").ws, "const"), picture(folder / "me.png"))
    assert f"me: rendered to within {float(shown):.1f} dB" in said  # of the codes that were saved


def test_the_middle_square_is_taken_if_it_is_asked_for(folder, tmp_path):
    from stylegan2.editing.photos import Cutting, read_photo, stacked

    found = read_photo("wide", folder / "wide.png", 16, Cutting("no"))
    assert found["wide"].how == "middle square"
    said = refusal("project", folder / "model.pt", folder / "wide.png", *options(folder, tmp_path))
    assert "wide.png': no face found" in said and "LEFT,TOP,SIDE" in said and "--align no" in said
    torch.testing.assert_close(stacked(found), picture(folder / "wide.png")[..., 8:24], rtol=0, atol=1e-5)


def test_an_encoder_gives_the_beginning_or_the_answer(folder, tmp_path):
    words = ["project", folder / "model.pt", folder / "me.png"]
    call(*words, *options(folder, tmp_path, "--encoder", folder / "encoder.pt", "--steps", 0))
    found, e = Projection.load(tmp_path / "me.pt"), load_encoder(folder / "encoder.pt").encoder
    e.around(checkpoints.load(folder / "model.pt").g_ema.mapping)
    torch.testing.assert_close(found.ws, e(picture(folder / "me.png")), rtol=0, atol=1e-4)
    assert found.stopped == "encoder only" and found.history == []
    assert "nothing would be looked for" in refusal(*words, *options(folder, tmp_path, "--steps", 0))


def test_pivotal_tuning_keeps_a_model_that_draws_the_photo(folder, tmp_path):
    call("project", folder / "model.pt", folder / "me.png", *options(folder, tmp_path, "--tune", 30))
    tuned, found = checkpoints.load(tmp_path / "tuned.pt"), Projection.load(tmp_path / "me.pt")
    g = checkpoints.load(folder / "model.pt").g_ema
    before, after = (psnr(model.synthesis(found.ws, "const"), picture(folder / "me.png")) for model in (g, tuned.g_ema))
    assert after > before + 1
    assert tuned.meta["tuned_from"] == checkpoints.fingerprint(g)
    assert found.made_from["generator"] == checkpoints.fingerprint(tuned.g_ema)


def test_impossible_wishes_are_refused(folder, tmp_path):
    words = ["project", folder / "model.pt"]
    for more, message in (
        ([folder / "text.png"], "text.png' cannot be read: a web page"),
        ([folder / "no.png"], "no.png"),
        ([folder / "me.png", "--space", "z"], "expected 'w+'"),
        ([folder / "me.png", "--encoder", folder / "judge.pt"], "is no encoder"),
        ([folder / "me.png", "--judge", folder / "no.pt"], "there is no file"),
    ):
        assert message in refusal(*words, *options(folder, tmp_path, *more))
    other = tiny_networks(8, 6, 1)[0]
    checkpoints.save(tmp_path / "small.pt", g_ema=other)
    more = options(folder, tmp_path, "--encoder", folder / "encoder.pt", "--align", "no")
    assert "is for 16 pixels" in refusal("project", tmp_path / "small.pt", folder / "me.png", *more)
    for more in ([folder / "wide.png"], [folder / "me.png", "--box", "1,2"], [folder / "me.png", "--space", "z"]):
        refusal(*words, *options(folder, tmp_path / "none", *more))
    assert not (tmp_path / "none").exists()
    assert not list(tmp_path.glob("me*"))


def test_an_encoder_is_trained(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers = ["--images", 16, "--batch", 4, "--faces", 6, "--judge", folder / "judge.pt"]
    said = call("train-encoder", folder / "model.pt", "--out", tmp_path / "e.pt", *numbers)
    assert "e.json" in said
    found = load_encoder(tmp_path / "e.pt")
    assert found.encoder.resolution == 16 and found.meta["images"] == 16
    assert set(json.loads((tmp_path / "e.json").read_text())["psnr"]) == {"generated", "rendered"}
    assert "batch even" in refusal("train-encoder", folder / "model.pt", "--out", tmp_path / "e.pt", "--batch", 3)


@pytest.fixture(scope="module")
def models(folder, tmp_path_factory) -> Path:
    """A folder as the course's: photo.pt, encoder.pt, judge.pt, two styles."""
    models = tmp_path_factory.mktemp("models")
    for name, source in (("photo", "model"), ("encoder", "encoder"), ("judge", "judge")):
        (models / f"{name}.pt").write_bytes((folder / f"{source}.pt").read_bytes())
    for seed, name in ((2, "manga"), (3, "webtoon")):
        checkpoints.save(models / f"{name}_freeze-sg.pt", g_ema=tiny_networks(16, 6, seed)[0])
    return models


def test_photos_become_cartoons_in_every_style(folder, models, tmp_path):
    words = ["cartoonize", folder / "me.png", folder / "wide.png", "--models", models, "--out", tmp_path, "--steps", 0]
    words += ["--align", "no"]
    assert "2 faces in 2 styles" in call(*words)
    e = load_encoder(models / "encoder.pt").encoder
    source, g = (checkpoints.load(models / name).g_ema for name in ("photo.pt", "webtoon_freeze-sg.pt"))
    ws = e.around(source.mapping)(picture(folder / "me.png"))
    wanted = np.asarray(display.to_pil(g.synthesis(ws, "const")[0], 12)).astype(int)
    assert np.abs(np.asarray(Image.open(tmp_path / "me_webtoon.png")).astype(int) - wanted).max() <= 1
    assert {p.name for p in tmp_path.glob("*.png")} == {
        "cartoons.png", "me_manga.png", "me_webtoon.png", "wide_manga.png", "wide_webtoon.png",
    }  # fmt: skip
    assert Image.open(tmp_path / "cartoons.png").width > 4 * 192
    call(*words, "--style", "webtoon", "--strength", 0, "--out", tmp_path / "b")
    drawn = np.asarray(display.to_pil(source.synthesis(ws, "const")[0], 12)).astype(int)
    assert np.abs(np.asarray(Image.open(tmp_path / "b" / "me_webtoon.png")).astype(int) - drawn).max() <= 1


def test_styles_that_there_are_not_are_refused(folder, models, tmp_path, monkeypatch):
    words = ["cartoonize", folder / "me.png", "--models", models, "--out", tmp_path]
    assert "no style disney by freeze-sg" in refusal(*words, "--style", "webtoon,disney")
    assert "there are: none" in refusal(*words, "--method", "nada", "--out", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    monkeypatch.setattr("stylegan2.editing.cartoonize.find_codes", lambda *a, **k: pytest.fail("searched first"))
    for wrong, message in (
        (["--strength", 2], "strength is 2"),
        (["--resolution", 5], "swap_resolution is 5"),
        (["--width", -1], "width is -1"),
    ):
        assert message in refusal(*words, *wrong)


def test_a_photo_that_the_model_does_not_know_is_held_near_a_face(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("stylegan2.editing.cartoonize.is_outside", lambda *_: torch.tensor([True, False]))
    words = ["project", folder / "model.pt", folder / "wide.png", folder / "me.png", "--align", "no"]
    said = call(*words, *options(folder, tmp_path / "a"))
    assert "wide: this model was not trained on faces like this one: it becomes the most similar face" in said
    far, known = (Projection.load(tmp_path / "a" / f"{name}.pt") for name in ("wide", "me"))
    assert (far.config.space, far.config.l2) == ("w", CAREFUL.l2) and (known.config.space, known.config.l2) == ("w+", 0)
    assert (far.ws == far.ws[:, :1]).all() and not (known.ws == known.ws[:, :1]).all()
    drawn = np.asarray(Image.open(tmp_path / "a" / "wide.png"))
    assert drawn.shape == np.asarray(Image.open(tmp_path / "a" / "me.png")).shape
    said = call(*words, *options(folder, tmp_path / "b", "--space", "w+"))
    assert "what it renders may be no face" in said
    assert Projection.load(tmp_path / "b" / "wide.pt").config.space == "w+"  # what is asked for is done


def test_ctrl_c_keeps_what_was_found(folder, tmp_path, monkeypatch):
    from stylegan2.editing import cartoonize, optimise

    whole = cartoonize.project
    monkeypatch.setattr("stylegan2.editing.cartoonize.is_outside", lambda *_: torch.tensor([True, False]))
    monkeypatch.setattr(
        cartoonize, "project", lambda *a, **k: dataclasses.replace(whole(*a, **k), stopped=optimise.INTERRUPTED)
    )
    words = ["project", folder / "model.pt", folder / "wide.png", folder / "me.png", "--align", "no"]
    said = invoke(*words, *options(folder, tmp_path / "a"), code=130).output
    assert "wide: not begun: you stopped the command first" in said
    assert "me.pt (interrupted)" in said and "stopped early by Ctrl-C" in said and "the codes of 1 of 2 faces" in said
    assert not (tmp_path / "a" / "wide.pt").exists()


def test_ctrl_c_in_cartoonize_is_said(folder, models, tmp_path, monkeypatch):
    """The cartoons that there are by then are kept; it used to end as if nothing had happened."""
    from stylegan2.editing import cartoonize, optimise

    whole = cartoonize.project
    monkeypatch.setattr(
        cartoonize, "project", lambda *a, **k: dataclasses.replace(whole(*a, **k), stopped=optimise.INTERRUPTED)
    )
    words = ["cartoonize", folder / "me.png", "--models", models, "--out", tmp_path / "out", "--steps", 2]
    assert "stopped early by Ctrl-C" in call(*words, code=130)
    assert (tmp_path / "out" / "cartoons.png").is_file() and (tmp_path / "out" / "me_webtoon.png").is_file()


@pytest.mark.parametrize("verb", ["project", "cartoonize"])
def test_one_bad_photo_does_not_end_the_others(verb, folder, models, tmp_path):
    (tmp_path / "2.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(32))
    photos = [folder / "me.png", tmp_path / "2.heic", tmp_path / "none.png"]
    words = [verb, *([folder / "model.pt"] if verb == "project" else ["--models", models]), *photos]
    more = ["--judge", folder / "judge.pt"] if verb == "project" else ["--style", "webtoon"]
    words += ["--out", tmp_path / "out", "--steps", 1, *more]
    said = call(*words, code=1)
    assert "2.heic' cannot be read: a HEIC picture" in said and "2 left out: see above" in said
    assert list((tmp_path / "out").glob("me*.png"))


def test_a_model_of_ones_own_is_a_style(folder, models, tmp_path):
    """A file, or the folder of a run: its newest snapshot."""
    run = tmp_path / "runs" / "mine" / "snapshots"
    run.mkdir(parents=True)
    for to in (run / "000000016.pt", tmp_path / "other.pt"):
        to.write_bytes((models / "manga_freeze-sg.pt").read_bytes())
    style = f"webtoon,{run.parent},{tmp_path / 'other.pt'}"
    words = ["cartoonize", folder / "me.png", "--models", models, "--out", tmp_path / "out", "--steps", 0]
    assert "1 face in 3 styles" in call(*words, "--style", style)
    pixels = {p.stem: np.asarray(Image.open(p)) for p in (tmp_path / "out").glob("me_*.png")}
    assert set(pixels) == {"me_webtoon", "me_mine", "me_other"}
    assert (pixels["me_mine"] == pixels["me_other"]).all() and (pixels["me_mine"] != pixels["me_webtoon"]).any()
    checkpoints.save(tmp_path / "large.pt", g_ema=tiny_networks(32, 6, 1)[0])
    said = refusal(*words, "--style", tmp_path / "large.pt")
    assert "expected [..., 8, 8] for 'large'" in said
    other = tmp_path / "b" / "webtoon.pt"
    other.parent.mkdir()
    other.write_bytes((models / "manga_freeze-sg.pt").read_bytes())
    assert "1 face in 3 styles" in call(*words, "--style", f"webtoon,{other}", "--style", tmp_path / "other.pt")
    assert (tmp_path / "out" / "me_webtoon 2.png").exists()


def test_a_photo_without_a_face_does_not_stop_the_others(folder, models, tmp_path):
    Image.new("RGB", (90, 60), "white").save(tmp_path / "nobody.png")
    words = ["cartoonize", "--models", models, "--out", tmp_path / "out", "--steps", 0]
    said = invoke(*words, tmp_path / "nobody.png", folder / "me.png", code=1).output
    assert "left out: '" in said and "nobody.png': no face found" in said and "1 face in 2 styles" in said
    assert "no face found" in refusal(*words, tmp_path / "nobody.png")
    assert "none of the 2 photos can be used" in call(*words, tmp_path / "nobody.png", tmp_path / "nobody.png", code=2)


def test_codes_of_photos_take_the_place_of_seeds(folder, tmp_path):
    """`mix`, `apply-factor` and `edit` draw the projected face, which no truncation moves."""
    out, model = tmp_path / "projected", folder / "model.pt"
    call("project", model, folder / "me.png", *options(folder, out))
    g, ws = checkpoints.load(model).g_ema, Projection.load(out / "me.pt").ws
    words = ["mix", model, "--out", tmp_path / "mix.png", "--rows", out / "me.pt", "--columns", "3"]
    call(*words, "--scale", 1, "--layers", "0")
    expected = mix_grid(g, ws, ws_from_seeds(g, [3], 0.7), "0", ends=[g]).picture(["me"], [3])
    assert Image.open(tmp_path / "mix.png").tobytes() == expected.tobytes()
    call("factorize", model, "--out", tmp_path / "d.pt", "--count", 1)
    words = ["apply-factor", model, "--factor", tmp_path / "d.pt", "--steps", 3, "--scale", 1]
    call(*words, "--seeds", f"{out / 'me.pt'},5", "--out", tmp_path / "strip.png")
    strip = np.asarray(Image.open(tmp_path / "strip.png")).astype(int)
    other = tmp_path / "b" / "me.pt"
    other.parent.mkdir()
    other.write_bytes((out / "me.pt").read_bytes())
    call("generate", model, "--seeds", f"{out / 'me.pt'},{other},5", "--out", tmp_path / "faces")
    assert {p.name for p in (tmp_path / "faces").iterdir()} == {"me.png", "me 2.png", "seed00005.png"}
    middle = np.asarray(display.to_pil(g.synthesis(ws, "const")[0])).astype(int)
    assert np.abs(strip[22:38, -34:-18] - middle).max() <= 1  # the second of three columns: degree 0
    save_clip(tiny_clip(), tmp_path / "clip.pt")
    words = ["edit", model, "red hair", "--out", tmp_path / "red.png", "--clip", tmp_path / "clip.pt", "--steps", 2]
    call(*words, "--seeds", out / "me.pt", "--latents", tmp_path / "red.pt")
    assert torch.equal(TextEdit.load(tmp_path / "red.pt").start, ws)
    assert "there is no 'none.pt'" in refusal(*words, "--seeds", "none.pt")
    assert "holds no projection" in refusal(*words, "--seeds", tmp_path / "red.pt")


def test_no_photo_is_replaced(folder, models, tmp_path):
    for name in ("me.png", "tuned.png", "cartoons.png"):
        (tmp_path / name).write_bytes((folder / "me.png").read_bytes())
    before = (tmp_path / "me.png").read_bytes()
    said = refusal("project", folder / "model.pt", tmp_path / "me.png", *options(folder, tmp_path))
    assert "might be replaced" in said and (tmp_path / "me.png").read_bytes() == before
    words = ["cartoonize", tmp_path / "cartoons.png", "--models", models, "--out", tmp_path]
    assert "might be replaced" in refusal(*words)
    out = tmp_path / "out"
    call("project", folder / "model.pt", tmp_path / "tuned.png", *options(folder, out, "--tune", 2))
    assert Projection.load(out / "tuned 2.pt").ws.ndim == 3 and checkpoints.load(out / "tuned.pt").g_ema is not None
