"""Frames that are drawn when asked for: how many, which codes, what stays still, rounds without a jump; their files."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2 import display
from stylegan2.editing import latents, videos
from stylegan2.networks import build


def generator(seed: int, resolution: int = 16):
    """A tiny generator whose noise counts."""
    g = build(resolution, "pocket", seed)[0].eval().requires_grad_(False)
    for conv in g.synthesis.convs:
        conv.noise_strength.fill_(0.2)
    return g


@pytest.fixture(scope="module")
def g():
    return generator(0)


@pytest.fixture(scope="module")
def other():
    return generator(1)


def pixels(picture) -> np.ndarray:
    return np.asarray(picture).astype(int)


def steps(frames) -> list[float]:
    """Mean change of the pixels from frame to frame; the first is that from the last frame to the first."""
    arrays = [pixels(frame) for frame in frames]
    return [float(np.abs(arrays[i] - arrays[i - 1]).mean()) for i in range(len(arrays))]


# -------------------------------------------------------------------------------------------------------------- frames


def test_frames_are_the_codes_images_in_their_order(g):
    ws = latents.ws_from_seeds(g, range(5))
    frames = videos.Frames(g, ws, scale=1, batch=2)
    assert len(frames) == 5 and frames[0].size == (16, 16)
    for frame, image in zip(frames, latents.render(g, ws), strict=True):
        assert np.abs(pixels(frame) - pixels(display.to_pil(image))).max() <= 1


def test_a_frame_is_the_same_however_it_is_reached(g):
    frames = videos.Frames(g, latents.ws_from_seeds(g, range(5)), batch=2)
    in_order = [frame.tobytes() for frame in frames]
    assert [frames[i].tobytes() for i in (4, 0, 3, -1)] == [in_order[i] for i in (4, 0, 3, 4)]
    assert [frame.tobytes() for frame in frames[1:4]] == in_order[1:4]
    with pytest.raises(IndexError):
        frames[5]


def test_images_are_drawn_in_batches_and_only_when_asked_for(g, monkeypatch):
    drawn = []
    original = latents.render
    monkeypatch.setattr(latents, "render", lambda g, ws, *rest: drawn.append(len(ws)) or original(g, ws, *rest))
    frames = videos.Frames(g, latents.ws_from_seeds(g, range(7)), batch=3)
    assert drawn == []
    next(iter(frames))
    assert drawn == [3]
    list(frames)
    assert drawn == [3, 3, 1] or drawn == [3, 3, 3, 1]


@pytest.mark.parametrize("noise", ["const", "none", "drawn"])
def test_equal_codes_give_equal_pixels(g, noise):
    """Also in another batch: the noise is fixed."""
    noise = torch.Generator().manual_seed(3) if noise == "drawn" else noise
    frames = videos.Frames(g, latents.ws_from_seeds(g, [4, 5, 4, 4, 4]), noise=noise, batch=3)
    first, second, *others = [frame.tobytes() for frame in frames]
    assert first != second
    worst = max(np.abs(pixels(frames[0]) - pixels(frames[i])).max() for i in (2, 3, 4))
    assert worst == 0 and len(others) == 3


def test_the_noise_is_the_one_asked_for(g):
    ws = latents.ws_from_seeds(g, [4])
    drawn = [
        videos.Frames(g, ws, noise=noise)[0].tobytes()
        for noise in ("const", "none", torch.Generator().manual_seed(3), torch.Generator().manual_seed(4))
    ]
    assert len(set(drawn)) == 4


def test_generators_stand_side_by_side_with_their_names(g, other):
    ws = latents.ws_from_seeds(g, [4, 5])
    both = videos.Frames({"left": g, "right": other}, ws, scale=2)[1]
    height = 32 + display.label(display.grid(torch.zeros(1, 3, 16, 16), scale=2), "x").height - 32
    assert both.size == (2 * 32 + 4, height)
    for x, model in ((0, g), (36, other)):
        alone = videos.Frames(model, ws, scale=2)[1]
        assert both.crop((x, height - 32, x + 32, height)).tobytes() == alone.tobytes()


def test_several_faces_stand_in_a_row_and_generators_below_each_other(g, other):
    ws = latents.ws_from_seeds(g, [4, 5, 6])[None].expand(2, -1, -1, -1)
    frames = videos.Frames({"a": g, "b": other}, ws, captions=["one", "two"], scale=1)
    plain = videos.Frames({"a": g, "b": other}, ws, scale=1)
    assert frames[0].width == 3 * 16 + 2 * 2 and frames[0].height > plain[0].height > 2 * 16
    assert frames[0].tobytes() != frames[1].tobytes() and plain[0].tobytes() == plain[1].tobytes()


def test_impossible_frames_are_refused(g):
    ws = latents.ws_from_seeds(g, [1, 2])
    for arguments, message in (
        ((g, ws[:, :3]), r"codes are \[2, 1, 3, 128\], expected \[\.\.\., 6, 128\] for the generator"),
        ((g, ws[0]), r"codes are \[6, 128\], expected \[frames, L, w_dim\]"),
        (({"a": g, "b": generator(2, 32)}, ws), r"expected \[\.\.\., 8, 128\] for 'b'"),
        ((g, ws, ["one"]), "a caption for each of 2 frames, got 1"),
        ((g, ws, None, "random"), "noise is 'random'.*flicker"),
        ((g, ws[:0]), "at least one frame"),
    ):
        with pytest.raises(ValueError, match=message):
            videos.Frames(*arguments)
    with pytest.raises(ValueError, match="at least one frame"):
        videos.Lazy(print, [])


# --------------------------------------------------------------------------------------------------------------- paths


def test_an_interpolation_passes_its_faces_and_closes_without_a_jump(g):
    frames = videos.walk(g, latents.ws_from_seeds(g, [1, 5, 9], 0.8), 8)
    assert len(frames) == 24
    for at, seed in ((0, 1), (8, 5), (16, 9)):
        face = videos.Frames(g, latents.ws_from_seeds(g, [seed], 0.8))[0]
        assert np.abs(pixels(frames[at]) - pixels(face)).max() <= 1
    first, *others = steps(frames)
    assert 0 < first <= max(others)


def test_too_little_to_interpolate(g):
    with pytest.raises(ValueError, match="faces to go between: 1, expected at least two"):
        videos.walk(g, latents.ws_from_seeds(g, [3]))
    with pytest.raises(ValueError, match="0 frames"):
        videos.walk(g, latents.ws_from_seeds(g, [3, 4]), 0)


@pytest.mark.parametrize("frames", [2, 7, 24])
def test_there_and_back_rests_at_both_ends_and_never_jumps(frames):
    values = videos.there_and_back(-2, 3, frames)
    assert len(values) == frames and values[0] == -2 and min(values) == -2
    assert max(values) == pytest.approx(3, abs=5 * (frames % 2) / frames)
    jumps = [abs(values[i] - values[i - 1]) for i in range(frames)]
    assert max(jumps) <= 5 * math.pi / frames + 1e-9 and (frames == 2 or jumps[0] < max(jumps[1:]))
    assert values[1:] == pytest.approx(values[:0:-1])  # the way back is the way there
    with pytest.raises(ValueError, match="1 frames"):
        videos.there_and_back(0, 1, 1)


def test_a_sweep_draws_every_amount_with_its_caption(g):
    amounts = videos.there_and_back(0, 1.5, 12)
    frames = videos.sweep(g, lambda psi: latents.ws_from_seeds(g, [3], psi)[0], amounts, "psi {:.2f}")
    assert frames.captions[0] == "psi 0.00" and frames.captions[6] == "psi 1.50"
    assert torch.equal(frames.ws[0, 0], g.mapping.mean_ws)
    first, *others = steps(videos.sweep(g, lambda psi: latents.ws_from_seeds(g, [3], psi), amounts))
    assert 0 < first <= max(others)


# ----------------------------------------------------------------------------------------------- files, and notebooks


def frame(i: int, size=(17, 16)) -> Image.Image:
    return Image.new("RGB", size, (20 * i, 90, 200 - 20 * i))


FRAMES = videos.Lazy(frame, range(6))


def test_a_gif_holds_every_frame_and_starts_again(tmp_path):
    path = videos.save(FRAMES, tmp_path / "new" / "a.gif", fps=10)
    with Image.open(path) as film:
        assert (film.n_frames, film.size, film.info["loop"], film.info["duration"]) == (6, (17, 16), 0, 100)
        for i in range(6):
            film.seek(i)
            assert np.abs(np.asarray(film.convert("RGB"))[0, 0].astype(int) - frame(i).getpixel((0, 0))).max() <= 12
    assert videos.show(FRAMES, 10).data == path.read_bytes()


@pytest.mark.parametrize("source", [list, iter, lambda frames: frames])
def test_an_mp4_holds_every_frame_of_any_iterable(tmp_path, source):
    import imageio.v2 as imageio

    path = videos.save(source(FRAMES), tmp_path / "a.mp4", fps=12)
    with imageio.get_reader(path) as film:
        meta = film.get_meta_data()
        frames = list(film.iter_data())
    assert len(frames) == 6 and frames[0].shape == (16, 16, 3) and meta["fps"] == 12 and meta["codec"] == "h264"
    assert np.abs(frames[3].mean((0, 1)) - frame(3).getpixel((0, 0))).max() < 12


def test_progress_is_told_where_it_takes_long(tmp_path, capsys, monkeypatch):
    videos.save(FRAMES, tmp_path / "a.gif")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("stylegan2.bars.WAIT", 0)
    videos.save(FRAMES, tmp_path / "a.gif")
    assert "a.gif" in capsys.readouterr().err
    videos.save(FRAMES, tmp_path / "a.gif", progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_film_that_fails_leaves_the_old_one(tmp_path, ending):
    path = videos.save(FRAMES, tmp_path / f"a.{ending}")
    before = path.read_bytes()

    def broken():
        yield frame(1)
        raise RuntimeError("no paint")

    with pytest.raises(RuntimeError, match="no paint"):
        videos.save(broken(), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_what_cannot_be_a_film_is_refused(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    with pytest.raises(ValueError, match="at least one frame"):
        videos.save([], path)
    with pytest.raises(ValueError, match=r"frame 1 is \(8, 8\) pixels, frame 0 is \(17, 16\)"):
        videos.save([frame(0), frame(1, (8, 8))], path)
    with pytest.raises(ValueError, match="'a.png': expected a name that ends in .mp4 or .gif"):
        videos.save(FRAMES, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_holds_the_video_itself(tmp_path):
    shown = videos.show(FRAMES, 16, width=300)
    assert shown.data == videos.save(FRAMES, tmp_path / "a.gif", 16).read_bytes()
    assert shown.format == "gif" and shown.width == 300


def test_videos_too_large_for_a_notebook_are_refused(monkeypatch):
    monkeypatch.setattr(videos, "MOST_SHOWN", 100)
    with pytest.raises(ValueError, match="fewer or smaller frames"):
        videos.show(FRAMES)
