"""Rendered webtoon pages: the same every time, with boxes that lie on faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.world.pages import DOMAIN, _touch, face_boxes, make_page


def test_a_seed_gives_one_page_and_another_gives_another():
    a, b, c = make_page(3), make_page(3), make_page(4)
    assert np.array_equal(a.image, b.image) and a.boxes == b.boxes
    assert a.boxes != c.boxes and a.image.size != c.image.size


def test_pages_are_tall_and_their_boxes_lie_on_them():
    for seed in range(6):
        page = make_page(seed, panels=5, width=300)
        assert page.image.width == 300 and page.image.height > 700 and page.image.mode == "RGB"
        for x0, y0, x1, y1 in page.boxes:
            assert 0 <= x0 < x1 <= 300 and 0 <= y0 < y1 <= page.image.height
            assert x1 - x0 == pytest.approx(y1 - y0, rel=1e-4)
        boxes = page.boxes
        assert not any(_touch(a, b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_boxes_hold_brows_chin_and_the_sides_of_the_face():
    faces = world.sample(DOMAIN, 50, seed=1)
    points = world.landmarks(faces, DOMAIN)
    boxes = face_boxes(points)
    names = [world.LANDMARKS.index(n) for n in ("eye_left", "eye_right", "nose_tip", "mouth_centre")]
    inside = (points[:, names] > boxes[:, None, :2]) & (points[:, names] < boxes[:, None, 2:])
    assert inside.all()
    assert face_boxes(points * 3 + 7).allclose(boxes * 3 + 7, atol=1e-4)  # in any unit


def test_the_judge_sees_a_face_in_every_box():
    """What lies in a box, framed as rendered faces are, has its eyes where a face has them."""
    judge = Judge.load("checkpoints/pocket/judge.pt")
    crops, wide = [], 0.0
    for seed in range(4):
        page = make_page(seed)
        for x0, y0, x1, y1 in page.boxes:
            side = (x1 - x0) / 0.55  # of the whole rendered picture
            left, top = (x0 + x1) / 2 - side / 2, (y0 + y1) / 2 - 0.63 * side
            crops.append(
                page.image.crop((round(left), round(top), round(left + side), round(top + side))).resize((64, 64))
            )
            wide = max(wide, x1 - x0)
    images = torch.from_numpy(np.stack([np.array(c) for c in crops])).permute(0, 3, 1, 2)
    eyes = judge.read(images).landmarks[:, :2]
    expected = torch.tensor([[0.37, 0.53], [0.63, 0.53]])
    assert len(crops) >= 8 and wide > 100
    assert (eyes - expected).norm(dim=2).median() < 0.1
