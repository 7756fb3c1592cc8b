"""Adaptive augmentation: exact pixels, right geometry and colours, statistics, double backward, control of p."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stylegan2 import augment, image_moves
from stylegan2.augment import TRANSFORMS, AdaptiveP, AugmentParams, AugmentPipe

SIZE = 16


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int = 4, size: int = SIZE, dtype: torch.dtype = torch.float32) -> Tensor:
    return (torch.rand(n, 3, size, size, generator=rng(9), dtype=torch.float64) * 2 - 1).to(dtype)


def forced(n: int = 4, size: int = SIZE, **values: Tensor) -> AugmentParams:
    return replace(AugmentParams.identity(n, size), **values)


def waves(x: Tensor, y: Tensor) -> Tensor:
    """A smooth picture without symmetry, at positions in pixels from the centre; values in [-1, 1]."""
    channels = [torch.sin(0.11 * x + 0.07 * y + phase) * torch.cos(0.05 * x - 0.13 * y) for phase in (0.3, 1.1, 2.0)]
    return torch.stack(channels, -3)


def smooth(n: int, size: int) -> Tensor:
    at = torch.arange(size) - (size - 1) / 2
    return waves(at[None, :], at[:, None]).expand(n, 3, size, size).contiguous()


# ------------------------------------------------------------------------------------------------ pixel blitting


def test_flip_is_exact():
    images = noise()
    out = AugmentPipe().apply(images, forced(flip=torch.tensor([True, False, True, False])))
    assert torch.equal(out[::2], images[::2].flip(3))
    assert torch.equal(out[1::2], images[1::2])


def test_quarter_turns_are_exact():
    images = noise()
    out = AugmentPipe().apply(images, forced(turns=torch.arange(4)))
    for k in range(4):
        assert torch.equal(out[k], torch.rot90(images[k], k, (1, 2)))


def test_turn_follows_flip():
    images = noise()
    out = AugmentPipe().apply(images, forced(turns=torch.arange(4), flip=torch.ones(4, dtype=torch.bool)))
    for k in range(4):
        assert torch.equal(out[k], torch.rot90(images[k].flip(2), k, (1, 2)))


@pytest.mark.parametrize("x, y", [(2, 0), (0, -1), (3, 2), (-2, 1)])
def test_translation_moves_whole_pixels_and_reflects(x, y):
    images, k = noise(1), 4
    out = AugmentPipe().apply(images, forced(1, offset=torch.tensor([[x, y]])))
    padded = torch.nn.functional.pad(images, (k, k, k, k), mode="reflect")
    rolled = padded.roll((y, x), dims=(2, 3))
    assert torch.equal(out, rolled[:, :, k:-k, k:-k])
    assert not torch.equal(out, images)


def test_translations_are_pixels_of_both_signs_and_independent_in_x_and_y():
    offset = AugmentPipe(["translate"]).sample(4000, 64, 64, 1.0, rng()).offset
    assert offset.abs().max() == 8  # an eighth of 64 pixels
    assert offset.unique().tolist() == list(range(-8, 9))
    assert abs(torch.corrcoef(offset.T.float())[0, 1]) < 0.06


def test_all_four_quarter_turns_are_drawn():
    turns = AugmentPipe("b").sample(4000, 64, 64, 1.0, rng()).turns
    assert (turns.bincount(minlength=4) / 4000 - 0.25).abs().max() < 0.03


# ------------------------------------------------------------------------------------------------ general geometry


def test_filter_is_orthogonal():
    taps = torch.tensor(image_moves.SYM6, dtype=torch.float64)
    assert taps.sum() == pytest.approx(math.sqrt(2), abs=1e-9)
    for shift in range(0, 12, 2):
        assert taps[shift:] @ taps[: 12 - shift] == pytest.approx(float(shift == 0), abs=1e-9)


@pytest.mark.parametrize("size", [8, 16, 25])
def test_resampling_there_and_back_loses_nothing_inside(size):
    up, down = image_moves.resampling(size, torch.float64, torch.device("cpu"))
    first = math.floor(image_moves.FILTER_CENTRE)
    back = down[:, first : first + 2 * size] @ up  # the filters, without a warp in between
    inner = slice(3, -3)
    assert torch.allclose(back[inner], torch.eye(size, dtype=torch.float64)[inner], atol=1e-9)
    assert torch.allclose(up.sum(1), torch.ones(2 * size, dtype=torch.float64), atol=1e-9)


def test_warp_by_whole_pixels_is_a_translation():
    images = noise(1, 32)
    warp = augment._translate2d(torch.tensor([3.0]), torch.tensor([-2.0]))
    out = AugmentPipe().apply(images, forced(1, 32, warp=warp))
    expected = images.roll((-2, 3), dims=(2, 3))
    assert torch.allclose(out[..., 6:-6, 6:-6], expected[..., 6:-6, 6:-6], atol=1e-4)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_warp_turns_the_same_way_as_quarter_turns(angle):
    images = smooth(1, 32)
    out = AugmentPipe().apply(images, forced(1, 32, warp=augment._rotate2d(torch.tensor([math.radians(angle)]))))
    error = (out - torch.rot90(images, angle // 90, (2, 3))).abs()
    assert error[..., 2:-2, 2:-2].max() < 0.01
    assert error.max() < 0.03  # the filter is not quite symmetric, the reflection is


def test_warp_puts_every_point_where_the_matrix_says():
    size = 48
    params = AugmentPipe(["scale", "rotate", "stretch", "shift"]).sample(6, size, size, 1.0, rng(3))
    out = AugmentPipe().apply(smooth(6, size), params)
    at, half = torch.arange(size) - (size - 1) / 2, (size - 1) / 2
    target = torch.stack([at[None].expand(size, size), at[:, None].expand(size, size), torch.ones(size, size)])
    source = torch.linalg.inv(params.warp) @ target.flatten(1)  # [6, 3, size * size]
    x, y = source[:, 0].unflatten(1, (size, size)), source[:, 1].unflatten(1, (size, size))
    inside = ((x.abs() < half - 4) & (y.abs() < half - 4))[:, None].expand_as(out)
    assert inside.float().mean() > 0.3
    assert (out - waves(x, y))[inside].abs().max() < 0.01


def test_warp_reflects_at_borders_like_padding():
    size, k = 32, 10
    images = smooth(1, size)
    out = AugmentPipe().apply(images, forced(1, size, warp=augment._translate2d(torch.tensor([10.0]), torch.zeros(1))))
    padded = torch.nn.functional.pad(images, (k, 0, 0, 0), mode="reflect")[..., :size]
    assert torch.allclose(out[..., :-4], padded[..., :-4], atol=0.05)


def test_nothing_is_black_however_far_the_image_moves():
    images = torch.full((2, 3, 16, 16), 0.7)
    warp = augment._translate2d(torch.tensor([100.0, -37.5]), torch.tensor([3.3, 55.0]))
    out = AugmentPipe().apply(images, forced(2, 16, warp=warp))
    assert torch.allclose(out, images, atol=1e-5)


def test_translation_under_a_warp_is_not_lost():
    params = forced(1, 32, warp=augment._rotate2d(torch.tensor([0.4])), offset=torch.tensor([[4, -3]]))
    moved = augment._translate2d(torch.tensor([4.0]), torch.tensor([-3.0]))
    images, pipe = noise(1, 32), AugmentPipe()
    together = forced(1, 32, warp=augment._rotate2d(torch.tensor([0.4])) @ moved)
    assert torch.allclose(pipe.apply(images, params), pipe.apply(images, together), atol=1e-5)


# ------------------------------------------------------------------------------------------------ colour


def recolour(images: Tensor, matrix: Tensor) -> Tensor:
    return AugmentPipe().apply(images, forced(len(images), colour=matrix.expand(len(images), 4, 4)[:, :3]))


def test_brightness_adds_and_contrast_scales():
    images = noise()
    assert torch.allclose(recolour(images, augment._shift4d(torch.tensor([0.25]))), images + 0.25, atol=1e-6)
    assert torch.allclose(recolour(images, augment._scale4d(torch.tensor([1.5]))), images * 1.5, atol=1e-6)


def test_luma_flip_turns_the_mean_round_and_keeps_the_colour():
    images = noise()
    out = recolour(images, augment._luma_flip4d(torch.ones(1)))
    mean, new_mean = images.mean(1, keepdim=True), out.mean(1, keepdim=True)
    assert torch.allclose(new_mean, -mean, atol=1e-6)
    assert torch.allclose(out - new_mean, images - mean, atol=1e-6)


def test_hue_keeps_luma_and_a_third_of_a_turn_permutes_the_channels():
    images = noise()
    out = recolour(images, augment._hue4d(torch.tensor([0.7])))
    assert torch.allclose(out.mean(1), images.mean(1), atol=1e-6)
    assert (out - images).abs().max() > 0.1
    third = augment._hue4d(torch.tensor([2 * math.pi / 3]))
    once = recolour(images, third)
    assert torch.allclose(once, images.roll(1, dims=1), atol=1e-6)
    assert torch.allclose(recolour(recolour(once, third), third), images, atol=1e-5)


def test_saturation_zero_gives_grey_and_two_doubles_the_colour():
    images = noise()
    mean = images.mean(1, keepdim=True)
    assert torch.allclose(recolour(images, augment._saturation4d(torch.zeros(1))), mean.expand_as(images), atol=1e-6)
    doubled = recolour(images, augment._saturation4d(torch.full((1,), 2.0)))
    assert torch.allclose(doubled - mean, 2 * (images - mean), atol=1e-5)


# ------------------------------------------------------------------------------------------------ draws


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_every_transform_is_drawn_with_its_probability(p):
    n = 4000
    neutral = {"flip": 0.5, "luma_flip": 0.5, "rotate90": 0.25}  # chance that a drawn transform changes nothing
    for name in TRANSFORMS:
        params = AugmentPipe([name]).sample(n, 64, 64, p, rng(1))
        hit = params.blitted | params.warped | params.coloured
        chance = p * (1 - neutral.get(name, 1 / 17**2 if name == "translate" else 0))
        assert hit.float().mean().item() == pytest.approx(chance, abs=0.03), name


def test_strengths_are_those_of_the_paper():
    n = 4000

    def drawn(name: str) -> AugmentParams:
        return AugmentPipe([name]).sample(n, 64, 64, 1.0, rng(2))

    def spread(values: Tensor) -> float:
        return values.std().item()

    shift, stretch = drawn("shift").warp[:, :2, 2], drawn("stretch").warp
    assert spread(drawn("scale").warp[:, 0, 0].log2()) == pytest.approx(0.2, rel=0.05)
    assert spread(stretch[:, 0, 0].log2()) == pytest.approx(0.2, rel=0.05)
    assert torch.allclose(stretch[:, 0, 0] * stretch[:, 1, 1], torch.ones(n), atol=1e-5)
    assert spread(shift[:, 0]) == pytest.approx(8, rel=0.05)
    assert abs(torch.corrcoef(shift.T)[0, 1]) < 0.06
    assert spread(drawn("brightness").colour[:, 0, 3]) == pytest.approx(0.2, rel=0.05)
    assert spread(drawn("contrast").colour[:, 0, 0].log2()) == pytest.approx(0.5, rel=0.05)
    cosine = (drawn("hue").colour[:, :, :3].diagonal(dim1=1, dim2=2).sum(1) - 1) / 2  # uniform angle
    assert (cosine < 0).float().mean() == pytest.approx(0.5, abs=0.03)
    saturation = (drawn("saturation").colour[:, 0, 0] - 1 / 3) * 1.5
    assert spread(saturation.log2()) == pytest.approx(1, rel=0.05)


def test_zero_probability_returns_the_images_themselves():
    images = noise()
    assert AugmentPipe()(images, 0, rng()) is images
    assert AugmentPipe("none")(images, 1.0, rng()) is images


def test_random_numbers_come_from_the_generator_alone():
    images, pipe = noise(), AugmentPipe()
    first = pipe(images, 0.7, rng(5))
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert torch.equal(pipe(images, torch.tensor(0.7), rng(5)), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(pipe(images, 0.7, rng(6)), first)


def test_neither_p_nor_the_configuration_changes_how_much_is_drawn():
    states = []
    for config, p in (("bgc", 0.0), ("bgc", 0.5), ("none", 1.0), ("b", 1.0)):
        generator = rng(4)
        AugmentPipe(config).sample(7, 64, 64, p, generator)
        states.append(generator.get_state())
    assert all(torch.equal(states[0], state) for state in states)


def test_a_larger_p_adds_to_the_transforms_of_a_smaller_one():
    low, high = (AugmentPipe("b").sample(500, 64, 64, p, rng(8)) for p in (0.3, 0.6))
    hit = low.turns != 0
    assert hit.any() and torch.equal(high.turns[hit], low.turns[hit])
    assert (high.turns != 0).sum() > hit.sum()


def test_one_sample_serves_several_batches():
    pipe = AugmentPipe()
    params = pipe.sample(4, SIZE, SIZE, 0.9, rng(1))
    images = noise()
    assert torch.equal(pipe.apply(images, params), pipe(images, 0.9, rng(1)))
    linear = pipe.apply(2 * images, params) - 2 * pipe.apply(images, params) + pipe.apply(0 * images, params)
    assert linear.abs().max() < 1e-4  # the same affine map for every batch


# ------------------------------------------------------------------------------------------------ gradients, types


@pytest.mark.parametrize("preset", ["b", "bg", "bgc"])
def test_twice_differentiable(preset):
    pipe = AugmentPipe(preset)
    params = pipe.sample(3, 8, 8, 0.8, rng(2))
    assert (params.warped.any(), params.blitted.any()) == (preset != "b", True)
    images = noise(3, 8, torch.float64).requires_grad_()

    def function(x: Tensor) -> Tensor:
        return pipe.apply(x, params).sin()

    assert torch.autograd.gradcheck(function, (images,), fast_mode=True)
    assert torch.autograd.gradgradcheck(function, (images,), fast_mode=True)


def test_lookup_is_twice_differentiable_in_every_entry():
    grid = torch.rand(1, 4, 5, 2, generator=rng(), dtype=torch.float64) * 2 - 1
    image = torch.randn(1, 2, 4, 4, generator=rng(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: image_moves.Sample.apply(x, grid), (image,))


def test_r1_through_the_pipe_reaches_the_discriminator():
    conv = torch.nn.Conv2d(3, 4, 3)
    images = noise().requires_grad_()
    logits = torch.nn.functional.softplus(conv(AugmentPipe()(images, 0.9, rng()))).mean((1, 2, 3))
    (grad,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    grad.square().sum().backward()
    assert conv.weight.grad.abs().sum() > 0


def test_types_are_kept_and_low_precision_is_computed_in_float32():
    pipe, images = AugmentPipe(), noise()
    exact = pipe(images.double(), 0.9, rng())
    assert exact.dtype == torch.float64
    assert torch.allclose(pipe(images, 0.9, rng()).double(), exact, atol=2e-3)
    low = pipe(images.bfloat16(), 0.9, rng())
    assert low.dtype == torch.bfloat16
    assert (low.double() - pipe(images.bfloat16().double(), 0.9, rng())).abs().max() < 0.05
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(pipe(images, 0.9, rng()), pipe(images, 0.9, rng()).float())
        assert torch.allclose(pipe(images, 0.9, rng()).double(), exact, atol=2e-3)


def test_memory_format_does_not_matter():
    images, pipe = noise(), AugmentPipe()
    other = images.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(pipe(other, 0.9, rng()), pipe(images, 0.9, rng()), atol=1e-5)


def test_training_works_after_a_preview_in_inference_mode():
    image_moves.resampling.cache_clear()
    with torch.inference_mode():
        AugmentPipe()(noise(), 1.0, rng())
    images = noise().requires_grad_()
    AugmentPipe()(images, 1.0, rng()).sum().backward()
    assert images.grad.isfinite().all()


def test_pipe_has_no_state_to_save():
    assert not AugmentPipe().state_dict()


# ------------------------------------------------------------------------------------------------ configuration, errors


def test_presets_switch_on_their_groups():
    assert AugmentPipe("none").enabled == ()
    assert AugmentPipe("b").enabled == ("flip", "rotate90", "translate")
    assert AugmentPipe("bgc").enabled == AugmentPipe().enabled == tuple(TRANSFORMS)
    assert AugmentPipe(["hue"]).enabled == ("hue",)


def test_errors_name_what_was_given_and_what_is_right():
    pipe = AugmentPipe()
    with pytest.raises(ValueError, match="'xyz', expected one of none, b, bg, bgc"):
        AugmentPipe("xyz")
    with pytest.raises(ValueError, match="unknown augmentation zoom; there are flip"):
        AugmentPipe(["zoom"])
    with pytest.raises(ValueError, match=r"p is 1\.5"):
        pipe(noise(), 1.5, rng())
    with pytest.raises(ValueError, match="16x8, expected square"):
        pipe(noise()[..., :8], 0.5, rng())
    with pytest.raises(ValueError, match=r"expected floats of shape \(2, 3, 16, 16\)"):
        pipe.apply(noise(), AugmentParams.identity(2, SIZE))
    with pytest.raises(ValueError, match="torch.uint8"):
        pipe(noise().byte(), 0.5, rng())


# ------------------------------------------------------------------------------------------------ control of p


def run(controller: AdaptiveP, positive: int, iterations: int, batch: int = 10) -> AdaptiveP:
    """Iterations in which D calls `positive` of the images of each batch real."""
    logits = torch.where(torch.arange(batch) < positive, 2.5, -0.5)[:, None]
    for _ in range(iterations):
        controller.observe(logits)
        controller.step()
    return controller


def test_p_rises_when_d_is_too_sure_and_falls_when_not():
    controller = run(AdaptiveP(length_images=1000), positive=10, iterations=8)
    assert controller.p == pytest.approx(2 * 10 * 4 / 1000)  # two moves of 40 images
    assert controller.r_t == 1
    run(controller, positive=5, iterations=4)
    assert controller.p == pytest.approx(0.04)
    assert controller.r_t == 0


def test_p_rests_on_the_target_and_moves_only_at_the_interval():
    assert run(AdaptiveP(p=0.5, length_images=100), positive=8, iterations=8).p == 0.5  # r_t = 0.6
    assert run(AdaptiveP(p=0.5, length_images=100), positive=10, iterations=3).p == 0.5


def test_p_stays_in_range():
    assert run(AdaptiveP(length_images=100), positive=10, iterations=40).p == 1
    assert run(AdaptiveP(p=0.3, length_images=100), positive=0, iterations=40).p == 0


def test_length_is_the_number_of_images_from_0_to_1():
    controller = AdaptiveP(length_images=2000)
    assert run(controller, positive=10, iterations=196).p < 1
    assert run(controller, positive=10, iterations=4).p == pytest.approx(1)


def test_fixed_p_stays_but_is_measured():
    controller = run(AdaptiveP(p=0.4, fixed=True, length_images=100), positive=10, iterations=20)
    assert (controller.p, controller.r_t) == (0.4, 1)


def test_resumed_controller_goes_on_exactly():
    whole = run(run(AdaptiveP(length_images=777), 10, 6), 9, 5)
    half = run(AdaptiveP(length_images=777), 10, 6)  # stopped within an interval
    resumed = AdaptiveP(length_images=777)
    resumed.load_state_dict(half.state_dict())
    assert run(resumed, 9, 5).state_dict() == whole.state_dict()
    assert whole.p > 0
