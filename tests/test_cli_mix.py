"""The verb `mix`."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import command
import pytest
from PIL import Image
from tiny_training import tiny_networks

from stylegan2 import checkpoints
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.style_mixing import mix_grid

call = partial(command.call, "mix")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> tuple[Path, Path, Path]:
    """Two generators of one size, and a smaller one."""
    folder = tmp_path_factory.mktemp("models")
    paths = tuple(folder / f"{name}.pt" for name in ("photo", "webtoon", "small"))
    for seed, (path, resolution) in enumerate(zip(paths, (32, 32, 16), strict=True)):
        checkpoints.save(path, g_ema=tiny_networks(resolution, 6, seed)[0])
    return paths


def expected(paths, rows, columns, layers, channels=None, truncation=0.7, scale=4) -> Image.Image:
    drawers = [checkpoints.load(path, g_ema_only=True).g_ema for path in paths]
    ws = [ws_from_seeds(drawers[0], seeds, truncation) for seeds in (rows, columns)]
    return mix_grid(drawers[-1], *ws, layers, channels, ends=drawers).picture(rows, columns, scale)


def test_the_verb_draws_the_grid(models, tmp_path):
    out = tmp_path / "new" / "mixed.png"
    said = call(
        models[0], "--out", out, "--rows", "0-1", "--columns", "10,13,14", "--layers", "2-3,5", "--channels", "0-3"
    )
    assert f"2 x 3 mixes in {out}" in said
    picture = expected(models[:1], [0, 1], [10, 13, 14], "2-3,5", range(4))
    assert Image.open(out).tobytes() == picture.tobytes()


def test_another_model_draws_codes_of_the_first(models, tmp_path):
    out = tmp_path / "mixed.png"
    call(models[0], "--out", out, "--with", models[1], "--rows", 3, "--columns", 4, "--truncation", 1, "--scale", 1)
    assert Image.open(out).tobytes() == expected(models[:2], [3], [4], "coarse", None, 1, 1).tobytes()


def test_the_verb_refuses(models, tmp_path):
    photo, _, small = models
    out = tmp_path / "out.png"
    for words, message in (
        ((photo, "--out", out, "--layers", "top"), "layers 'top': expected one of all, coarse"),
        ((photo, "--out", out, "--layers", "8"), "has no layers 8; expected 0 to 7"),
        ((photo, "--out", out, "--channels", "4-9"), "expected some of 0 to 7"),
        ((photo, "--out", out, "--channels", "x"), "channels 'x': expected"),
        ((photo, "--out", out, "--rows", "a-b"), "rows 'a-b': expected"),
        ((photo, "--out", out, "--columns", "1-"), "columns '1-': expected"),
        ((photo, "--out", tmp_path / "out.pt"), "--out must end in one of .png"),
        ((photo, "--out", out, "--with", small), r"codes are \[4, 8, 8\], expected \[\.\.\., 6, 8\]"),
        ((tmp_path / "none.pt", "--out", out), "there is no file"),
    ):
        assert re.search(message, command.refusal("mix", *words))
    assert not list(tmp_path.iterdir())
