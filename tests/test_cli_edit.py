"""The verb `edit`."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path

import command
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import keep_words, save_clip, tiny_clip
from tiny_training import tiny_networks

from stylegan2 import checkpoints, cli, display
from stylegan2.editing import styleclip
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.editing.styleclip import EditConfig, TextEdit, optimise
from stylegan2.networks import Generator
from stylegan2.panels.text import config_of
from stylegan2.pocket import world
from stylegan2.published.clip_model import ClipModel

SIDE = 128  # of a face in the picture: 32 pixels, enlarged four times


def call(*words, code: int = 0) -> str:
    """What `edit` says; its exit code must be `code`."""
    text = command.call("edit", *words, code=code)
    if code:
        *notes, error = text.splitlines()
        assert error.startswith("error: ") and all(n.startswith(("note: ", "settings ")) for n in notes), text
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """photo.pt and webtoon.pt (32 px), small.pt (16 px), clip.pt."""
    folder = tmp_path_factory.mktemp("models")
    for name, seed, resolution in (("photo", 1, 32), ("webtoon", 2, 32), ("small", 3, 16)):
        checkpoints.save(folder / f"{name}.pt", g_ema=tiny_networks(resolution, 6, seed)[0])
    save_clip(tiny_clip(), folder / "clip.pt")
    return folder


@pytest.fixture
def never(monkeypatch):
    """An optimisation that fails the test."""

    monkeypatch.setattr(styleclip, "optimise", lambda *_, **__: pytest.fail("optimised again"))


def model(folder: Path, name: str):
    return checkpoints.load(folder / f"{name}.pt").g_ema


def quick(folder: Path, *more) -> list:
    """Options of a short edit of two faces."""
    return ["--clip", folder / "clip.pt", "--steps", 3, "--seeds", "3,5", "--truncation", 0.8, *more]


def faces_of(path: Path, rows: int, columns: int) -> np.ndarray:
    """The faces of a picture without labels, [rows, columns, 128, 128, 3]."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert pixels.shape[0] == rows * (SIDE + 2) - 2
    pixels = pixels[:, pixels.shape[1] - columns * (SIDE + 2) + 2 :]
    at = [(r * (SIDE + 2), c * (SIDE + 2)) for r in range(rows) for c in range(columns)]
    faces = np.stack([pixels[y : y + SIDE, x : x + SIDE] for y, x in at])
    return faces.reshape(rows, columns, SIDE, SIDE, 3)


def drawn(g, codes: torch.Tensor) -> np.ndarray:
    """Codes' faces as they look in a picture, [N, 128, 128, 3]."""
    return np.stack([np.asarray(display.to_pil(image, 4)).astype(int) for image in render(g, codes)])


# ------------------------------------------------------------------------------------------------------------- pictures
def test_a_row_of_faces_for_every_strength(folder, tmp_path):
    out = tmp_path / "new" / "red.png"
    said = call(folder / "photo.pt", "red hair", "--out", out, *quick(folder, "--strengths=-1,0,1.5"))
    assert re.search(r"'red hair' on 2 faces, 3 steps \(all of them\): .*red.png", said)
    g, clip = model(folder, "photo"), ClipModel.load(folder / "clip.pt")
    ws = ws_from_seeds(g, [3, 5], 0.8)
    edit = optimise(g, clip, ws, EditConfig("red hair", steps=3))
    faces = faces_of(out, 3, 2)
    for row, codes in zip(faces, (edit.at(-1), ws, edit.at(1.5)), strict=True):
        assert np.abs(row - drawn(g, codes)).max() <= 1
    assert np.abs(faces[1] - faces[2]).max() > 5


def test_the_verb_and_the_panel_have_the_defaults_of_the_method():
    defaults = {field.name: field.default for field in dataclasses.fields(EditConfig)}
    verb = inspect.signature(cli.editing.edit).parameters
    for name in ("steps", "lr", "l2", "keep", "layers"):
        assert verb[name].default == defaults[name], name
    assert config_of("red hair") == EditConfig("red hair")


def test_options_reach_the_edit(folder, tmp_path):
    options = ["--neutral", "brown hair", "--layers", "2-3", "--lr", 0.05, "--l2", 0.1, "--latents", tmp_path / "e.pt"]
    call(folder / "photo.pt", "red hair", "--out", tmp_path / "red.jpg", *quick(folder, *options))
    edit = TextEdit.load(tmp_path / "e.pt")
    assert edit.config == EditConfig("red hair", "brown hair", steps=3, lr=0.05, l2=0.1, layers="2-3")
    assert torch.equal(edit.start, ws_from_seeds(model(folder, "photo"), [3, 5], 0.8))
    moved = (edit.end != edit.start).any(2).any(0)
    assert moved.nonzero()[:, 0].tolist() == [2, 3]


def test_a_way_learned_on_some_faces_moves_others(folder, tmp_path):
    latents, words = tmp_path / "way.pt", (folder / "photo.pt", "red hair")
    options = ["--learn", "20-22", "--keep", 0.5, "--latents", latents, "--strengths", "0,2"]
    call(*words, "--out", tmp_path / "a.png", *quick(folder, *options))
    edit, g = TextEdit.load(latents), model(folder, "photo")
    assert edit.config == EditConfig("red hair", steps=3, keep=0.5, together=True)
    assert torch.equal(edit.start, ws_from_seeds(g, [20, 21, 22], 0.8))
    ws, way = ws_from_seeds(g, [3, 5], 0.8), (edit.end - edit.start)[:1]
    for row, codes in zip(faces_of(tmp_path / "a.png", 2, 2), (ws, ws + 2 * way), strict=True):
        assert np.abs(row - drawn(g, codes)).max() <= 1
    said = call(*words, "--out", tmp_path / "b.png", *quick(folder, *options, "--seeds", "40-46"))
    assert "nothing is optimised" in said and "on 7 faces" in said
    assert "together" in call(*words, "--out", tmp_path / "c.png", *quick(folder, "--latents", latents), code=2)


def test_other_models_draw_the_same_codes(folder, tmp_path):
    out, latents = tmp_path / "red.png", tmp_path / "red.pt"
    call(
        folder / "photo.pt", "red hair", "--out", out,
        *quick(folder, "--with", folder / "webtoon.pt", "--strengths", "0,2", "--latents", latents),
    )  # fmt: skip
    edit, faces = TextEdit.load(latents), faces_of(out, 4, 2)
    for i, name in enumerate(("photo", "webtoon")):
        for k, strength in enumerate((0, 2)):
            assert np.abs(faces[2 * i + k] - drawn(model(folder, name), edit.at(strength))).max() <= 1


def test_kept_codes_need_no_optimisation(folder, tmp_path, request):
    latents = tmp_path / "kept" / "red.pt"
    words = (folder / "photo.pt", "red hair")
    call(*words, "--out", tmp_path / "a.png", *quick(folder, "--latents", latents, "--strengths", "1"))
    before = latents.read_bytes()
    request.getfixturevalue("never")
    again = quick(folder, "--latents", latents, "--strengths=-2,3")
    said = call(*words, "--out", tmp_path / "b.png", *again)
    assert "nothing is optimised" in said and "3 steps (all of them)" in said
    edit, g = TextEdit.load(latents), model(folder, "photo")
    for row, strength in zip(faces_of(tmp_path / "b.png", 2, 2), (-2, 3), strict=True):
        assert np.abs(row - drawn(g, edit.at(strength))).max() <= 1
    assert latents.read_bytes() == before
    for *other, name in (
        ("glasses", "text"), ("red hair", "--neutral", "hair", "neutral"), ("red hair", "--seeds", "8,9", "seeds"),
        ("red hair", "--truncation", "0.3", "truncation"), ("red hair", "--layers", "2-3", "layers"),
    ):  # fmt: skip
        said = call(
            words[0], other[0], "--out", tmp_path / "c.png", *quick(folder, "--latents", latents, *other[1:]), code=2
        )
        assert re.search(f"red.pt' holds an edit with {name} .* name another file", said), said
    assert not (tmp_path / "c.png").exists()


def test_the_loss_is_plotted(folder, tmp_path):
    plot = tmp_path / "plots" / "loss.png"
    call(folder / "photo.pt", "red hair", "--out", tmp_path / "red.png", *quick(folder, "--plot", plot))
    picture = np.asarray(Image.open(plot).convert("RGB"))
    assert picture.shape[1] > 2 * picture.shape[0] and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_a_film_goes_from_the_least_strength_to_the_greatest_and_back(folder, tmp_path, ending):
    out = tmp_path / f"red.{ending}"
    call(folder / "photo.pt", "red hair", "--out", out, *quick(folder, "--strengths=0,-1,2"))
    assert out.stat().st_size > 500
    if ending == "gif":
        film = Image.open(out)
        assert film.n_frames == 72
        frames = []
        for i in (0, 18, 36, 54):
            film.seek(i)
            frames.append(np.asarray(film.convert("RGB")).astype(int))
        assert np.array_equal(frames[1][22:], frames[3][22:])
        assert not np.array_equal(frames[0][22:], frames[2][22:])


# --------------------------------------------------------------------------------------------------------------- words
def test_unknown_words_are_told(folder, tmp_path):
    clip = tiny_clip()
    with torch.no_grad():
        clip.model.token_embedding.weight[1000:40_000] = 0  # rare words and names
    path = save_clip(clip, tmp_path / "clip.pt")
    unknown = clip.unknown_words("xylophone")
    assert unknown == ["xylophone"]
    said = call(folder / "photo.pt", "an old xylophone", "--out", tmp_path / "x.png", *quick(folder), "--clip", path)
    assert len(re.findall("note: .*clip.pt never saw the words.* xylophone", said)) == 1


def test_a_text_of_unknown_words_is_refused_before_anything_is_optimised(folder, tmp_path, monkeypatch):
    clip = tiny_clip()
    keep_words(clip, "red hair with a big smile")
    path = save_clip(clip, tmp_path / "clip.pt")
    monkeypatch.setattr(styleclip.Optimisation, "step", lambda run: pytest.fail("it was optimised"))
    for text, neutral, near in (
        ("검은 머리", None, "it knows for example red hair, a big smile"),
        ("a haire", None, "near are hair"),
        ("red hair", "xylophones", "'xylophones' says nothing"),
        ("!?", None, "'!?' says nothing"),
    ):
        more = ["--neutral", neutral] if neutral else []
        said = call(
            folder / "photo.pt", text, "--out", tmp_path / "x.png", *quick(folder), "--clip", path, *more, code=2
        )
        assert near in said and "describe" in said and not (tmp_path / "x.png").exists()
    assert "big, hair, red, smile" in command.call("describe", path)


def test_the_clip_is_chosen_by_the_models_size(folder, tmp_path, monkeypatch):
    asked = []

    def stop(name, device="cpu"):
        asked.append(str(name))
        raise ValueError("that is all")

    monkeypatch.setattr(ClipModel, "load", staticmethod(stop))
    for resolution in (world.SIZE, 2 * world.SIZE):
        path = tmp_path / f"{resolution}.pt"
        checkpoints.save(path, g_ema=Generator(resolution, 8, 8, 1, {4 * 2**i: 4 for i in range(7)}))
        call(path, "red hair", "--out", tmp_path / "out.png", code=2)
    assert asked == ["checkpoints/pocket/clip.pt", "ViT-B/32"]


def test_of_a_text_that_failed_the_study_not_much_is_promised(capsys):
    study = json.loads((cli.common.COURSE / "checkpoints" / "pocket" / "text_edits.json").read_text())
    for row in study:
        cli.editing._by_the_study(row["text"])
        note = f"do not expect much: in the study '{row['text']}' appeared in {row['crossed']:.0%} of the faces"
        assert (note in capsys.readouterr().err) != row["passed"]


def test_ctrl_c_draws_what_there_is(folder, tmp_path, monkeypatch):
    step, count = styleclip.Optimisation.step, []

    def interrupted(run):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return step(run)

    monkeypatch.setattr(styleclip.Optimisation, "step", interrupted)
    said = call(folder / "photo.pt", "red hair", "--out", tmp_path / "red.png", *quick(folder), "--steps", 40)
    assert "2 steps (stopped early)" in said and (tmp_path / "red.png").is_file()


def test_impossible_wishes_are_refused_before_anything_is_optimised(folder, tmp_path, never):
    photo, out, film = folder / "photo.pt", tmp_path / "out.png", tmp_path / "out.gif"
    for words, message in (
        ((photo, "red hair", tmp_path / "out.txt"), "--out must end in one of .png"),
        ((photo, "red hair", tmp_path / "out"), "--out must end in one of .png"),
        ((photo, " ", out), "the text is empty"),
        ((photo, "red hair", out, "--neutral", "red hair"), "no direction between them"),
        ((photo, "red hair", out, "--strengths", "1,x"), "strengths '1,x': expected numbers such as -1,0,1,1.5"),
        ((photo, "red hair", out, "--strengths", ""), "strengths '': expected numbers"),
        ((photo, "red hair", out, "--strengths", "1,nan"), "strengths '1,nan': expected numbers"),
        ((photo, "red hair", film, "--strengths", "1"), "a film needs at least two"),
        ((photo, "red hair", film, "--strengths", "1,1"), "a film needs at least two"),
        ((photo, "red hair", out, "--seeds", "x"), "seeds 'x': expected"),
        ((photo, "red hair", out, "--steps", 0), "steps is 0"),
        ((photo, "red hair", out, "--lr", 0), "lr 0"),
        ((photo, "red hair", out, "--l2", -1), "l2 -1"),
        ((photo, "red hair", out, "--plot", tmp_path / "plot.pt"), "--plot must end in one of .png"),
        ((photo, "red hair", out, "--clip", tmp_path / "none.pt"), "no CLIP '.*none.pt': expected a file"),
        ((photo, "red hair", out, "--clip", photo), "is no CLIP of OpenAI's architecture"),
        ((photo, "red hair", out, "--latents", photo), "is no text edit"),
        (
            (photo, "red hair", out, "--with", folder / "small.pt"),
            r"codes are \[8, 8\], expected \[\.\.\., 6, 8\] for 'small'",
        ),
        ((tmp_path / "none.pt", "red hair", out), "there is no file"),
    ):
        said = call(*words[:2], "--out", words[2], *quick(folder), *words[3:], code=2)
        assert re.search(message, said), said
    assert not list(tmp_path.iterdir())


def test_without_the_pocket_clip_the_error_says_how_to_get_it(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.common, "COURSE", tmp_path)  # where the shipped files lie
    said = call(folder / "photo.pt", "red hair", "--out", "out.png", code=2)
    assert re.search("no CLIP 'checkpoints/pocket/clip.pt': expected a file .`make pocket` makes one.", said)


@pytest.mark.parametrize(
    "layers, message",
    (("8", "has no layers 8; expected 0 to 7"), ("rough", "expected one of all, coarse, middle, fine")),
)
def test_layers_that_there_are_not_are_refused(folder, tmp_path, layers, message):
    said = call(
        folder / "photo.pt", "red hair", "--out", tmp_path / "out.png", *quick(folder, "--layers", layers), code=2
    )
    assert message in said and not list(tmp_path.iterdir())
