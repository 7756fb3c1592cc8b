"""The comparison of routes from an image to codes."""

from __future__ import annotations

import pytest
import torch
from tiny_encoder import an_encoder
from tiny_training import tiny_networks

from stylegan2.editing.latents import render
from stylegan2.editing.perceptual import psnr
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.studies import projection
from stylegan2.pocket.studies.projection import (
    ENCODER,
    REFINED,
    ROUTES,
    TUNED,
    compare_routes,
    evaluation_images,
    table,
)


@pytest.fixture(scope="module")
def world():
    g = tiny_networks(16, 6, 1)[0].eval().requires_grad_(False)
    torch.manual_seed(0)
    return g, an_encoder(g), Judge().eval()


@pytest.fixture(scope="module")
def compared(world):
    g, encoder, judge = world
    images = evaluation_images(g, 3)
    rows, drawn = compare_routes(g, encoder, judge, images, steps=3, refine_steps=4, tune_steps=5)
    return images, rows, drawn


def test_there_are_images_of_both_kinds(world):
    images = evaluation_images(world[0], 3)
    assert list(images) == ["generated", "rendered"]
    for x in images.values():
        assert x.shape == (3, 3, 16, 16) and x.min() >= -1 and x.max() <= 1
    assert torch.equal(images["rendered"], evaluation_images(world[0], 3)["rendered"])


def test_every_route_is_taken_and_measured(world, compared):
    g, encoder, _ = world
    images, rows, drawn = compared
    assert [(r["kind"], r["route"]) for r in rows] == [(k, r) for k in images for r in ROUTES]
    for row in rows:
        found = drawn[row["kind"]][row["route"]]
        assert row["psnr"] == pytest.approx(float(psnr(found, images[row["kind"]]).median()))
        assert row["images"] == 3 and row["seconds"] > 0 and row["perceptual"] > 0 and row["landmarks"] >= 0
    torch.testing.assert_close(drawn["rendered"][ENCODER], render(g, encoder(images["rendered"])), rtol=0, atol=1e-4)


def test_what_is_refined_and_tuned_is_nearer(compared):
    _, rows, _ = compared
    quality = {(row["kind"], row["route"]): row["psnr"] for row in rows}
    for kind in ("generated", "rendered"):
        assert quality[kind, ENCODER] < quality[kind, REFINED] < quality[kind, TUNED]


def test_the_table_and_the_sheet_show_all_of_it(compared):
    images, rows, drawn = compared
    lines = table(rows).splitlines()
    assert len(lines) == 2 + len(rows) and all(line.count("|") == 7 for line in lines)
    assert f"{rows[0]['psnr']:.1f} dB" in lines[2]
    assert projection.sheet(images["rendered"], drawn["rendered"]).height > 6 * 16
