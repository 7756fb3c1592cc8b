"""The verbs `factorize` and `apply-factor`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from command import call, invoke, refusal
from PIL import Image
from tiny_training import tiny_networks

from stylegan2 import checkpoints, display
from stylegan2.checkpoints import rosinality
from stylegan2.editing import latents
from stylegan2.editing.directions import Directions, move
from stylegan2.editing.ganspace import principal_directions
from stylegan2.editing.sefa import factorize

JUDGE = Path(__file__).parents[1] / "checkpoints" / "pocket" / "judge.pt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """photo.pt, webtoon.pt (32 px, 8 codes of 8) and small.pt (16 px)."""
    folder = tmp_path_factory.mktemp("models")
    for name, seed, resolution in (("photo", 1, 32), ("webtoon", 2, 32), ("small", 3, 16)):
        checkpoints.save(folder / f"{name}.pt", g_ema=tiny_networks(resolution, 6, seed)[0])
    return folder


@pytest.fixture(scope="module")
def factor(folder) -> Path:
    path = folder / "factor.pt"
    call("factorize", folder / "photo.pt", "--out", path, "--layers", "coarse", "--count", 4)
    return path


def model(folder: Path, name: str):
    return checkpoints.load(folder / f"{name}.pt").g_ema


def test_factorize_writes_directions_and_prints_their_values(folder, tmp_path):
    out = tmp_path / "d.pt"
    text = call("factorize", folder / "photo.pt", "--out", out, "--layers", "2-5", "--count", 3, "--no-normalise")
    found, expected = Directions.load(out), factorize(model(folder, "photo"), "2-5", normalise=False, count=3)
    assert torch.equal(found.vectors, expected.vectors) and found.layers == (2, 3, 4, 5)
    assert found.made_from["sha256"] == checkpoints.sha256(folder / "photo.pt")
    assert found.made_from["checkpoint"] == "photo.pt" and found.made_from["normalise"] is False
    values = [float(line.split()[1]) for line in text.splitlines()[1:4]]
    assert values == pytest.approx(expected.values.tolist(), rel=1e-3)
    assert "eigenvalue" in text and "3 directions of sefa, layers 2, 3, 4, 5" in text


def test_factorize_by_samples_and_all_there_are(folder, tmp_path):
    out = tmp_path / "d.pt"
    text = call("factorize", folder / "photo.pt", "--out", out, "--algorithm", "ganspace", "--count", 0)
    expected = principal_directions(model(folder, "photo"))
    assert torch.equal(Directions.load(out).vectors, expected.vectors) and len(expected) == 8
    assert "sd of w" in text


def test_factorize_tells_what_the_judge_says(folder, tmp_path):
    text = call("factorize", folder / "small.pt", "--out", tmp_path / "d.pt", "--count", 2, "--judge", JUDGE)
    assert "a positive degree, says the judge" in text
    assert all(re.search(r" sd|little", line) for line in text.splitlines()[1:3])


def rows_of(path: Path, count: int, side: int = 32) -> list[torch.Tensor]:
    """A strip's rows of `count` faces without labels and degrees, float [3, side, W]."""
    picture = Image.open(path).convert("RGB")
    width = count * (side + 2) - 2
    pixels = torch.tensor(np.array(picture)[22:, -width:]).permute(2, 0, 1).float()
    return [pixels[:, top : top + side] for top in range(0, pixels.shape[1], side + 2)]


def test_apply_factor_draws_every_degree_through_every_model(folder, factor, tmp_path):
    out = tmp_path / "strip.png"
    paths = [folder / "photo.pt", folder / "webtoon.pt"]
    options = ["--index", 2, "--degree", 3, "--steps", 3, "--seeds", "3,5", "--truncation", 0.8]
    assert "direction 2 from -3 to 3, faces: 2" in call(
        "apply-factor", paths[0], "--with", paths[1], "--factor", factor, "--out", out, *options
    )
    photo, webtoon = model(folder, "photo"), model(folder, "webtoon")
    rows = iter(rows_of(out, 3, 128))
    for seed in (3, 5):
        ws = latents.ws_from_seeds(photo, [seed], 0.8)
        codes = torch.cat([move(ws, Directions.load(factor), {2: degree}) for degree in (-3.0, 0.0, 3.0)])
        for g in (photo, webtoon):
            row = next(rows)
            for i, image in enumerate(display.to_uint8(g.synthesis(codes, "const")).float()):
                large = torch.from_numpy(np.array(display.to_pil(image.byte(), 4))).permute(2, 0, 1).float()
                assert (row[..., 130 * i : 130 * i + 128] - large).abs().max() <= 1
    assert next(rows, None) is None


def test_apply_factor_by_name_and_on_other_layers(folder, factor, tmp_path):
    named = Directions.load(factor)
    named.rename(1, "pose")
    path = named.save(tmp_path / "named.pt")
    a, b, c = (tmp_path / f"{name}.png" for name in "abc")
    photo = folder / "photo.pt"
    for out, words in ((a, ["--name", "pose"]), (b, ["--index", 1]), (c, ["--index", 1, "--layers", "4-5"])):
        call("apply-factor", photo, "--factor", path, "--out", out, "--seeds", 1, *words)
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()


def test_apply_factor_notes_that_directions_are_another_models(folder, factor, tmp_path):
    photo, webtoon = folder / "photo.pt", folder / "webtoon.pt"
    for paths, note in (
        ([photo, webtoon], ""),
        ([webtoon, photo], "note: these directions were found in another model (photo.pt) than webtoon\n"),
    ):
        options = ["--factor", factor, "--out", tmp_path / "a.png", "--seeds", 1, "--steps", 2]
        assert invoke("apply-factor", paths[0], "--with", paths[1], *options).stderr == note


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_apply_factor_films_there_and_back(folder, factor, tmp_path, ending):
    out = tmp_path / f"film.{ending}"
    paths = [folder / "photo.pt", folder / "webtoon.pt"]
    call(
        "apply-factor",
        paths[0],
        "--with",
        paths[1],
        "--factor",
        factor,
        "--out",
        out,
        "--seeds",
        1,
        "--frames",
        8,
        "--scale",
        2,
    )
    assert out.stat().st_size > 500
    if ending == "gif":
        film = Image.open(out)
        assert film.n_frames == 8 and film.width == 2 * 64 + 4
        frames = []
        for i in range(8):
            film.seek(i)
            frames.append(np.asarray(film.convert("RGB")).astype(int))
        assert np.array_equal(frames[1], frames[7]) and not np.array_equal(frames[0], frames[4])


def test_impossible_wishes_are_refused(folder, factor, tmp_path):
    photo, out = folder / "photo.pt", tmp_path / "out.png"
    apply = ("apply-factor", photo, "--factor", factor)
    for words, message in (
        (("factorize", photo, "--out", out), "--out must end in one of .pt"),
        (("factorize", photo, "--out", tmp_path / "d.pt", "--layers", "9"), "has no layers 9; expected 0 to 7"),
        (
            ("factorize", photo, "--out", tmp_path / "d.pt", "--layers", "rough"),
            "expected one of all, coarse, middle, fine",
        ),
        (("factorize", photo, "--out", tmp_path / "d.pt", "--count", 99), "count is 99, expected 1 to 8"),
        ((*apply, "--out", tmp_path / "a.txt"), "--out must end in one of .png"),
        ((*apply, "--out", out, "--index", 4), "no direction 4: expected 0 to 3"),
        ((*apply, "--out", out, "--name", "pose"), "no direction is called 'pose'; there are: direction 0"),
        ((*apply, "--out", out, "--degree", 0), "a degree above 0"),
        ((*apply, "--out", out, "--seeds", "x"), "seeds 'x': expected"),
        (("apply-factor", photo, "--factor", photo, "--out", out), "holds no directions"),
        (
            ("apply-factor", photo, "--with", folder / "small.pt", "--factor", factor, "--out", out),
            r"expected \[\.\.\., 6, 8\] for 'small'",
        ),
    ):
        assert re.search(message, refusal(*words))
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------------- the original's own files


def original_factor(model: Path, out: Path) -> torch.Tensor:
    """What closed_form_factorization.py wrote: right singular vectors of the styles' weights, a column each."""
    state = rosinality.from_generator(checkpoints.load(model).g_ema)
    weights = [v for k, v in state.items() if k.endswith("modulation.weight") and "to_rgbs" not in k]
    vectors = torch.linalg.svd(torch.cat(weights).double()).Vh.T.float()
    torch.save({"ckpt": "checkpoint/photo.pt", "eigvec": vectors}, out)
    return vectors


def test_a_factor_file_of_the_original_is_read(folder, tmp_path):
    vectors = original_factor(folder / "photo.pt", tmp_path / "factor.pt")
    found = Directions.load(tmp_path / "factor.pt")
    assert torch.equal(found.vectors, vectors.T) and found.layers is None and len(found) == 8
    assert found.made_from["checkpoint"] == "photo.pt" and not found.made_from["normalise"]
    ws = torch.randn(2, 8, 8)
    assert torch.equal(move(ws, found, {3: 2.0}), ws + 2 * vectors[:, 3])  # all codes, as there
    call("factorize", folder / "photo.pt", "--out", tmp_path / "ours.pt", "--no-normalise", "--to-rgb", 4, "--count", 0)
    cosines = (Directions.load(tmp_path / "ours.pt").vectors * found.vectors).sum(1).abs()
    assert cosines.min() > 1 - 1e-4
    words = ["apply-factor", folder / "photo.pt", "--factor", tmp_path / "factor.pt", "--index", 2, "--seeds", 1]
    assert "direction 2 from -3 to 3" in call(*words, "--out", tmp_path / "strip.png")
    found.save(tmp_path / "again.pt")
    again = Directions.load(tmp_path / "again.pt")
    assert again.layers is None and torch.equal(again.vectors, found.vectors)


def test_damaged_eigenvectors_and_colours_that_nobody_looks_at_are_refused(folder, tmp_path):
    torch.save({"ckpt": "a.pt", "eigvec": torch.zeros(8, 8)}, tmp_path / "factor.pt")
    words = ["apply-factor", folder / "photo.pt", "--factor", tmp_path / "factor.pt", "--out", tmp_path / "a.png"]
    assert "damaged directions (vectors must have length 1" in refusal(*words)
    words = ["factorize", folder / "photo.pt", "--out", tmp_path / "a.pt", "--to-rgb", 4]
    assert "--algorithm ganspace looks at none" in refusal(*words, "--algorithm", "ganspace")
    said = refusal(*words[:-1], 5)
    assert "to_rgb [5]" not in said and "expected some of the resolutions" in said
