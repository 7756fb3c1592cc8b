"""Text edits: the line through both codes, what may move, what a row of the history is about, stopping, files."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tiny_clip import tiny_clip
from tiny_training import tiny_networks
from torch.nn import functional as F

from stylegan2 import files
from stylegan2.checkpoints import CheckpointError
from stylegan2.data.roughen import roughen
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.optimise import frozen, learning_rate
from stylegan2.editing.styleclip import (
    FORMAT,
    EditConfig,
    Optimisation,
    TextEdit,
    TextLoss,
    _converged,
    optimise,
)
from stylegan2.networks import Generator, build
from stylegan2.published.clip_model import ClipModel

CONFIG = EditConfig("red hair", steps=12, views=0, patience=0)
L, W = 8, 8  # of the generator below


@pytest.fixture(scope="module")
def g() -> Generator:
    """32 pixels; its weights could be trained."""
    g = tiny_networks(32, 6, 1)[0].eval()
    for conv in g.synthesis.convs:
        conv.noise_strength.data.fill_(0.1)
    return g


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return tiny_clip()


@pytest.fixture(scope="module")
def ws(g) -> torch.Tensor:
    return ws_from_seeds(g, [3, 5, 8], 0.8)


@pytest.fixture(scope="module")
def edit(g, clip, ws) -> TextEdit:
    return optimise(g, clip, ws, CONFIG)


def loss_of(g: Generator, clip: ClipModel, codes: torch.Tensor, text: str) -> torch.Tensor:
    """1 - cosine of text and images, [N]."""
    return 1 - (clip.encode_images(g.synthesis(codes, "const")) @ clip.encode_texts(text).T)[:, 0]


# ----------------------------------------------------------------------------------------------------------- the line
def test_strength_0_is_the_start_and_1_the_end_exactly(edit, ws):
    assert torch.equal(edit.at(0), ws) and torch.equal(edit.at(0.0), edit.start)
    assert torch.equal(edit.at(1), edit.end) and not torch.equal(edit.start, edit.end)


def test_strength_is_linear_and_its_opposite_goes_the_other_way(edit):
    step = edit.end - edit.start
    for strength in (-2.0, -1.0, 0.3, 0.5, 1.5, 4.0):
        torch.testing.assert_close(edit.at(strength) - edit.start, strength * step, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(edit.at(-1) + edit.at(1), 2 * edit.start, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------ what may move
@pytest.mark.parametrize("space", ("w+", "w"))
@pytest.mark.parametrize("layers, chosen", (("coarse", [0, 1]), ("2,5-6", [2, 5, 6]), ((7,), [7]), ("all", range(L))))
def test_only_the_chosen_layers_move(g, clip, ws, layers, chosen, space):
    edit = optimise(g, clip, ws, replace(CONFIG, layers=layers, space=space, steps=3))
    for layer in range(L):
        same = torch.equal(edit.end[:, layer], ws[:, layer])
        assert same != (layer in list(chosen)), layer


def test_in_w_all_layers_move_alike_and_in_w_plus_each_by_itself(g, clip, ws, edit):
    alike = optimise(g, clip, ws, replace(CONFIG, space="w"))
    moved = alike.end - alike.start
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved), rtol=0, atol=1e-5)
    assert moved.abs().amax((1, 2)).min() > 0.01
    apart = edit.end - edit.start
    assert (apart - apart[:, :1]).abs().max() > 0.1


def test_together_all_codes_move_by_one_offset_that_fits_others(g, clip, ws):
    edit = optimise(g, clip, ws, replace(CONFIG, together=True, steps=24))
    way = (edit.end - edit.start)[:1]
    torch.testing.assert_close(edit.end - edit.start, way.expand_as(ws), rtol=0, atol=1e-5)
    apart = optimise(g, clip, ws, CONFIG)
    assert ((apart.end - apart.start) - (apart.end - apart.start)[:1]).abs().max() > 0.1
    assert (loss_of(g, clip, edit.end, "red hair") < loss_of(g, clip, ws, "red hair")).sum() >= 2
    others = ws_from_seeds(g, range(50, 60))
    torch.testing.assert_close(edit.onto(others, -1.5), others - 1.5 * way, rtol=0, atol=1e-5)
    assert torch.equal(edit.onto(others, 0.0), others)
    torch.testing.assert_close(apart.onto(ws, 0.5), apart.at(0.5), rtol=0, atol=1e-5)
    for found, codes, message in (
        (edit, others[:, :4], r"codes are \[10, 4, 8\], expected \[N, 8, 8\]"),
        (apart, others, r"codes are \[10, 8, 8\], expected \[3, 8, 8\]"),  # its faces went each their own way
    ):
        with pytest.raises(ValueError, match=message):
            found.onto(codes)


def test_together_the_way_is_the_mean_of_what_each_would_go_first(g, clip, ws):
    """Adam's first step goes along the sign of the gradient, which is the sum over the codes."""
    config = replace(CONFIG, steps=1, l2=0.0)
    gradients = [optimise_gradient(g, clip, code[None], config) for code in ws]
    together = optimise(g, clip, ws, replace(config, together=True))
    expected = -learning_rate(config, 0) * sum(gradients).sign()
    torch.testing.assert_close((together.end - together.start)[:1], expected, rtol=0, atol=1e-4)


def optimise_gradient(g, clip, ws, config) -> torch.Tensor:
    """Of the loss by the codes."""
    run = Optimisation(g, clip, ws, config)
    run.step()
    return run.moved.grad


def test_the_weights_stay_and_can_be_trained_again_afterwards(g, clip, ws):
    g.synthesis.convs[0].weight.requires_grad_(False)  # one that was frozen before stays frozen
    before = {name: value.clone() for name, value in g.state_dict().items()}
    wanted = [p.requires_grad for p in g.parameters()]
    inside = []
    optimise(g, clip, ws[:1], replace(CONFIG, steps=2), on_step=lambda run: inside.append(run))
    assert [p.requires_grad for p in g.parameters()] == wanted and sum(wanted) == len(wanted) - 1
    assert all(p.grad is None for p in (*g.parameters(), *clip.parameters()))
    assert all(torch.equal(value, before[name]) for name, value in g.state_dict().items())
    g.synthesis.convs[0].weight.requires_grad_(True)


def test_the_weights_can_be_trained_after_an_exception_too(g, clip, ws, monkeypatch):
    run = Optimisation(g, clip, ws[:1], CONFIG)
    frozen_then = []

    def fails(images, step, part):
        frozen_then.append(not any(p.requires_grad for p in g.parameters()))
        raise RuntimeError("out of memory")

    monkeypatch.setattr(run, "loss", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        run.step()
    assert frozen_then == [True] and all(p.requires_grad for p in g.parameters())
    with pytest.raises(KeyError), frozen(g):
        raise KeyError
    assert all(p.requires_grad for p in g.parameters())


def test_the_given_codes_are_not_touched(g, clip, ws):
    before = ws.clone()
    given = ws.clone().requires_grad_()
    optimise(g, clip, given, replace(CONFIG, steps=2))
    assert torch.equal(given, before) and given.grad is None


# ------------------------------------------------------------------------------------------------------ the optimising
def cases() -> list[EditConfig]:
    return [
        CONFIG,
        replace(CONFIG, space="w"),
        replace(CONFIG, keep=1.0),
        replace(CONFIG, views=2),
        replace(CONFIG, neutral="brown hair"),
        replace(CONFIG, neutral="brown hair", views=1),
    ]


def name_of(config: EditConfig) -> str:
    neutral = ", directional" if config.neutral else ""
    return f"{config.space}, keep {config.keep:g}, {config.views} views{neutral}"


@pytest.mark.parametrize("config", cases(), ids=name_of)
def test_the_loss_falls_and_every_number_is_there(g, clip, ws, config):
    edit = optimise(g, clip, ws, replace(config, steps=24))
    assert [row["step"] for row in edit.history] == list(range(24)) and edit.stopped == "done"
    assert all(set(row) == {"step", "loss", "similarity", "moved"} for row in edit.history)
    assert all(math.isfinite(value) for row in edit.history for value in row.values())
    losses = [row["loss"] for row in edit.history]
    assert sum(losses[-4:]) < sum(losses[:4])
    assert edit.history[0]["moved"] == 0 < edit.history[-1]["moved"]


def test_the_image_comes_nearer_to_the_text(g, clip, ws, edit):
    assert (loss_of(g, clip, edit.end, "red hair") < loss_of(g, clip, ws, "red hair")).all()


def test_with_a_neutral_text_the_image_moves_along_both_texts(g, clip, ws):
    """In CLIP's space, the way from the image before to the image after and the way between the texts are alike."""
    edit = optimise(g, clip, ws, replace(CONFIG, neutral="brown hair", steps=24))
    goal = F.normalize(clip.encode_texts("red hair") - clip.encode_texts("brown hair"), dim=1)
    before, after = (clip.encode_images(g.synthesis(codes, "const")) for codes in (edit.start, edit.end))
    assert ((F.normalize(after - before, dim=1) * goal).sum(1) > 0.1).all()


@pytest.mark.parametrize("neutral", (None, "brown hair"))
def test_the_loss_is_what_its_equation_says(g, clip, ws, neutral):
    first, images = (g.synthesis(codes, "const").detach() for codes in (ws, ws.flip(0) + 0.3))
    text = clip.encode_texts("red hair")
    goal = text if neutral is None else F.normalize(text - clip.encode_texts(neutral), dim=1)
    plain = clip.encode_texts("a face")
    way = F.normalize(text - text @ plain.T * plain, dim=1) if neutral is None else goal
    assert neutral or (way @ plain.T).abs().max() < 1e-5 < 0.1 < float(way @ text.T)
    seen, was = clip.encode_images(images), clip.encode_images(first)
    value, similarity = TextLoss(clip, replace(CONFIG, neutral=neutral, keep=3.0), first)(images)
    across = (seen - was) - ((seen - was) * way).sum(1, keepdim=True) * way
    assert (across @ way.T).abs().max() < 1e-5 < across.abs().max()
    expected = 1 - F.cosine_similarity(seen, goal) + 3 * across.square().sum(1)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(similarity, F.cosine_similarity(seen, text), rtol=0, atol=1e-5)


def test_the_first_image_costs_nothing_to_keep(g, clip, ws):
    """It is seen through the same views: what a view does to an image is no change."""
    images = g.synthesis(ws, "const").detach()
    for views in (0, 1, 2):
        free, kept = (TextLoss(clip, replace(CONFIG, views=views, keep=keep), images) for keep in (0.0, 5.0))
        for step in (0, 7):
            torch.testing.assert_close(kept(images, step)[0], free(images, step)[0], rtol=0, atol=1e-5)
        assert (kept(images.flip(0), 0)[0] > free(images.flip(0), 0)[0] + 1e-3)[[0, 2]].all()


def test_weight_keep_holds_the_image_near_to_the_first_one(g, clip, ws):
    change = []
    for keep in (0.0, 50.0):
        edit = optimise(g, clip, ws, replace(CONFIG, keep=keep, steps=20))
        before, after = (clip.encode_images(g.synthesis(codes, "const")) for codes in (edit.start, edit.end))
        change.append(1 - (before * after).sum(1))
    assert (change[1] < 0.5 * change[0]).all()


def test_views_are_chosen_by_the_step_and_shared_by_the_batch(g, clip, ws):
    images = g.synthesis(ws, "const").detach()
    config = replace(CONFIG, views=2)
    loss = TextLoss(clip, config, images)
    torch.testing.assert_close(loss(images, 4)[0], loss(images, 4)[0], rtol=0, atol=0)
    assert (loss(images, 4)[0] - loss(images, 5)[0]).abs().max() > 1e-4
    alone = torch.cat([TextLoss(clip, config, image[None])(image[None], 4)[0] for image in images])
    torch.testing.assert_close(loss(images, 4)[0], alone, rtol=0, atol=1e-5)


def test_roughening_shared_by_a_batch_treats_all_images_alike():
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    images = image.expand(4, -1, -1, -1)
    points = torch.zeros(4, 1, 2)
    shared, _ = roughen(images, points, torch.Generator().manual_seed(1), shared=True)
    single, _ = roughen(images[:1], points[:1], torch.Generator().manual_seed(1), shared=True)
    torch.testing.assert_close(shared, single.expand_as(shared), rtol=0, atol=1e-6)
    apart, _ = roughen(images, points, torch.Generator().manual_seed(1))
    assert (apart[0] - apart[1]).abs().max() > 0.05


@pytest.mark.parametrize("config", cases(), ids=name_of)
def test_a_batch_gives_what_its_codes_give_one_by_one(g, clip, ws, config):
    together = optimise(g, clip, ws, replace(config, steps=5))
    alone = [optimise(g, clip, code[None], replace(config, steps=5)) for code in ws]
    torch.testing.assert_close(together.end, torch.cat([edit.end for edit in alone]), rtol=0, atol=5e-3)
    for name in ("loss", "similarity"):
        mean = sum(edit.history[-1][name] for edit in alone) / 3
        assert together.history[-1][name] == pytest.approx(mean, abs=1e-3)


def test_weight_l2_holds_the_codes_back(g, clip, ws, edit):
    held = optimise(g, clip, ws, replace(CONFIG, l2=1.0))
    assert held.history[-1]["moved"] < 0.5 * edit.history[-1]["moved"]


def test_a_repetition_gives_every_bit_again(g, clip, ws):
    config = replace(CONFIG, views=1, steps=4)
    torch.manual_seed(1)
    first = optimise(g, clip, ws, config)
    torch.manual_seed(2)  # the global generator has no say
    again = optimise(g, clip, ws, config)
    assert torch.equal(first.end, again.end) and first.history == again.history


def test_a_generator_of_the_course_size_works_too(clip):
    g = build(16, "pocket")[0]
    edit = optimise(g, clip, ws_from_seeds(g, [1]), replace(CONFIG, steps=3, keep=0.0))
    assert edit.end.shape == (1, 6, 128) and edit.history[-1]["loss"] < edit.history[0]["loss"]


# --------------------------------------------------------------------------------------------------- history and images
def test_image_and_row_are_of_the_same_codes(g, clip, ws):
    """Nothing is a step behind: drawn again, the codes before each step give its image and its numbers."""
    run, steps = Optimisation(g, clip, ws, replace(CONFIG, steps=4)), 0
    assert torch.equal(run.images, g.synthesis(ws, "const").detach())
    while not run.stopped:
        codes = run.codes.detach().clone()
        row, steps = run.step(), steps + 1
        torch.testing.assert_close(run.images, g.synthesis(codes, "const").detach(), rtol=0, atol=1e-5)
        distance = (codes - ws).square().sum((1, 2))
        assert row["moved"] == pytest.approx(float(distance.mean().sqrt()), abs=1e-5)
        cosine = 1 - loss_of(g, clip, codes, "red hair").detach()
        assert row["similarity"] == pytest.approx(float(cosine.mean()), abs=1e-5)
        change = (clip.encode_images(run.images) - clip.encode_images(g.synthesis(ws, "const"))).detach()
        text, plain = clip.encode_texts(["red hair", "a face"])
        way = F.normalize(text - (text @ plain) * plain, dim=0)
        moved = change.square().sum(1) - (change @ way).square()  # at right angles to it
        expected = 1 - cosine + run.config.keep * moved + run.config.l2 * distance
        assert row["loss"] == pytest.approx(float(expected.mean()), abs=1e-5)
        assert row == run.history[-1] and not torch.equal(run.codes, codes)
    assert steps == 4 and not run.images.requires_grad


def test_on_step_is_called_after_every_step(g, clip, ws):
    seen = []
    edit = optimise(g, clip, ws[:1], replace(CONFIG, steps=5), on_step=lambda run: seen.append(len(run.history)))
    assert seen == [1, 2, 3, 4, 5] == [row["step"] + 1 for row in edit.history]


def test_an_edit_does_not_grow_when_the_optimisation_goes_on(g, clip, ws):
    run = Optimisation(g, clip, ws[:1], CONFIG)
    run.step()
    early = run.edit("interrupted")
    end = early.end.clone()
    run.step()
    assert len(early.history) == 1 and torch.equal(early.end, end)


# ------------------------------------------------------------------------------------------------------------ stopping
@pytest.mark.parametrize("steps", (1, 2, 7))
def test_there_are_as_many_steps_as_asked_for_and_each_moves(g, clip, ws, steps):
    run = Optimisation(g, clip, ws[:1], replace(CONFIG, steps=steps))
    while not run.stopped:
        before = run.codes.detach().clone()
        run.step()
        assert not torch.equal(run.codes, before)
    assert len(run.history) == steps and run.stopped == "done"


def test_the_learning_rate_rises_quickly_and_falls_at_the_end():
    config = replace(CONFIG, steps=100, lr=0.2)
    rates = [learning_rate(config, step) for step in range(100)]
    assert all(0 < rate <= 0.2 for rate in rates)
    assert rates[:5] == sorted(rates[:5]) and rates[0] == pytest.approx(0.04)
    assert rates[5:74] == pytest.approx([0.2] * 69)
    assert rates[75:] == sorted(rates[75:], reverse=True) and rates[-1] < 0.002


def test_it_stops_early_when_nothing_improves(g, clip, ws):
    """Held so firmly that it cannot move: the loss is level from the beginning."""
    config = replace(CONFIG, steps=60, l2=1e6, lr=1e-6, patience=4)
    edit = optimise(g, clip, ws[:1], config)
    assert edit.stopped == "converged" and len(edit.history) == 8  # twice the patience
    assert len(optimise(g, clip, ws[:1], replace(config, patience=0, steps=9)).history) == 9


def test_one_lucky_view_is_no_arrival():
    """A loss that falls slowly below the unrest of the views goes on; the same unrest without a fall ends."""
    rng = torch.Generator().manual_seed(0)
    unrest = 0.02 * torch.randn(400, 60, generator=rng)
    for fall, least, most in ((0.3, 0.0, 0.1), (0.0, 0.9, 1.0)):
        runs = [[{"loss": 1 - fall * i / 60 + float(row[i])} for i in range(60)] for row in unrest]
        ended = sum(any(_converged(run[:n], 20) for n in range(1, 61)) for run in runs) / len(runs)
        assert least <= ended <= most, ended


def test_an_interruption_keeps_what_there_is(g, clip, ws):
    def interrupt(run: Optimisation) -> None:
        if len(run.history) == 3:
            raise KeyboardInterrupt

    edit = optimise(g, clip, ws, CONFIG, on_step=interrupt)
    assert edit.stopped == "interrupted" and len(edit.history) == 3
    shorter = Optimisation(g, clip, ws, CONFIG)
    for _ in range(3):
        shorter.step()
    assert torch.equal(edit.end, shorter.codes) and not torch.equal(edit.end, ws)


def test_other_errors_come_out(g, clip, ws):
    def fail(run: Optimisation) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        optimise(g, clip, ws, CONFIG, on_step=fail)


# --------------------------------------------------------------------------------------------------- settings and files
@pytest.mark.parametrize(
    "wrong, message",
    (
        ({"text": "  "}, "the text is empty"),
        ({"steps": 0}, "steps is 0.*expected steps >= 1"),
        ({"lr": 0.0}, "lr 0,"),
        ({"lr": -0.1}, "lr -0.1"),
        ({"l2": -1.0}, "l2 -1"),
        ({"keep": -1.0}, "keep -1"),
        ({"views": -1}, "views -1"),
        ({"patience": -1}, "patience -1"),
        ({"space": "z"}, r"space is 'z', expected 'w\+' .* or 'w'"),
        ({"neutral": " red hair "}, "both 'red hair': there is no direction"),
    ),
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        EditConfig(**{"text": "red hair"} | wrong)


def test_what_a_model_cannot_do_is_refused(g, clip, ws):
    for codes, config, message in (
        (ws, replace(CONFIG, layers="8"), "has no layers 8; expected 0 to 7"),
        (ws, replace(CONFIG, layers="hair"), "expected one of all, coarse"),
        (ws[:, :4], CONFIG, r"ws must be \[N, 8, 8\], got \[3, 4, 8\]"),
        (ws[0], CONFIG, r"ws must be \[N, 8, 8\]"),
        (ws, replace(CONFIG, text="red " * 80), "too long"),
        (ws, replace(CONFIG, neutral=""), "the text is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            optimise(g, clip, codes, config)


def test_a_saved_edit_comes_back_whole(g, clip, ws, tmp_path):
    config = replace(CONFIG, neutral="brown hair", layers=(1, 3), steps=2)
    edit = optimise(g, clip, ws, config)
    edit.save(tmp_path / "new" / "red.pt")
    found = TextEdit.load(tmp_path / "new" / "red.pt")
    assert found.config == config and found.history == edit.history and found.stopped == "done"
    assert torch.equal(found.start, ws) and torch.equal(found.end, edit.end)
    assert torch.equal(found.at(-1.5), edit.at(-1.5))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["red.pt"]


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "red.pt"
    files.write(path, {"format": FORMAT, "config": {"text": "x", "gone": 1}, "start": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="damaged or of an older version"):
        TextEdit.load(path)
    for content in ({"start": torch.zeros(1)}, [1], {"format": "stylegan2 directions"}):
        files.write(path, content)
        with pytest.raises(CheckpointError, match="red.pt' is no text edit"):
            TextEdit.load(path)
    path.write_text("no tensors")
    with pytest.raises(CheckpointError, match="a text file"):
        TextEdit.load(path)
    with pytest.raises(CheckpointError, match="there is no file"):
        TextEdit.load(tmp_path / "none.pt")


def test_the_figure_shows_loss_similarity_and_way(edit):
    axes = edit.figure().axes
    assert [axis.get_title() for axis in axes] == ["loss", "cosine of image and text", "distance from the start"]
    for axis, name in zip(axes, ("loss", "similarity", "moved"), strict=True):
        assert list(axis.lines[0].get_ydata()) == [row[name] for row in edit.history]
        assert list(axis.lines[0].get_xdata()) == list(range(12))
