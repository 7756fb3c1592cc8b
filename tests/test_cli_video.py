"""The verb `video` on tiny models."""

from functools import partial

import command
import pytest
from PIL import Image
from tiny_training import tiny_networks

from stylegan2 import checkpoints
from stylegan2.editing import latents, videos

call = partial(command.call, "video")


@pytest.fixture
def models(tmp_path):
    for i, name in enumerate(("a", "b")):
        checkpoints.save(tmp_path / f"{name}.pt", g_ema=tiny_networks(16, seed=i)[0])
    checkpoints.save(tmp_path / "small.pt", g_ema=tiny_networks(8)[0])
    return tmp_path


def test_one_model_to_a_gif(models):
    out = models / "new" / "faces.gif"
    said = call(
        models / "a.pt", "--out", out, "--seeds", "1,5,9", "--frames", 3, "--fps", 10, "--truncation", 0.9, "--scale", 2
    )
    assert f"9 frames, 0.9 s, in {out}" in said
    g = checkpoints.load(models / "a.pt", g_ema_only=True).g_ema
    with Image.open(out) as film:
        assert (film.n_frames, film.size) == (
            9,
            videos.walk(g, latents.ws_from_seeds(g, [1, 5, 9], 0.9), 3, scale=2)[0].size,
        )


def test_several_models_side_by_side_to_an_mp4(models):
    import imageio.v2 as imageio

    out = models / "pair.mp4"
    words = [models / "a.pt", "--with", models / "b.pt", "--with", models / "a.pt", "--out", out]
    assert "4 frames" in call(*words, "--seeds", "1-2", "--frames", 2)
    with imageio.get_reader(out) as film:
        width, height = film.get_meta_data()["size"]
    assert width == 3 * 256 + 2 * 4 and height == 256 + 22


def test_names_of_models_stay_apart():
    from pathlib import Path

    from stylegan2.cli.common import captions_of

    assert list(captions_of([Path("x/a.pt"), Path("y/a.pt"), Path("runs/a"), Path("b.pt")])) == ["a", "a 2", "a 3", "b"]


def test_the_verb_refuses(models):
    a, small, out = models / "a.pt", models / "small.pt", models / "out.gif"
    before = sorted(path.name for path in models.iterdir())
    for words, message in (
        ((a, "--out", models / "b.png"), "--out must end in one of .gif, .mp4"),
        ((a, "--out", out, "--seeds", 3), "expected at least two"),
        ((a, "--out", out, "--seeds", "x"), "seeds 'x': expected"),
        ((a, "--out", out, "--frames", 0), "0 frames from face to face"),
        ((a, "--with", small, "--out", out), "expected [..., 4, 8] for 'small'"),
        ((models / "none.pt", "--out", out), "there is no file"),
    ):
        assert message in command.refusal("video", *words)
    assert sorted(path.name for path in models.iterdir()) == before
