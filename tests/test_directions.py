"""Directions: kept in files, moved along, compared by a judge."""

from __future__ import annotations

import copy

import pytest
import torch

from stylegan2 import checkpoints, display
from stylegan2.checkpoints import CheckpointError
from stylegan2.editing import latents
from stylegan2.editing.directions import (
    Directions,
    move,
    picture,
    strip,
    upright,
)
from stylegan2.networks import Generator, build
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import Judge, Reading
from stylegan2.pocket.studies.changes import Change, Effect, judge_names, measure_directions


@pytest.fixture(scope="module")
def g() -> Generator:
    """16 px, 6 codes, with noise that counts."""
    g = build(16, "pocket")[0].eval().requires_grad_(False)
    for conv in g.synthesis.convs:
        conv.noise_strength.fill_(0.1)
    return g


@pytest.fixture(scope="module")
def target(g) -> Generator:
    target = copy.deepcopy(g)
    rng = torch.Generator().manual_seed(1)
    for parameter in target.parameters():
        parameter.add_(0.2 * torch.randn(parameter.shape, generator=rng))
    return target


def directions(count: int = 3, w_dim: int = 128, layers=(0, 1), **fields) -> Directions:
    q = torch.linalg.qr(torch.randn(w_dim, count, generator=torch.Generator().manual_seed(2))).Q
    return Directions(q.T, torch.arange(count, 0, -1), layers, **fields)


# ------------------------------------------------------------------------------------------------------------ the class


def test_names_are_numbers_until_they_are_given():
    d = directions()
    assert d.names == ["direction 0", "direction 1", "direction 2"] and len(d) == 3
    d.rename(1, "pose")
    assert d.index("pose") == d.index(1) == 1
    d.rename("pose", "turn")
    assert d.names[1] == "turn"
    with pytest.raises(ValueError, match="no direction is called 'smile'; there are: direction 0, turn, direction 2"):
        d.index("smile")
    for wrong in (3, -1):
        with pytest.raises(ValueError, match=rf"no direction {wrong}: expected 0 to 2"):
            d.index(wrong)
    with pytest.raises(ValueError, match="names turn, turn, direction 2: expected 3, for every direction one"):
        d.rename(0, "turn")
    assert d.names[0] == "direction 0"


def test_some_can_be_selected():
    d = directions(names=["a", "b", "c"])
    some = d.select(["c", 0])
    assert some.names == ["c", "a"] and torch.equal(some.vectors, d.vectors[[2, 0]])
    assert some.values.tolist() == [1, 3] and some.layers == d.layers


def test_a_file_gives_back_all_of_it(tmp_path):
    d = directions(names=["pose", "b", "c"], made_from={"method": "sefa", "normalise": True, "sha256": "0f"})
    back = Directions.load(d.save(tmp_path / "new" / "d.pt"))
    assert torch.equal(back.vectors, d.vectors) and torch.equal(back.values, d.values)
    assert (back.layers, back.names, back.made_from) == (d.layers, d.names, d.made_from)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["d.pt"]


def test_other_files_are_refused_with_a_reason(tmp_path, g):
    text, model, damaged = (tmp_path / name for name in ("a.pt", "model.pt", "damaged.pt"))
    text.write_text("no directions")
    checkpoints.save(model, g_ema=g)
    content = torch.load(directions().save(damaged), weights_only=True)
    torch.save(content | {"vectors": content["vectors"] * 2}, damaged)
    torch.save([1, 2], tmp_path / "list.pt")
    for path, reason in (
        (tmp_path / "none.pt", "there is no file"),
        (text, "is a text file"),
        (model, "holds no directions"),
        (tmp_path / "list.pt", "holds no directions"),
        (damaged, "damaged directions .vectors must have length 1"),
    ):
        with pytest.raises(
            CheckpointError, match=rf"{reason}.*expected directions, as `factorize` writes them"
        ) as error:
            Directions.load(path)
        assert "expected a checkpoint" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": torch.ones(3, 4)}, "must have length 1, theirs go from 2 to 2"),
        ({"values": torch.ones(2)}, r"vectors \[3, 4\] and values \[2\]"),
        ({"names": ["a", "b"]}, "names a, b: expected 3"),
        ({"names": ["a", "b", "b"]}, "names a, b, b: expected 3"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    fields = {"vectors": torch.eye(3, 4), "values": torch.ones(3), "layers": (0,)}
    Directions(**fields)
    with pytest.raises(ValueError, match=message):
        Directions(**fields | change)


def test_a_mixture_at_its_degree_is_the_sum(g):
    d, ws = directions(made_from={"method": "sefa"}), latents.ws_from_seeds(g, [0, 1])
    mixed = d.mix({0: 3.0, "direction 2": -4.0, 1: 0.0}, "slim face")
    assert mixed.names == ["slim face"] and mixed.made_from["degree"] == pytest.approx(5)
    assert mixed.made_from["mixed_from"] == {"direction 0": 3.0, "direction 2": -4.0}
    assert float(mixed.values) == pytest.approx((9 * 3 + 16 * 1) / 25)
    torch.testing.assert_close(move(ws, mixed, {"slim face": 5.0}), move(ws, d, {0: 3.0, 2: -4.0}))
    with pytest.raises(ValueError, match="a mixture of nothing"):
        d.mix({0: 0.0}, "nothing")


def test_the_value_of_a_mixture_of_standard_deviations_is_one_too():
    d = directions(made_from={"method": "ganspace"})
    assert float(d.mix({0: 3.0, 2: -4.0}, "a").values) == pytest.approx(((9 * 3**2 + 16 * 1) / 25) ** 0.5)
    assert float(d.mix({1: -0.5}, "b").values) == pytest.approx(2)


def test_upright_settles_the_sign():
    v = torch.tensor([[0.6, -0.8], [0.8, 0.6], [-1.0, 0.0]])
    expected = torch.tensor([[-0.6, 0.8], [0.8, 0.6], [1.0, 0.0]])
    assert torch.equal(upright(v), expected) and torch.equal(upright(-v), expected)


# -------------------------------------------------------------------------------------------------------------- moving


def test_a_step_moves_the_chosen_layers_and_no_others(g):
    d, ws = directions(), latents.ws_from_seeds(g, [0, 1])
    before = ws.clone()
    moved = move(ws, d, {1: -2.5})
    torch.testing.assert_close(moved[:, :2] - ws[:, :2], (-2.5 * d.vectors[1]).expand(2, 2, -1), rtol=0, atol=1e-5)
    assert torch.equal(moved[:, 2:], ws[:, 2:]) and torch.equal(ws, before)
    other = move(ws, d, {1: -2.5}, layers="3-4")
    assert [torch.equal(other[:, i], ws[:, i]) for i in range(6)] == [True, True, True, False, False, True]


def test_steps_add_up_and_turn_back(g):
    d, ws = directions(), latents.ws_from_seeds(g, [0, 1])
    both = move(ws, d, {0: 2.0, "direction 2": -1.0})
    torch.testing.assert_close(both, move(move(ws, d, {0: 2.0}), d, {2: -1.0}))
    torch.testing.assert_close(move(both, d, {0: -2.0, 2: 1.0}), ws)
    assert torch.equal(move(ws, d, {}), ws) and torch.equal(move(ws, d, {0: 0.0}), ws)


def test_every_image_may_have_a_degree_of_its_own(g):
    d, ws = directions(), latents.ws_from_seeds(g, [0, 1])
    moved = move(ws, d, {0: torch.tensor([1.0, -2.0])})
    assert torch.equal(moved[:1], move(ws[:1], d, {0: 1.0})) and torch.equal(moved[1:], move(ws[1:], d, {0: -2.0}))


def test_truncation_does_not_scale_the_edit(g):
    """Bug 15 of the original: psi came after the edit."""
    d = directions()
    steps = [move(ws, d, {0: 3.0}) - ws for ws in (latents.ws_from_seeds(g, [0], psi) for psi in (1.0, 0.5, 0.0))]
    for step in steps:
        assert step[0, 0].norm().item() == pytest.approx(3, rel=1e-4)


def test_what_does_not_fit_the_codes_is_refused(g):
    ws = latents.ws_from_seeds(g, [0])
    with pytest.raises(ValueError, match=r"ws must be \[N, L, 64\] for these directions, got \[1, 6, 128\]"):
        move(ws, directions(w_dim=64), {0: 1.0})
    with pytest.raises(ValueError, match="has no layers 9; expected 0 to 5"):
        move(ws, directions(layers=(2, 9)), {0: 1.0})
    with pytest.raises(ValueError, match="no direction 7"):
        move(ws, directions(), {7: 1.0})


# --------------------------------------------------------------------------------------------------------------- strips


def test_a_strip_is_every_degree_through_every_model_with_fixed_noise(g, target):
    d, ws, degrees = directions(), latents.ws_from_seeds(g, [3, 4], 0.7), [-2.0, 0.0, 2.0]
    rows = strip({"photo": g, "webtoon": target}, ws, d, 1, degrees, faces=["seed 3", "seed 4"])
    assert list(rows) == ["seed 3 photo", "seed 3 webtoon", "seed 4 photo", "seed 4 webtoon"]
    for face, code in (("seed 3", ws[:1]), ("seed 4", ws[1:])):
        for name, model in (("photo", g), ("webtoon", target)):
            for image, degree in zip(rows[f"{face} {name}"], degrees, strict=True):
                expected = model.synthesis(move(code, d, {1: degree}), "const")[0]
                torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)
    again = strip({"photo": g}, ws[:1], d, 1, [0.0, 0.0])["photo"]
    assert torch.equal(again[0], again[1])  # bug 16: no flicker
    assert not torch.allclose(rows["seed 3 photo"][0], rows["seed 3 photo"][2], atol=1e-3)


def test_a_strip_needs_names_for_its_faces(g):
    ws = latents.ws_from_seeds(g, [0, 1])
    assert list(strip({"photo": g}, ws, directions(), 0, [1.0])) == ["0 photo", "1 photo"]
    with pytest.raises(ValueError, match=r"codes are \[2, 6, 128\], expected \[\.\.\., 8, 128\] for 'large'"):
        strip({"photo": g, "large": build(32, "pocket")[0]}, ws, directions(), 0, [1.0])
    for faces in (["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="a name of its own for each of 2 codes"):
            strip({"photo": g}, ws, directions(), 0, [1.0], faces=faces)


def test_the_picture_has_a_line_of_degrees_above_the_rows(g):
    rows = strip({"photo": g}, latents.ws_from_seeds(g, [0]), directions(), 0, [-1.0, 0.0, 1.0])
    sheet, below = picture(rows, [-1, 0, 1], scale=2), display.rows(rows, 2)
    head = sheet.height - below.height
    assert sheet.width == below.width and head > 10
    assert sheet.crop((0, head, *sheet.size)).tobytes() == below.tobytes()
    assert sheet.crop((0, 0, sheet.width, head)).getextrema()[0][0] < 128  # something is written there


# -------------------------------------------------------------------------------------------------------------- effects


class Ruler(Judge):
    """Reads two things off the mean colour: red is "smile", green squared is "glasses"; all else is 0."""

    def read(self, images, batch: int = 64) -> Reading:
        attributes = torch.zeros(len(images), len(world.VECTOR_NAMES))
        attributes[:, world.VECTOR_NAMES.index("smile")] = images[:, 0].mean((1, 2))
        attributes[:, world.VECTOR_NAMES.index("glasses")] = images[:, 1].mean((1, 2)).square()
        n = len(images)
        return Reading(attributes, torch.zeros(n, 16, 2), torch.zeros(n, 48), torch.zeros(n, 4))


class Painter(Generator):
    """Inputs the first two components of the first code as red and green."""

    def __init__(self):
        super().__init__(16, 4, 4, 1, {4: 2, 8: 2, 16: 2})
        self.synthesis.forward = lambda ws, noise: torch.stack([ws[:, 0, 0], ws[:, 0, 1], 0 * ws[:, 0, 0]], 1)[
            :, :, None, None
        ].expand(-1, -1, 16, 16)


def test_an_effect_is_what_turns_with_the_sign():
    d = Directions(torch.eye(2, 4), torch.ones(2), (0,))
    sd = torch.full((len(world.VECTOR_NAMES),), 0.5)
    red, green = measure_directions(Ruler(), Painter(), d, degree=2.0, seeds=range(5), truncation=0.0, sd=sd)
    assert red.along["smile"].mean == pytest.approx(4) and red.along["smile"].words == "smile"
    assert green.along["glasses"].mean == pytest.approx(0, abs=1e-5)  # what both signs do is no direction
    assert judge_names([red, green]) == ["smile 4.0 sd", "little"]
    assert judge_names([red], numbers=False) == ["smile"]


def test_effects_follow_the_layers_and_the_degree():
    d = Directions(torch.eye(1, 4), torch.ones(1), (0,))
    sd = torch.ones(len(world.VECTOR_NAMES))
    settings = dict(seeds=range(3), sd=sd)
    (little,) = measure_directions(Ruler(), Painter(), d, degree=1.0, layers="1-3", **settings)
    assert little.along["smile"].mean == 0
    one, three = (measure_directions(Ruler(), Painter(), d, degree, **settings)[0] for degree in (1.0, 3.0))
    assert three.along["smile"].mean == pytest.approx(3 * one.along["smile"].mean)
    for wrong in (0, -1.0):
        with pytest.raises(ValueError, match=f"degree is {wrong}, expected a number above 0"):
            measure_directions(Ruler(), Painter(), d, wrong, **settings)


def test_the_unit_of_effects_is_the_spread_of_the_models_own_faces():
    d = Directions(torch.eye(1, 4), torch.ones(1), (0,))
    painter = Painter()
    red = latents.ws_from_seeds(painter, range(200), 1.0)[:, 0, 0]
    (effect,) = measure_directions(Ruler(), painter, d, 2.0, seeds=range(2), truncation=1.0)
    assert effect.along["smile"].mean == pytest.approx(2 / max(red.std().item(), 0.1), rel=1e-3)


def test_names_tell_the_largest_changes_first():
    def change(mean: float, words: str) -> Change:
        return Change(mean, abs(mean), words)

    along = {"yaw": change(-1.5, "turned left"), "smile": change(0.4, "smile"), "blush": change(2.0, "blush")}
    assert judge_names([Effect(along)], most=2) == ["blush 2.0 sd, turned left 1.5 sd"]
    assert judge_names([Effect(along)], most=2, numbers=False) == ["blush, turned left"]
