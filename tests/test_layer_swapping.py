"""Layer swapping: both ways to swap agree, everything of a block goes with it, and the verb `swap`."""

from __future__ import annotations

import copy
import re
from functools import partial
from pathlib import Path

import command
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import tiny_networks

from stylegan2 import checkpoints, display, ops
from stylegan2.editing import latents
from stylegan2.editing.layer_swapping import cuts, strip, swap, swap_images, target_share
from stylegan2.networks import Generator, SharedMapping

SIZES = [4, 8, 16, 32]
POCKET = Path(__file__).parents[1] / "checkpoints" / "pocket"
PHOTO, WEBTOON = POCKET / "photo.pt", POCKET / "webtoon_baseline.pt"


def generator(seed: int, resolution: int = 32, width: int = 6) -> Generator:
    """A tiny generator that no longer has the zeros of a new one: biases and noise strengths are random too."""
    g = tiny_networks(resolution, width, seed)[0].eval().requires_grad_(False)
    rng = torch.Generator().manual_seed(seed)
    for name, tensor in g.state_dict().items():
        if name.endswith(("bias", "noise_strength", "w_mean")):
            tensor.add_(0.3 * torch.randn(tensor.shape, generator=rng))
    return g


@pytest.fixture(scope="module")
def pair() -> tuple[Generator, Generator]:
    """Source and target."""
    return generator(1), generator(2)


def codes(g: Generator, count: int = 3) -> torch.Tensor:
    return latents.ws_from_seeds(g, range(count))


def blocks(g: Generator, resolution: int) -> dict[str, torch.Tensor]:
    return g.synthesis.blocks[str(resolution)].state_dict()


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


# ----------------------------------------------------------------------------------------------------- share of target


def test_cuts_are_the_resolutions():
    assert cuts(64) == [4, 8, 16, 32, 64]


def test_a_hard_cut_begins_at_the_swap_resolution():
    assert target_share(SIZES, 16) == {4: 0, 8: 0, 16: 1, 32: 1}
    assert target_share(SIZES, 4) == {4: 1, 8: 1, 16: 1, 32: 1}


def test_a_soft_cut_is_the_logistic_function_of_the_octaves():
    share = target_share(SIZES, 16, width=1)
    expected = [1 / (1 + 2.718281828459045**-x) for x in (-1.5, -0.5, 0.5, 1.5)]
    assert list(share.values()) == pytest.approx(expected, abs=1e-12)
    assert share[8] + share[16] == pytest.approx(1)  # the cut lies halfway between the two
    assert target_share(SIZES, 16, width=0.5)[16] == pytest.approx(0.731, abs=1e-3)


def test_soft_cuts_tend_to_the_hard_one_and_to_the_average():
    for cut in SIZES:
        for width in (1e-9, 1e-3, 0.01):
            assert target_share(SIZES, cut, width) == pytest.approx(target_share(SIZES, cut), abs=1e-12)
        assert target_share(SIZES, cut, 1e6) == pytest.approx(dict.fromkeys(SIZES, 0.5), abs=1e-5)


# --------------------------------------------------------------------------------------------------------- both ways


@pytest.mark.parametrize("cut", SIZES)
def test_a_new_generator_and_two_that_take_turns_draw_the_same(pair, cut):
    source, target = pair
    ws = codes(source)
    images = swap_images(*pair, ws, cut)
    close(images, swap(*pair, cut).synthesis(ws, "const"))
    assert cut == 4 or (images - target.synthesis(ws, "const")).abs().max() > 0.1
    assert (images - source.synthesis(ws, "const")).abs().max() > 0.1


def test_fixed_noise_is_that_of_the_model_that_draws(pair):
    """With the other model's noise images the picture would be another one: the test above can tell."""
    ws, other = codes(pair[0]), copy.deepcopy(pair[1])
    for mine, its in zip(other.synthesis.convs, pair[0].synthesis.convs, strict=True):
        mine.noise_const.copy_(its.noise_const)
    assert (swap_images(*pair, ws, 16) - swap_images(pair[0], other, ws, 16)).abs().max() > 0.01


@pytest.mark.parametrize("cut", SIZES)
def test_a_network_swapped_with_itself_is_itself(pair, cut):
    source, ws = pair[0], codes(pair[0])
    itself = source.synthesis(ws, "const")
    assert torch.equal(swap_images(source, source, ws, cut), itself)
    for width in (0, 0.3, 2):
        swapped = swap(source, source, cut, width)
        assert equal(swapped.state_dict(), source.state_dict())
        assert torch.equal(swapped.synthesis(ws, "const"), itself)


def without_colours(g: Generator) -> Generator:
    """A copy whose blocks add no colours of their own."""
    g = copy.deepcopy(g)
    for block in g.synthesis.blocks.values():
        block.to_rgb.weight.zero_()
        block.to_rgb.bias.zero_()
    return g


@pytest.mark.parametrize("cut", [8, 16, 32])
def test_the_colours_so_far_are_handed_over_too(pair, cut):
    """Bug 14 of the original: with features alone, a target that adds no colours would leave the image black."""
    source, target = pair[0], without_colours(pair[1])
    ws = codes(source)
    rgb = source.synthesis(ws, "const", return_rgbs=True)[1][cut // 2]
    while rgb.shape[-1] < 32:
        rgb = ops.upsample2d(rgb)
    close(swap_images(source, target, ws, cut), rgb)
    close(swap(source, target, cut).synthesis(ws, "const"), rgb)
    assert rgb.abs().max() > 0.1


@pytest.mark.parametrize("cut", SIZES)
def test_below_the_cut_nothing_depends_on_the_target(pair, cut):
    ws = codes(pair[0])
    ours = pair[0].synthesis(ws, "const", return_rgbs=True)[1]
    swapped = swap(*pair, cut).synthesis(ws, "const", return_rgbs=True)[1]
    assert [r for r in SIZES if torch.equal(ours[r], swapped[r])] == [r for r in SIZES if r < cut]


def test_the_target_may_draw_with_codes_of_its_own(pair):
    source, target = pair
    ws, theirs = codes(source), codes(target)
    close(swap_images(*pair, ws, 4, target_ws=theirs), target.synthesis(theirs, "const"))
    images = swap_images(*pair, ws, 16, target_ws=theirs)
    *_, below = (stage for stage in source.synthesis.stages(ws, "const") if stage.resolution < 16)
    *_, last = target.synthesis.stages(theirs, "const", after=below)
    close(images, last.rgb)
    assert (images - swap_images(*pair, ws, 16)).abs().max() > 0.01


def test_models_may_compute_in_different_types(pair):
    source, target = (copy.deepcopy(g) for g in pair)
    ws, exact = codes(source), swap_images(*pair, codes(pair[0]), 16)
    source.synthesis.compute_dtype = torch.bfloat16
    for a, b in ((source, target), (target, source)):
        images = swap_images(a, b, ws, 16)
        assert images.dtype == torch.float32 and images.isfinite().all()
    close(swap_images(source, target, ws, 16), exact, 0.15)
    assert swap(source, target, 16).synthesis.compute_dtype == torch.float32
    assert swap(source, source, 16).synthesis.compute_dtype == torch.bfloat16


def test_models_with_other_bounds_of_their_activations_are_refused():
    free, bounded = (Generator(8, 8, 8, 1, {4: 4, 8: 4}, clamp) for clamp in (None, 256))
    with pytest.raises(ValueError, match="do not fit each other: clamp None and 256.0"):
        swap(free, bounded, 8)
    assert swap(bounded, bounded, 8).synthesis.clamp == 256


# ---------------------------------------------------------------------------------------------------- the new generator


@pytest.mark.parametrize("cut", SIZES)
def test_whole_blocks_change_over_at_the_cut(pair, cut):
    for source, target in (pair, pair[::-1]):
        swapped = swap(source, target, cut)
        for r in SIZES:
            assert equal(blocks(swapped, r), blocks(target if r >= cut else source, r)), r


def test_a_soft_swap_blends_every_tensor_of_a_block(pair):
    swapped = swap(*pair, 8, width=0.7)
    for r, share in target_share(SIZES, 8, 0.7).items():
        source, target = blocks(pair[0], r), blocks(pair[1], r)
        for name, tensor in blocks(swapped, r).items():
            close(tensor, (1 - share) * source[name] + share * target[name], 1e-6)
    assert {"const", "conv1.noise_const", "conv1.noise_strength"} < blocks(swapped, 4).keys()


def test_strength_goes_from_the_source_to_the_swap(pair):
    source, target = pair
    ends = [swap(source, target, 8, strength=s) for s in (0.0, 1.0)]
    assert equal(ends[0].state_dict(), source.state_dict())
    assert equal(ends[1].state_dict(), swap(source, target, 8).state_dict())
    half = swap(source, target, 8, strength=0.5)
    assert equal(blocks(half, 4), blocks(source, 4))
    for name, value in blocks(half, 16).items():
        mean = (blocks(source, 16)[name] + blocks(target, 16)[name]) / 2
        torch.testing.assert_close(value, mean, rtol=0, atol=1e-6)
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="strength is .* expected 0"):
            swap(source, target, 8, strength=wrong)


def test_the_smallest_widths_are_a_hard_swap(pair):
    assert equal(swap(*pair, 16, width=1e-3).state_dict(), swap(*pair, 16).state_dict())


def test_the_mapping_is_the_sources_unless_wanted_otherwise(pair):
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    source, target = (g.mapping(z, truncation=0.5) for g in pair)
    assert torch.equal(swap(*pair, 16).mapping(z, truncation=0.5), source)
    assert torch.equal(swap(*pair, 16, mapping="target").mapping(z, truncation=0.5), target)


def test_the_models_stay_as_they_were_and_share_nothing_with_the_new_one():
    pair = tiny_networks(32, 6, 1)[0], tiny_networks(32, 6, 2)[0]
    before = [{name: tensor.clone() for name, tensor in g.state_dict().items()} for g in pair]
    swapped = swap(*pair, 16, width=0.5)
    assert not swapped.training and not any(p.requires_grad for p in swapped.parameters())
    for tensor in swapped.state_dict().values():
        tensor.fill_(9)
    assert equal(pair[0].state_dict(), before[0]) and equal(pair[1].state_dict(), before[1])
    assert all(g.training and all(p.requires_grad for p in g.parameters()) for g in pair)


def test_a_saved_one_draws_the_same_images(pair, tmp_path):
    swapped, ws = swap(*pair, 16, width=0.4), codes(pair[0])
    checkpoints.save(tmp_path / "swapped.pt", g_ema=swapped)
    loaded = checkpoints.load(tmp_path / "swapped.pt").g_ema
    assert torch.equal(codes(loaded), ws)
    assert torch.equal(loaded.synthesis(ws, "const"), swapped.synthesis(ws, "const"))


def test_a_shared_mapping_comes_along(pair, tmp_path):
    source, target = pair[0], copy.deepcopy(pair[1])
    target.mapping = SharedMapping(target.mapping, source.mapping, k=3)
    swapped = swap(source, target, 16, mapping="target")
    checkpoints.save(tmp_path / "shared.pt", g_ema=swapped)
    ws = codes(target)
    for g in (swapped, checkpoints.load(tmp_path / "shared.pt").g_ema):
        assert isinstance(g.mapping, SharedMapping) and torch.equal(codes(g), ws)
        close(g.synthesis(ws, "const"), swap_images(source, target, ws, 16))
    assert swap(target, source, 16).mapping.k == 3
    assert type(swap(source, target, 16).mapping) is type(source.mapping)


# ------------------------------------------------------------------------------------------------------------- strip


def test_the_strips_rows_are_the_single_calls(pair):
    source, target = pair
    ws = codes(source)
    rows = strip(*pair, ws)
    assert list(rows) == ["source", "from 32", "from 16", "from 8", "target"]
    assert torch.equal(rows["source"], source.synthesis(ws, "const"))
    assert torch.equal(rows["target"], target.synthesis(ws, "const"))
    for cut in (8, 16, 32):
        assert torch.equal(rows[f"from {cut}"], swap_images(*pair, ws, cut))
    assert display.rows(rows).height == 5 * 32 + 4 * 2
    assert list(strip(*pair, ws, ("photo", "webtoon"))) == ["photo", "from 32", "from 16", "from 8", "webtoon"]


def test_the_strip_draws_no_block_twice_from_the_same_features(pair):
    source, target = (copy.deepcopy(g) for g in pair)
    drawn = {"source": [], "target": []}
    for name, g in (("source", source), ("target", target)):
        for block in g.synthesis.blocks.values():
            block.register_forward_hook(lambda block, *_, name=name: drawn[name].append(block.resolution))
    strip(source, target, codes(source))
    assert drawn["source"] == SIZES
    assert sorted(drawn["target"]) == [4, 8, 8, 16, 16, 16, 32, 32, 32, 32]


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize("wrong", [0, 2, 12, 64, "16"])
def test_unknown_cuts_are_refused_with_a_list(pair, wrong):
    message = rf"swap_resolution is {wrong}, expected one of \[4, 8, 16, 32\]"
    with pytest.raises(ValueError, match=message):
        swap(*pair, wrong)
    with pytest.raises(ValueError, match=message):
        swap_images(*pair, codes(pair[0]), wrong)


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf")])
def test_impossible_widths_are_refused(pair, wrong):
    with pytest.raises(ValueError, match=rf"width is {wrong}, expected 0"):
        swap(*pair, 16, width=wrong)


def test_models_of_other_sizes_are_refused(pair):
    ws = codes(pair[0])
    small, wide = generator(3, resolution=16), generator(3, width=8)
    for other, message in ((small, "resolution 32 and 16; channels"), (wide, r"channels \{4: 6, .*\{4: 8")):
        for call in (lambda g: swap(pair[0], g, 16), lambda g: swap_images(pair[0], g, ws, 16)):
            with pytest.raises(ValueError, match=message):
                call(other)
    with pytest.raises(ValueError, match="channels"):
        strip(pair[0], wide, ws)


def test_other_mistakes_are_refused(pair):
    ws = codes(pair[0])
    with pytest.raises(ValueError, match=r"ws must be \[N, 8, 8\], got \[3, 7, 8\]"):
        strip(*pair, ws[:, :7])


# ---------------------------------------------------------------------------------------------------------- the verb


call = partial(command.call, "swap")


def shipped() -> list[Generator]:
    return [checkpoints.load(path, g_ema_only=True).g_ema for path in (PHOTO, WEBTOON)]


def test_the_verb_writes_a_generator(tmp_path):
    out = tmp_path / "swapped.pt"
    text = call(PHOTO, WEBTOON, "--out", out, "--resolution", 32, "--width", 0.5)
    assert f"{PHOTO} below 32 px, {WEBTOON} from there on" in text
    found, expected = checkpoints.load(out), swap(*shipped(), 32, 0.5)
    assert equal(found.g_ema.state_dict(), expected.state_dict())
    assert found.info["swapped"] == {
        "source": str(PHOTO), "target": str(WEBTOON), "resolution": 32, "width": 0.5, "mapping": "source",
    }  # fmt: skip
    assert found.d is None and found.g is None


SIDE = 128  # pixels of a face in the verb's pictures


def rows_of(path: Path, count: int) -> list[torch.Tensor]:
    """A picture's rows of `count` faces without their labels, float [3, SIDE, W] in 0..255."""
    picture = Image.open(path).convert("RGB")
    width = count * (SIDE + 2) - 2
    pixels = torch.tensor(np.array(picture)[:, -width:]).permute(2, 0, 1).float()
    return [pixels[:, top : top + SIDE] for top in range(0, picture.height, SIDE + 2)]


def shown(image: torch.Tensor) -> torch.Tensor:
    """A pocket image as the picture has it, float [3, SIDE, SIDE] in 0..255."""
    return torch.tensor(np.array(display.to_pil(image, side=SIDE))).permute(2, 0, 1).float()


def test_the_verb_draws_source_swapped_and_target(tmp_path):
    out, options = tmp_path / "faces.png", ["--seeds", "3,5", "--truncation", 0.8]
    assert "2 faces in" in call(PHOTO, WEBTOON, "--out", out, *options)
    pair = shipped()
    ws = latents.ws_from_seeds(pair[0], [3, 5], 0.8)
    for row, g in zip(rows_of(out, 2), (pair[0], swap(*pair, 16), pair[1]), strict=True):
        first, second = map(shown, latents.render(g, ws))
        assert (row[..., :SIDE] - first).abs().max() <= 1 and (row[..., SIDE + 2 :] - second).abs().max() <= 1


def test_the_verb_draws_all_cuts(tmp_path):
    out = tmp_path / "cuts.png"
    call(PHOTO, WEBTOON, "--out", out, "--strip", "--seeds", 5)
    photo, webtoon = shipped()
    rows = strip(photo, webtoon, latents.ws_from_seeds(photo, [5], 0.7))
    for row, images in zip(rows_of(out, 1), rows.values(), strict=True):
        assert (row - shown(images[0])).abs().max() <= 1


def test_the_verb_refuses(tmp_path):
    g, small = tmp_path / "g.pt", tmp_path / "small.pt"
    checkpoints.save(g, g_ema=generator(1))
    checkpoints.save(small, g_ema=generator(1, resolution=16))
    out = tmp_path / "out.pt"
    for words, message in (
        ((g, g, "--out", out, "--resolution", 64), r"swap_resolution is 64, expected one of \[4, 8, 16, 32\]"),
        ((g, g, "--out", out, "--width", -1), "width is -1.0, expected 0"),
        ((g, small, "--out", out), "do not fit each other: resolution 32 and 16"),
        ((g, g, "--out", tmp_path / "out"), "--out must end in one of .pt, .png"),
        ((g, g, "--out", out, "--strip"), "--strip renders all hard cuts"),
        ((g, g, "--out", tmp_path / "a.png", "--strip", "--width", 1), "--strip renders all hard cuts"),
        ((g, g, "--out", tmp_path / "a.png", "--seeds", "x"), "seeds 'x': expected"),
        ((g, tmp_path / "none.pt", "--out", out), "there is no file"),
    ):
        said = call(*words, code=2)
        assert said.startswith("error: ") and re.search(message, said), said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.pt", "small.pt"]
