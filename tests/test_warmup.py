"""The warm-up of a run from scratch: D sees blurred images, noise waits, both fade out as told."""

import pytest
import torch

from stylegan2 import losses
from stylegan2.config import TrainConfig
from stylegan2.networks import build
from stylegan2.trainer import Trainer


def test_blur_falls_in_a_straight_line_to_nothing():
    config = TrainConfig("run", blur_sigma=2.0, blur_images=1000)
    assert [config.blur_at(n) for n in (0, 500, 1000, 5000)] == [2.0, 1.0, 0.0, 0.0]
    assert TrainConfig("run").blur_at(0) == 0.0
    with pytest.raises(ValueError, match="blur_sigma"):
        TrainConfig("run", blur_sigma=-1.0)


def test_blur_is_a_gaussian():
    point = torch.zeros(1, 3, 33, 33, dtype=torch.float64)
    point[:, :, 16, 16] = 1
    seen = losses.blur(point, 2.0)[0, 0]
    offset = torch.arange(33, dtype=torch.float64) - 16
    assert seen.sum().item() == pytest.approx(1)
    variance = (seen.sum(0) * offset.square()).sum().item()
    assert variance == pytest.approx(4.0, rel=0.05)  # cut off at three sigma
    assert torch.allclose(seen, seen.t()) and torch.allclose(seen, seen.flip(0))


def test_blur_keeps_plain_images_and_does_nothing_at_zero():
    plain = torch.full((2, 3, 16, 16), 0.3)
    assert torch.allclose(losses.blur(plain, 3.0), plain, atol=1e-6)
    assert losses.blur(plain, 0.0) is plain


def test_blur_is_twice_differentiable():
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: losses.blur(x, 0.8).square(), (x,))


def test_noise_waits_until_the_blur_is_gone(tmp_path):
    g, d = build(8, "pocket")
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    config = TrainConfig(tmp_path, images=64, batch=4, blur_sigma=1.0, blur_images=8, augment="none")
    trainer = Trainer(config, images, g, d)
    strengths = [conv.noise_strength for conv in g.synthesis.convs]
    for _ in range(2):
        trainer.train_step(images)
    assert all(s.item() == 0 for s in strengths)
    for _ in range(2):
        trainer.train_step(images)
    assert all(s.item() != 0 for s in strengths)
