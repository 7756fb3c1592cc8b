"""Frames to files and into notebooks."""

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2 import display
from stylegan2.editing import videos


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
    with pytest.raises(ValueError, match="fps is 0"):
        videos.save(FRAMES, path, fps=0)
    with pytest.raises(ValueError, match="'a.png': expected a name that ends in .mp4 or .gif"):
        videos.save(FRAMES, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_holds_the_video_itself(tmp_path):
    gif, mp4 = (videos.save(FRAMES, tmp_path / f"a.{ending}", 16) for ending in ("gif", "mp4"))
    for shown in (videos.show(gif), videos.show(FRAMES)):
        assert shown.data == gif.read_bytes() and shown.format == "gif"
    for shown in (videos.show(mp4), videos.show(FRAMES, kind="mp4", width=300)):
        html = shown._repr_html_()
        assert "data:video/mp4;base64," in html and "loop" in html and str(tmp_path) not in html
    assert 'width="300"' in html


def test_videos_too_large_for_a_notebook_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "MOST_SHOWN", 100)
    with pytest.raises(ValueError, match="fewer or smaller frames"):
        videos.show(FRAMES)
    for wrong in (lambda: videos.show(FRAMES, kind="webm"), lambda: videos.show(__file__)):
        with pytest.raises(ValueError, match="a video is one of .mp4, .gif, got"):
            wrong()


def test_sized_is_a_square_of_any_size():
    image = torch.linspace(-1, 1, 3 * 16 * 16).reshape(3, 16, 16)
    assert display.sized(image, 37).size == (37, 37)
    assert display.sized(image, 64).tobytes() == display.to_pil(image, 4).tobytes()


def test_pictures_beside_each_other():
    row = display.beside([frame(1), frame(5, (3, 4))], gap=2)
    assert row.size == (22, 16) and row.getpixel((19, 0)) == (100, 90, 100) and row.getpixel((19, 10)) == display.PAPER
