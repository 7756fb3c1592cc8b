"""Style mixing: which codes go where, what is shared along a row, and who owns which part of a face."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_training import tiny_networks

from stylegan2 import checkpoints, display
from stylegan2.editing import latents, style_mixing
from stylegan2.editing.style_mixing import (
    layer_label,
    layers_name,
    mix,
    mix_grid,
    mix_images,
)
from stylegan2.networks import Generator
from stylegan2.pocket.nets.judge import Judge, Reading
from stylegan2.pocket.studies import ownership
from stylegan2.pocket.studies.changes import UNSEEN
from stylegan2.pocket.studies.ownership import GROUPS, heat_map, layer_ranges, measure_ownership

POCKET = Path(__file__).parents[1] / "checkpoints" / "pocket"
L, W_DIM = 8, 8


def generator(seed: int, resolution: int = 32) -> Generator:
    """A tiny generator whose noise can be seen."""
    g = tiny_networks(resolution, 6, seed)[0].eval().requires_grad_(False)
    for conv in g.synthesis.convs:
        conv.noise_strength.fill_(0.2)
    return g


@pytest.fixture(scope="module")
def g() -> Generator:
    return generator(1)


@pytest.fixture(scope="module")
def ends(g) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes of two rows and three columns."""
    return latents.ws_from_seeds(g, [0, 1]), latents.ws_from_seeds(g, [5, 6, 7])


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


# ------------------------------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize("layers", ["coarse", "3", "0-2,6", (7,), "all", ()])
def test_chosen_layers_come_from_the_column_and_the_rest_from_the_row(ends, layers):
    row, col = ends[0], ends[1][:2]
    mixed = mix(row, col, layers)
    chosen = style_mixing._numbers(layers, L)
    for i in range(L):
        assert torch.equal(mixed[:, i], (col if i in chosen else row)[:, i])


def test_nothing_and_everything_are_the_two_faces(ends):
    row, col = ends[0], ends[1][:2]
    assert torch.equal(mix(row, col, ()), row) and torch.equal(mix(row, col, "all"), col)
    assert torch.equal(mix(row, col, "all", amount=0), row)
    assert torch.equal(mix(row, col, "3"), mix(col, row, "0-2,4-7"))  # the other way round, the other layers


def test_channels_cut_across_a_code(ends):
    row, col = ends[0], ends[1][:2]
    mixed = mix(row, col, "2", channels=range(3))
    assert torch.equal(mixed[:, 2, :3], col[:, 2, :3]) and torch.equal(mixed[:, 2, 3:], row[:, 2, 3:])
    assert torch.equal(mixed[:, [0, 1, 3, 4, 5, 6, 7]], row[:, [0, 1, 3, 4, 5, 6, 7]])
    assert torch.equal(mix(mixed, col, "2", channels=range(3, W_DIM)), mix(row, col, "2"))


def test_amounts_lie_between(ends):
    row, col = ends[0], ends[1][:2]
    close(mix(row, col, "2-4", amount=0.25)[:, 2:5], 0.75 * row[:, 2:5] + 0.25 * col[:, 2:5])


def test_what_cannot_be_mixed_is_named(g, ends):
    row, col = ends
    with pytest.raises(ValueError, match="has no layers 8; expected 0 to 7"):
        mix(row, col[:2], "8")
    with pytest.raises(ValueError, match=r"channels \[4, .*8\]: expected some of 0 to 7"):
        mix(row, col[:2], "3", range(4, 9))
    with pytest.raises(ValueError, match=r"channels \[\]: expected some"):
        mix(row, col[:2], "3", ())
    with pytest.raises(ValueError, match=r"rows' codes are \[2, 8, 8\] and the columns' \[2, 6, 8\]"):
        mix(row, col[:2, :6], "3")
    with pytest.raises(ValueError, match=r"codes are \[2, 8, 8\], expected \[\.\.\., 6, 8\]"):
        mix_grid(g, row, col, "3", ends=(g, generator(1, 16)))
    with pytest.raises(ValueError, match=r"codes must be \[N, L, w_dim\]"):
        mix_images(g, row[0], col, "3")


def test_names():
    assert [layers_name(x, 10) for x in ("3", "0-4", "2,5-7", (), "all")] == ["3", "0-4", "2, 5-7", "", "0-9"]
    assert [layer_label(i, 10) for i in (0, 1, 2, 3, 8, 9)] == [
        "0: 4x4", "1: 8x8", "2: 8x8", "3: 16x16", "8: 64x64", "9: colours",
    ]  # fmt: skip


def test_labels_name_the_convolution_that_a_code_drives(g):
    for i, conv in enumerate(g.synthesis.convs):
        assert layer_label(i, L) == f"{i}: {conv.resolution}x{conv.resolution}"


# ------------------------------------------------------------------------------------------------------------ images


@pytest.mark.parametrize("first", range(L))
def test_what_is_shared_along_a_row_changes_nothing(g, ends, first, monkeypatch):
    """Whatever the first exchanged layer is, images are those of the mixed codes drawn one by one."""
    row, col = ends
    monkeypatch.setattr(style_mixing, "BATCH", 3)  # one row at a time
    images = mix_images(g, row, col, (first,))
    assert images.shape == (2, 3, 3, 32, 32)
    for r in range(2):
        for c in range(3):
            close(images[r, c], g.synthesis(mix(row[r : r + 1], col[c : c + 1], (first,)), "const")[0])


def test_fine_layers_of_a_published_size():
    """256 px, 14 codes: fine is 6 to 13, and all below 32x32 is drawn once a row."""
    g = generator(1, 256)
    row, col = latents.ws_from_seeds(g, [0]), latents.ws_from_seeds(g, [5, 6])
    codes = torch.cat([row[:, :6].expand(2, -1, -1), col[:, 6:]], dim=1)
    close(mix_images(g, row, col, "fine")[0], g.synthesis(codes, "const"))
    assert [layer_label(i, g.num_ws) for i in (6, 12, 13)] == ["6: 32x32", "12: 256x256", "13: colours"]


def test_sharing_spares_the_blocks_below(g, ends):
    drawn = {r: 0 for r in g.synthesis.resolutions}

    def count(r):
        return lambda block, args: drawn.__setitem__(r, drawn[r] + len(args[2]))

    hooks = [block.register_forward_pre_hook(count(int(r))) for r, block in g.synthesis.blocks.items()]
    mix_images(g, *ends, "4-7")
    for hook in hooks:
        hook.remove()
    assert drawn == {4: 2, 8: 2, 16: 6, 32: 6}  # code 4 drives the second convolution at 16x16


def test_grid_shows_ends_by_all_models_and_mixes_by_one(g, ends):
    other = generator(2)
    grid = mix_grid(other, *ends, "2-3", ends=(g, other))
    assert grid.rows.shape == (2, 2, 3, 32, 32) and grid.columns.shape == (2, 3, 3, 32, 32)
    for k, model in enumerate((g, other)):
        close(grid.rows[k], model.synthesis(ends[0], "const"))
        close(grid.columns[k], model.synthesis(ends[1], "const"))
    close(grid.images, mix_images(other, *ends, "2-3"))
    close(mix_grid(g, *ends, ()).images[:, 1], mix_grid(g, *ends, ()).rows[0])  # nothing exchanged: the rows' faces
    close(mix_grid(g, *ends, "all").images[1], mix_grid(g, *ends, "all").columns[0])


@pytest.mark.parametrize("models", [1, 2])
def test_the_picture_puts_every_mix_where_its_ends_meet(g, ends, models):
    grid = mix_grid(g, *ends, "2-3", ends=(g, generator(2))[:models])
    picture = grid.picture()
    step, start = 32 + style_mixing.GAP, models * 34 + style_mixing.EDGE - style_mixing.GAP
    assert picture.size == (start + 3 * step - 2, start + 2 * step - 2)

    def at(x, y):
        return picture.crop((x, y, x + 32, y + 32)).tobytes()

    for r in range(2):
        assert at(0, start + r * step) == display.to_pil(grid.rows[0, r]).tobytes()
        for c in range(3):
            assert at(start + c * step, start + r * step) == display.to_pil(grid.images[r, c]).tobytes()
    for c in range(3):
        assert at(start + c * step, 0) == display.to_pil(grid.columns[0, c]).tobytes()


def test_names_get_room_of_their_own(g, ends):
    grid = mix_grid(g, *ends, "0")
    plain, named = grid.picture(scale=2), grid.picture([10, 11], ["a", "b", "c"], scale=2)
    below = named.crop((named.width - plain.width, style_mixing.LINE, *named.size))
    assert below.tobytes() == plain.tobytes()
    assert len(named.crop((0, 0, named.width, style_mixing.LINE)).getcolors()) > 1


# --------------------------------------------------------------------------------------------------------- ownership


class FakeJudge:
    """Reads attributes straight from two codes: `skin` from code 1, everything else from code 0."""

    def __init__(self, ws: dict[bytes, torch.Tensor]):
        self.ws = ws

    def read(self, images: torch.Tensor) -> Reading:
        ws = torch.stack([self.ws[image.numpy().tobytes()] for image in images])
        attributes = ws[:, 0, :1].repeat(1, ownership.WIDTH)
        attributes[:, ownership.COLUMNS["skin"]] = ws[:, 1, :1]
        landmarks = torch.linspace(0, 1, 32).reshape(1, 16, 2) * (1 + ws[:, 0, :1, None])
        return Reading(attributes, landmarks, ws[:, 0], ws[:, 0, :4])


@pytest.fixture
def study(g, monkeypatch):
    """measure_ownership with a judge whose answers are known."""
    known: dict[bytes, torch.Tensor] = {}

    def draw(g, ws, noise="const", batch=16):
        images = ws.reshape(len(ws), 1, L, W_DIM).repeat(1, 3, 1, 1)
        known.update({image.numpy().tobytes(): code for image, code in zip(images, ws, strict=True)})
        return images

    monkeypatch.setattr(ownership, "render", draw)
    return lambda *args, **kwargs: measure_ownership(g, FakeJudge(known), *args, **kwargs)


def test_layers_take_what_they_own(study):
    found = study(pairs=20).sets
    assert [owned.layers for owned in found] == [(i,) for i in range(L)]
    zero, one, *rest = found
    for name, share in zero.attributes.items():
        assert share == pytest.approx(0 if name == "skin" else 1, abs=1e-5), name
        assert one.attributes[name] == pytest.approx(1 if name == "skin" else 0, abs=1e-5), name
    assert zero.taken["eyes"] == pytest.approx(1) and zero.taken["colours"] == pytest.approx(5 / 6)
    assert one.taken["colours"] == pytest.approx(1 / 6)
    assert all(share == 0 for owned in rest for share in owned.taken.values())


def test_all_layers_take_everything(study):
    (everything,) = study(["all"], pairs=10).sets
    assert everything.taken == pytest.approx(dict.fromkeys(GROUPS, 1.0))
    assert everything.score == pytest.approx(0)


def test_channels_that_hold_everything_take_everything(study):
    """The fake judge reads component 0 only."""
    first, rest = (study(["all"], pairs=10, channels=part).sets[0].taken for part in ([0], range(1, W_DIM)))
    assert first == pytest.approx(dict.fromkeys(GROUPS, 1.0)) and rest == pytest.approx(dict.fromkeys(GROUPS, 0.0))


def test_face_layers_have_the_greatest_score(study):
    result = study(layer_ranges(L), pairs=10)
    assert len(result.sets) == L * (L + 1) // 2
    best = result.face_layers()
    assert best.score == pytest.approx(max(owned.score for owned in result.sets), abs=1e-3)
    assert best.layers == (0,) and best.score == pytest.approx(1 - (1 + 1 + 5 / 6) / 3)  # skin stays


def test_moving_is_not_taking():
    change, whole = torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [1.0]])
    assert ownership._share(change, whole) == 0.0
    assert ownership._share(change, 0 * whole) == 0.0


def test_groups_hold_every_attribute_that_the_judge_reads_well_once():
    names = [name for group in GROUPS.values() for name in group]
    assert sorted(names) == sorted({*ownership.COLUMNS, "outline"} - set(UNSEEN) - {"glasses_colour", "texture"})


def test_the_result_is_text_and_a_figure(study):
    result = study(["0", "1-2"], pairs=4)
    assert "layers 1-2: score" in str(result) and "4 pairs" in str(result)
    (axis,) = result.figure().axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["0: 4x4", "1-2"]
    assert [text.get_text() for text in axis.get_xticklabels()] == list(GROUPS)
    assert {text.get_text() for text in axis.texts} <= {"100", "83", "17", "0"}


def test_heat_maps_show_numbers_below_zero_without_a_minus_for_nothing():
    (axis,) = heat_map({"a": [-0.001, 0.5, -0.2]}, ["x", "y", "z"]).axes
    assert [text.get_text() for text in axis.texts] == ["0", "50", "-20"]


def test_impossible_studies_are_refused(study):
    with pytest.raises(ValueError, match="pairs is 1, expected at least 2"):
        study(pairs=1)
    with pytest.raises(ValueError, match="has no layers 8"):
        study(["8"])


def test_layers_of_the_shipped_model_own_what_its_lessons_gave_them():
    """What notebook and docs say of the pocket model, on few faces: wide margins."""
    source = checkpoints.load(POCKET / "photo.pt", g_ema_only=True).g_ema
    result = measure_ownership(source, Judge.load(POCKET / "judge.pt"), ["0-3", "4-5", "fine"], pairs=24)
    coarse, features, fine = result.sets
    assert coarse.taken["pose"] > 0.8 and coarse.taken["hair"] > 0.8 and coarse.taken["mouth"] < 0.3
    assert features.taken["mouth"] > 0.5 and features.taken["eyes"] > 0.5 and features.taken["hair"] < 0.2
    assert fine.taken["colours"] > 0.7 and fine.taken["surroundings"] > 0.5 and fine.taken["pose"] < 0.2
