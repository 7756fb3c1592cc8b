"""Codes for photos of this world and of others, and the sheet of cartoons."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import tiny_networks

from stylegan2 import checkpoints
from stylegan2.editing import cartoonize as module
from stylegan2.editing.cartoonize import CAREFUL, CLOSE, find_codes, is_outside
from stylegan2.editing.encoder import load_encoder
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.perceptual import LpipsDistance
from stylegan2.editing.photos import Cutting, portraits
from stylegan2.editing.projection import Projection
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.nets.perceptual import JudgeDistance, frame_for

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "pocket"


@pytest.fixture(scope="module")
def source():
    return tiny_networks(16, 6, 1)[0].eval().requires_grad_(False)


def encoder(source):
    """Answers with the codes of seeds 5, 6, ..."""
    return lambda photos: ws_from_seeds(source, range(5, 5 + len(photos)), 0.5)


def test_the_shipped_models_tell_photographs_from_rendered_faces():
    g = checkpoints.load(SHIPPED / "photo.pt").g_ema
    e, looks = load_encoder(SHIPPED / "encoder.pt").encoder, JudgeDistance(Judge.load(SHIPPED / "judge.pt"))
    rendered = world.render(world.sample("photo", 24, seed=77), "photo").float().div(127.5).sub(1)
    assert not is_outside(g, rendered, looks, e).any()
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the photo")
    (real,) = portraits(Image.fromarray(data.astronaut()), g.resolution, Cutting(frame=frame_for(g.resolution)))
    assert is_outside(g, real.tensor[None], looks, e).all()


def test_without_an_encoder_nobody_knows(source):
    assert not is_outside(source, torch.ones(2, 3, 16, 16), None, None).any()
    assert LpipsDistance.far == math.inf and JudgeDistance.far > 0


def test_known_photos_are_searched_near_the_encoder_and_others_near_the_mean(source, monkeypatch):
    photos, begun = torch.zeros(2, 3, 16, 16), []

    def project(g, photos, distance, config, start):
        begun.append((config, start))
        return Projection(config, torch.zeros(len(photos), g.num_ws, g.w_dim))

    monkeypatch.setattr(module, "project", project)
    for outside, e in ((False, encoder(source)), (True, encoder(source)), (False, None)):
        module.search(source, photos, None, e, torch.tensor([outside] * 2), 7)
    (near, start), (careful, mean), (free, none) = begun
    assert (near.steps, near.space, near.l2) == (7, "w+", CLOSE.l2) and start.shape[0] == 2
    assert (careful.steps, careful.space, careful.l2) == (7, "w", CAREFUL.l2) and mean is None
    assert (free.space, free.l2, none) == ("w+", 0.0, None)


def test_each_photo_is_treated_by_itself(source, monkeypatch):
    monkeypatch.setattr(module, "is_outside", lambda *a: torch.tensor([True, False, True]))
    photos = torch.linspace(-1, 1, 3)[:, None, None, None].expand(3, 3, 16, 16)
    looks = JudgeDistance(Judge())
    ws, outside, stopped = find_codes(source, photos, looks, encoder(source), 4)
    assert outside.tolist() == [True, False, True] and not stopped and ws.shape == (3, source.num_ws, source.w_dim)
    spread = (ws - ws[:, :1]).abs().amax((1, 2))
    assert spread[0] == spread[2] == 0 < spread[1]  # one code for all layers, or ten
    alone = find_codes(source, photos[2:], looks, encoder(source), 4, torch.tensor([True]))[0]
    torch.testing.assert_close(alone, ws[2:], rtol=0, atol=1e-4)
    assert not torch.allclose(
        find_codes(source, photos[2:], looks, encoder(source), 4, torch.tensor([False]))[0], alone
    )


def test_an_interruption_ends_the_whole_search(source, monkeypatch):
    seen = []

    def interrupted(g, images, looks, config, start):
        seen.append(len(images))
        return Projection(config, start + 1, stopped="interrupted")

    monkeypatch.setattr(module, "project", interrupted)
    photos = torch.arange(3.0)[:, None, None, None].expand(3, 3, 16, 16)

    def e(photos):
        return photos[:, 0, :1, :1].expand(-1, source.num_ws, source.w_dim)

    ws, _, stopped = find_codes(source, photos, None, e, 4, torch.tensor([True, False, True]))
    assert seen == [1] and stopped
    torch.testing.assert_close(ws - e(photos), torch.tensor([0.0, 1.0, 0.0])[:, None, None].expand_as(ws))


def test_without_steps_the_encoder_answers_for_all(source):
    photos, e = torch.zeros(2, 3, 16, 16), encoder(source)
    ws, *_ = find_codes(source, photos, None, e, 0, torch.tensor([True, False]))
    assert torch.equal(ws, e(photos))
    with pytest.raises(ValueError, match="no encoder"):
        find_codes(source, photos, None, None, 0)


def test_the_sheet_has_a_row_for_each_photo(source):
    drawn = source.synthesis(ws_from_seeds(source, [1, 2]), "const")
    picture = module.sheet(drawn, drawn, {"webtoon": drawn, "portrait": drawn}, side=32)
    pixels = np.asarray(picture)
    assert pixels.shape[1] > 4 * 32 and pixels.shape[0] > 2 * 32


def test_the_sheet_shows_what_was_taken_where_it_is_known():
    drawn = torch.zeros(2, 3, 16, 16)
    plain = module.sheet(drawn, drawn, {"webtoon": drawn}, side=32)
    seen = module.sheet(drawn, drawn, {"webtoon": drawn}, side=32, seen=[Image.new("RGB", (40, 20), "red"), None])
    assert seen.width > plain.width + 31 and seen.height == plain.height
    red = (np.asarray(seen) == (255, 0, 0)).all(-1).nonzero()
    assert len(red[0]) and red[1].max() < 32 and red[0].max() < 22 + 32
    assert module.sheet(drawn, drawn, {"webtoon": drawn}, side=32, seen=[None, None]).size == plain.size
