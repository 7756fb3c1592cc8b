"""A style from a sentence, on tiny networks: the direction, the layers, learning and its stop, and `stylize --text`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command import call, invoke, refusal
from PIL import Image
from tiny_clip import keep_words, save_clip, tiny_clip
from tiny_training import tiny_networks

from stylegan2 import checkpoints, runs
from stylegan2.editing import nada
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.nada import DirectionalLoss, Learning, NadaConfig, layer_moves, learn

CONFIG = NadaConfig("webtoon drawing", iterations=6, batch=2, lr=0.01, check_every=3, views=0, least_variety=0.0)


@pytest.fixture(scope="module")
def g():
    g = tiny_networks(16, 6, 1)[0]
    g.mapping.update_mean(100)
    return g.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def clip():
    return tiny_clip()


# ----------------------------------------------------------------------------------------------------------- the loss
def test_the_loss_is_one_minus_the_cosine_of_both_ways(clip):
    loss = DirectionalLoss(clip, CONFIG)
    there = torch.stack([loss.way, -loss.way, torch.zeros_like(loss.way)])
    torch.testing.assert_close(loss.of(there), torch.tensor([0.0, 2.0, 1.0]))
    text, source = (nada.encode_text(clip, words) for words in ("webtoon drawing", "photo"))
    moved = torch.randn(5, len(loss.way), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss.of(moved), 1 - torch.cosine_similarity(moved, text - source))


def test_a_short_way_in_the_right_direction_is_not_enough(clip):
    loss = DirectionalLoss(clip, CONFIG)
    half = loss.of(loss.way * loss.least / 2)
    assert float(half) == pytest.approx(0.5)
    assert float(DirectionalLoss(clip, replace(CONFIG, reach=0.25)).of(loss.way * loss.least / 2)) == pytest.approx(0)


@pytest.mark.parametrize("views", [0, 2])
def test_unchanged_pictures_cost_1_and_have_gradients_within_bounds(clip, g, views):
    """A cosine's own gradient has none where nothing moved yet, and Adam would remember it."""
    images = g.synthesis(ws_from_seeds(g, [1, 2]), "const").detach().requires_grad_()
    loss = DirectionalLoss(clip, replace(CONFIG, views=views))
    each = loss(images, images.detach(), step=3)
    assert each.tolist() == pytest.approx([1, 1])
    (gradient,) = torch.autograd.grad(each.sum(), images)
    assert 0 < float(gradient.norm()) < 100


# --------------------------------------------------------------------------------------------------------- the layers
def test_layers_move_as_the_text_pulls_at_their_codes(clip, g, monkeypatch):
    ws = ws_from_seeds(g, [1, 2, 3])

    def to_text(self, images, step=0):  # only codes 1 and 3 count
        return (images * 0).sum((1, 2, 3)) + 5 * seen[0][:, 1].sum(1) - 3 * seen[0][:, 3].sum(1)

    seen, synthesis = [], g.synthesis.forward
    monkeypatch.setattr(g.synthesis, "forward", lambda ws, noise: seen.append(ws) or synthesis(ws, noise))
    monkeypatch.setattr(DirectionalLoss, "to_text", to_text)
    moves = layer_moves(g, [DirectionalLoss(clip, CONFIG)], ws)
    torch.testing.assert_close(moves, torch.tensor([0.0, 5.0, 0.0, 3.0, 0.0]))


def changed(a, b) -> set[str]:
    """The parts of two synthesis networks that differ."""
    other = dict(b.synthesis.named_parameters())
    return {".".join(n.split(".")[:3]) for n, p in a.synthesis.named_parameters() if not torch.equal(p, other[n])}


def test_only_the_chosen_convolutions_learn(clip, g):
    learning = learn(g, [clip], replace(CONFIG, layers="1,2"), progress=False)
    assert changed(learning.style, g) == {"blocks.8.conv0", "blocks.8.conv1"}
    coloured = learn(g, [clip], replace(CONFIG, layers="1,2", colours=True), progress=False)
    assert changed(coloured.style, learning.style) >= {"blocks.4.to_rgb", "blocks.16.to_rgb"}
    assert not any(p.requires_grad for p in learning.style.parameters())
    assert checkpoints.fingerprint(g) == checkpoints.fingerprint(tiny_source())


def tiny_source():
    g = tiny_networks(16, 6, 1)[0]
    g.mapping.update_mean(100)
    return g


def test_the_share_says_how_many_learn_at_a_time(clip, g):
    learning = Learning(g, [clip], replace(CONFIG, share=0.4))
    rows = list(learning)
    assert [len(row["layers"].split(",")) for row in rows if "layers" in row] == [2, 2]
    with pytest.raises(ValueError, match="0 to 4"):
        Learning(g, [clip], replace(CONFIG, layers="5"))


# -------------------------------------------------------------------------------------------------------- the learning
def test_pictures_move_towards_the_text(clip, g):
    learning = learn(g, [clip], replace(CONFIG, iterations=40, check_every=10), progress=False)
    rows = [row for row in learning.history if "similarity" in row]
    assert [row["step"] for row in learning.history] == list(range(40)) and len(rows) == 4
    assert rows[-1]["similarity"] > rows[0]["similarity"] > 0
    assert learning.best_row is max(rows, key=lambda row: row["similarity"])
    assert learning.measure(learning.best)["similarity"] == pytest.approx(learning.best_row["similarity"])


def test_the_same_seed_gives_the_same_bits(clip, g):
    prints = [
        checkpoints.fingerprint(learn(g, [clip], replace(CONFIG, seed=seed, views=1), progress=False).style)
        for seed in (0, 0, 1)
    ]
    assert prints[0] == prints[1] != prints[2]


def test_it_stops_when_faces_become_alike_and_keeps_the_best_before(clip, g, monkeypatch):
    numbers = iter([(0.3, 0.9), (0.2, 0.9), (0.9, 0.4), (1.0, 1.0)])
    monkeypatch.setattr(
        Learning, "measure", lambda self, g: dict(zip(("similarity", "variety"), next(numbers), strict=True))
    )
    learning = learn(g, [clip], replace(CONFIG, iterations=40, least_variety=0.5), progress=False)
    assert learning.collapsed and len(learning.history) == 9 and learning.best_row["step"] == 2
    whole = Learning(g, [clip], replace(CONFIG, iterations=3))
    monkeypatch.undo()
    list(whole)
    assert checkpoints.fingerprint(whole.style) == checkpoints.fingerprint(learning.best)


def test_faces_that_are_all_the_same_have_no_variety(clip, g):
    learning = Learning(g, [clip], CONFIG)
    assert learning.measure(g) == {"similarity": pytest.approx(0, abs=1e-5), "variety": pytest.approx(1)}
    learning.faces = learning.faces[:1].expand_as(learning.faces)
    assert learning.measure(g)["variety"] == pytest.approx(0, abs=1e-3)


def test_several_clips_are_averaged(clip, g):
    clips = [clip, tiny_clip(1)]
    both, one = (Learning(g, some, CONFIG) for some in (clips, clips[:1]))
    other = Learning(g, clips[1:], CONFIG)
    losses = [next(iter(learning))["loss"] for learning in (both, one, other)]
    assert losses[0] == pytest.approx((losses[1] + losses[2]) / 2)


@pytest.fixture
def stopped_at_4(monkeypatch) -> None:
    """Ctrl-C in the fifth iteration, before its step is taken."""

    def interrupted(self, optimiser, layers, step, call=Learning._learn):
        if step == 4:
            raise KeyboardInterrupt
        return call(self, optimiser, layers, step)

    monkeypatch.setattr(Learning, "_learn", interrupted)


def test_ctrl_c_keeps_what_was_learnt(clip, g, stopped_at_4):
    learning = learn(g, [clip], replace(CONFIG, check_every=100), progress=False)
    whole = learn(g, [clip], replace(CONFIG, iterations=4), progress=False)
    assert len(learning.history) == 4 and learning.best_row["step"] == 3
    assert checkpoints.fingerprint(learning.best) == checkpoints.fingerprint(whole.style)


def test_ctrl_c_within_a_step_leaves_no_gradients_on(clip, g, monkeypatch):
    def interrupted(self, *args):
        raise KeyboardInterrupt

    monkeypatch.setattr(DirectionalLoss, "__call__", interrupted)
    learning = learn(g, [clip], CONFIG, progress=False)
    assert not any(p.requires_grad for p in learning.style.parameters()) and not learning.history


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": " "}, {"text": "photo"}, {"source": ""}, {"iterations": 0}, {"batch": 0}, {"lr": 0.0}, {"views": -1},
        {"share": 0.0}, {"reach": 0.0}, {"least_variety": 1.0}, {"check_every": 0}, {"choose_every": 0}, {"seed": -1},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(wrong):
    name = next(iter(wrong))
    with pytest.raises(ValueError, match="texts are" if name in ("text", "source") else name):
        replace(CONFIG, **wrong)


def test_a_text_without_a_known_word_is_refused(g):
    clip = tiny_clip()
    keep_words(clip, "a webtoon drawing photo")
    with pytest.raises(ValueError, match="'steampunk' says nothing to this CLIP"):
        Learning(g, [clip], replace(CONFIG, text="steampunk"))


# ------------------------------------------------------------------------------------------------------------ the verb
@pytest.fixture(scope="module")
def folder(tmp_path_factory, g) -> Path:
    """model.pt (16 px, without a discriminator), clip.pt, face.png."""
    folder = tmp_path_factory.mktemp("said")
    clip = tiny_clip()
    keep_words(clip, "a webtoon drawing photo")
    save_clip(clip, folder / "clip.pt")
    checkpoints.save(folder / "model.pt", g_ema=g)
    Image.new("RGB", (16, 16), "grey").save(folder / "face.png")
    return folder


def options(folder: Path, out: Path, *more) -> list:
    words = ["--source", folder / "model.pt", "--clip", folder / "clip.pt", "--out", out, "--iterations", 6]
    return [*words, "--batch", 2, "--check-every", 2, "--least-variety", 0, "--lr", 0.01, *more]


def test_a_run_from_a_text_is_a_model_for_other_verbs(folder, tmp_path):
    out = tmp_path / "said"
    said = call("stylize", "--text", "webtoon drawing", "--from", "photo", *options(folder, out))
    assert "similarity" in said and f"cartoonize PHOTO --style {out}" in said
    assert Image.open(out / "sheet.png").height > 2 * 192
    settings = json.loads((out / "config.json").read_text())
    assert settings["text"] == "webtoon drawing" and settings["source_text"] == "photo" and settings["batch"] == 2
    assert settings["source"] == str(folder / "model.pt") and settings["clip"] == [str(folder / "clip.pt")]
    assert [row["step"] for row in settings["history"]] == list(range(6))
    style, source = (checkpoints.load(path, "cpu") for path in (runs.latest(out), folder / "model.pt"))
    assert style.info["origin"] == checkpoints.fingerprint(source.g_ema) != checkpoints.fingerprint(style.g_ema)
    call("generate", out, "--seeds", "0-3", "--out", tmp_path / "faces.png")
    assert "holds a run already" in refusal("stylize", "--text", "webtoon", *options(folder, out))


def test_the_verb_keeps_what_was_learnt_until_ctrl_c(folder, tmp_path, stopped_at_4):
    result = invoke("stylize", "--text", "webtoon", *options(folder, tmp_path), code=130)
    assert "4 of 6 iterations" in result.stderr and runs.latest(tmp_path) is not None


def test_what_cannot_work_is_refused_before_anything_is_written(folder, tmp_path):
    out = tmp_path / "none"
    for words, message in (
        ([], "neither drawings nor --text"),
        ([folder / "face.png", "--text", "webtoon"], "both drawings and --text"),
        (["--text", "steampunk"], "'steampunk' says nothing to this CLIP"),
        (["--text", "webtoon", "--from", "nonsense"], "'nonsense' says nothing to this CLIP"),
        (["--text", ""], "expected two that differ"),
        (["--text", "photo"], "expected two that differ"),
        (["--text", "webtoon", "--layers", "9"], "0 to 4"),
        (["--text", "webtoon", "--iterations", 0], "--iterations"),
        (["--text", "webtoon", "--share", 2], "--share"),
        (["--text", "webtoon", "--strength", 2], "--strength is 2"),
        (["--text", "webtoon", "--clip", folder / "model.pt"], "no CLIP"),
        (["--text", "webtoon", "--clip", folder / "nowhere.pt"], "no CLIP"),
    ):
        assert message in refusal("stylize", *options(folder, out), *words), words
        assert not out.exists(), words
