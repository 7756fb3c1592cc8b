"""Bars: none for what is soon over, one with the time left for the rest, and nothing that stays behind."""

from tiny_training import tiny_networks
from torch import nn

from stylegan2 import bars, display
from stylegan2.editing import latents, videos
from stylegan2.editing.projection import ProjectConfig, project


def shown(capsys) -> str:
    return capsys.readouterr().err


def test_what_is_soon_over_shows_no_bar(capsys):
    assert list(bars.bar(range(5), "five")) == [0, 1, 2, 3, 4] and shown(capsys) == ""


def test_a_bar_tells_the_time_left_and_is_wiped_away(capsys, monkeypatch):
    monkeypatch.setattr(bars, "WAIT", 0)
    with bars.bar(what="steps", unit="step", total=4, mininterval=0) as steps:
        for _ in range(4):
            steps.update()
    text = shown(capsys)
    assert "steps" in text and "4/4" in text and "<" in text
    assert text.endswith("\r") and not text.rstrip("\r").rpartition("\r")[2].strip()  # blanks over the last one
    assert list(bars.bar(range(2), shown=False)) == [0, 1] and shown(capsys) == ""


class Looks(nn.Module):
    """Pixels, as a perceptual distance."""

    def of(self, images):
        return [images]

    def forward(self, images, target):
        return (images - target[0]).square().mean((1, 2, 3))


def test_long_work_in_notebooks_shows_one_by_itself(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(bars, "WAIT", 0)
    g, _ = tiny_networks(16, 6, 0)
    ws = latents.ws_from_seeds(g, range(3))
    images = latents.render(g, ws, batch=1)
    assert "render" in shown(capsys)
    project(g, images, Looks(), ProjectConfig(steps=2))
    assert "project" in shown(capsys)
    videos.save([display.to_pil(image) for image in images], tmp_path / "a.gif")
    assert "a.gif" in shown(capsys)
