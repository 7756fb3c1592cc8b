"""FreezeD: exact names, and what is frozen stays while the rest learns."""

import pytest
import torch
from tiny_training import (
    Trainer,
    one_thread,  # noqa: F401  (applies to every test here)
    random_pictures,
    tiny_config,
    tiny_networks,
)

from stylegan2.training.transfer import FreezeD, Method, freeze

FROM_RGB = ["D.from_rgb.bias", "D.from_rgb.weight"]


def block_names(resolution: int) -> list[str]:
    parts = ("conv0.bias", "conv0.weight", "conv1.bias", "conv1.weight", "skip.weight")
    return [f"D.blocks.{resolution}.{part}" for part in parts]


def test_names_are_exact():
    assert freeze([FreezeD(16)], *tiny_networks(16)) == block_names(16) + FROM_RGB
    assert freeze([FreezeD(8)], *tiny_networks(16)) == sorted(block_names(16) + block_names(8) + FROM_RGB)
    assert freeze([FreezeD(32)], *tiny_networks(32)) == block_names(32) + FROM_RGB


def test_exactly_the_named_parameters_lose_their_gradient():
    g, d = tiny_networks(16)
    names = set(freeze([FreezeD(16)], g, d))
    assert {f"D.{name}" for name, p in d.named_parameters() if not p.requires_grad} == names
    assert all(p.requires_grad for p in g.parameters())


def test_methods_compose_and_name_everything_once():
    assert freeze([Method(), FreezeD(16), FreezeD(8), FreezeD(8)], *tiny_networks(16)) == freeze(
        [FreezeD(8)], *tiny_networks(16)
    )
    assert freeze([], *tiny_networks(16)) == []


@pytest.mark.parametrize("wrong", [4, 5, 32])
def test_error_lists_the_resolutions_there_are(wrong):
    with pytest.raises(ValueError, match=rf"FreezeD\({wrong}\).*\[16, 8\]"):
        freeze([FreezeD(wrong)], *tiny_networks(16))


def test_frozen_parameters_stay_bit_for_bit_and_all_others_move(tmp_path):
    config = tiny_config(tmp_path / "run", images=24, augment="none")
    trainer = Trainer(config, random_pictures(resolution=16), *tiny_networks(16), methods=[FreezeD(16)])
    before = parameters(trainer)
    trainer.run(progress=False)
    after = parameters(trainer)
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert still == set(trainer.frozen) == set(block_names(16) + FROM_RGB)


def parameters(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Copies by name, "D.…" and "G.…"."""
    networks = {"D": trainer.d, "G": trainer.g}
    return {
        f"{k}.{name}": p.detach().clone() for k, network in networks.items() for name, p in network.named_parameters()
    }


def test_a_second_trainer_does_not_inherit_what_the_first_one_froze(tmp_path):
    networks = tiny_networks(16)
    config, data = tiny_config(tmp_path), random_pictures(resolution=16)
    assert Trainer(config, data, *networks, methods=[FreezeD(8)]).frozen
    trainer = Trainer(config, data, *networks)
    assert trainer.frozen == [] and len(trainer.d_parameters) == len(list(trainer.d.parameters()))
