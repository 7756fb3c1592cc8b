"""The pair view: what is drawn where, which codes go into which model, and a panel that follows its controls."""

import copy
import json

import pytest
import torch
from tiny_panels import check_controls

from stylegan2 import display
from stylegan2.editing import latents
from stylegan2.editing.layer_swapping import swap_images
from stylegan2.networks import build
from stylegan2.panels.pair import GAP, SIDE, pair_images, pair_panel, render_pair
from stylegan2.pocket.nets.judge import Judge

NOTHING = {"target": "tuned", "landmarks": False}


@pytest.fixture(scope="module")
def source():
    return build(16, "pocket")[0].eval().requires_grad_(False)


@pytest.fixture(scope="module")
def targets(source):
    """ "copy": the source again; "tuned": other blocks and another mapping."""
    tuned = copy.deepcopy(source)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng))
    tuned.mapping.update_mean(100)
    return {"copy": copy.deepcopy(source), "tuned": tuned}


@pytest.fixture(scope="module")
def judge():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Judge().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def render(source, targets, judge):
    return lambda **settings: render_pair(source, targets, judge, **settings)


def same(a: torch.Tensor, b: torch.Tensor) -> None:
    """Drawn alone or in a batch: equal but for rounding."""
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def faces(picture) -> list[bytes]:
    """Pixels of the three pictures without titles and notes."""
    top = (picture.height - SIDE) // 2
    corners = [(i * (SIDE + GAP), top) for i in range(3)]
    return [picture.crop((x, y, x + SIDE, y + SIDE)).tobytes() for x, y in corners]


def test_the_three_images_are_source_target_and_swapped(source, targets):
    ws = latents.ws_from_seeds(source, [5], 0.7)
    images = pair_images(source, targets["tuned"], 5, 0.7, "w", 8)
    assert torch.equal(images[0], source.synthesis(ws, "const")[0])
    same(images[1], targets["tuned"].synthesis(ws, "const")[0])
    same(images[2], swap_images(source, targets["tuned"], ws, 8)[0])
    assert all((images[2] - other).abs().max() > 0.1 for other in images[:2])
    same(pair_images(source, targets["tuned"], 5, 0.7, "w", 4)[2], images[1])  # all of it the target's


def test_same_z_takes_the_targets_own_mapping(source, targets):
    tuned = targets["tuned"]
    same_w, same_z = (pair_images(source, tuned, 3, 0.0, same, 8) for same in "wz")
    mean = tuned.mapping.mean_ws[None]  # psi 0: the centre of the mapping that makes the code
    same(same_z[1], tuned.synthesis(mean, "const")[0])
    same(same_z[2], swap_images(source, tuned, source.mapping.mean_ws[None], 8, target_ws=mean)[0])
    assert torch.equal(same_w[0], same_z[0])
    assert all((same_w[i] - same_z[i]).abs().max() > 0.1 for i in (1, 2))


def test_picture_holds_the_three_images_large_and_side_by_side(source, targets, render):
    picture = render(**NOTHING, seed=2, truncation=0.9, swap_resolution=8)
    images = pair_images(source, targets["tuned"], 2, 0.9, "w", 8)
    assert picture.width == 3 * SIDE + 2 * GAP
    assert faces(picture) == [display.to_pil(image, SIDE // 16).tobytes() for image in images]


def test_landmarks_are_drawn_on_top_and_only_there(render):
    plain, marked = render(**NOTHING, seed=2), render(target="tuned", seed=2)
    assert all(a != b for a, b in zip(faces(plain), faces(marked), strict=True))
    band = (0, 0, plain.width, (plain.height - SIDE) // 2)
    assert plain.crop(band).tobytes() == marked.crop(band).tobytes()


def test_a_network_against_itself_lies_nowhere_else(render):
    first, second, third = faces(render(target="copy", seed=4))
    assert first == second == third  # no lines to the source's places


def test_the_error_below_is_the_pairs(render, monkeypatch):
    from stylegan2.pocket import measures

    seen = []
    monkeypatch.setattr(measures, "landmark_error", lambda a, b: seen.append((a, b)) or torch.zeros(3))
    zero = render(**NOTHING, seed=4)
    ((first, reading),) = seen
    assert torch.equal(first.landmarks, reading.landmarks[:1].expand(3, -1, -1))
    monkeypatch.setattr(measures, "landmark_error", lambda a, b: torch.tensor([0.0, 0.5, 0.0]))
    half = render(**NOTHING, seed=4)
    third = (2 * (SIDE + GAP), 0, half.width, half.height)
    assert half.tobytes() != zero.tobytes() and half.crop(third).tobytes() == zero.crop(third).tobytes()


def test_errors_say_what_there_is(source, targets, render):
    with pytest.raises(ValueError, match="copy, tuned"):
        render(target="nobody")
    with pytest.raises(ValueError, match="'w'.*'z'"):
        pair_images(source, targets["tuned"], 0, same="both")
    with pytest.raises(ValueError, match="swap_resolution is 32"):
        pair_images(source, targets["tuned"], 0, swap_resolution=32)


@pytest.fixture
def panel(source, targets, judge):
    records = {"source": {"model": "s.pt"}, "tuned": {"model": "t.pt"}}
    return pair_panel(source, targets, judge, seed=7, records=records)


def test_panel_follows_its_controls_and_comes_back(panel):
    panel.controls["target"].value = "tuned"
    panel.defaults = panel.settings
    changes = {"target": "copy", "same": "z", "seed": 3, "truncation": 0.2, "swap_resolution": 8, "landmarks": False}
    check_controls(panel, changes)


def test_settings_name_the_models_and_rebuild_the_picture(panel, render):
    panel.update()
    assert panel.record == {"source": {"model": "s.pt"}}  # nothing is known of the first target
    panel.controls["target"].value = "tuned"
    settings = json.loads(panel.show_settings())
    assert settings.pop("source") == {"model": "s.pt"} and settings.pop("model") == {"model": "t.pt"}
    assert render(**settings).tobytes() == panel.picture.tobytes()


def test_settings_of_another_target_are_refused_and_the_target_stays(panel):
    """Which model they are of depends on a control that they set themselves."""
    panel.update()
    panel.apply({"target": "tuned", "seed": 3, "source": {"model": "s.pt"}, "model": {"model": "t.pt"}})
    panel.reset()
    before = panel.settings
    with pytest.raises(ValueError, match="settings are for model .*other.pt.*this panel shows .*t.pt"):
        panel.apply({"target": "tuned", "seed": 3, "model": {"model": "other.pt"}})
    assert panel.settings == before and panel.record == {"source": {"model": "s.pt"}}
