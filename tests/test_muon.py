"""Muon: orthogonal steps for matrices, Adam's for the rest."""

import copy

import pytest
import torch
from torch import nn

from stylegan2.pocket.nets.muon import Muon, orthogonal, split

LR = 0.01


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.Flatten(), nn.Linear(16, 4))


def optimiser(network: nn.Module) -> Muon:
    return Muon(split(network, lambda name, p: p.ndim > 1), LR)


def step(network: nn.Module, muon: Muon, seed: int) -> None:
    x = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    network(x).square().mean().backward()
    muon.step()
    muon.zero_grad()


@pytest.mark.parametrize("shape", [(8, 64), (64, 8), (16, 27)])
def test_all_directions_of_an_orthogonal_matrix_are_about_equally_long(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.min() > 0.5 and values.max() < 1.3
    assert torch.linalg.svdvals(matrix).max() / torch.linalg.svdvals(matrix).min() > 1.5  # it was not so before


def test_parameters_are_in_one_of_two_groups(network):
    matrices, rest = split(network, lambda name, p: p.ndim > 1)
    assert matrices["orthogonal"] and not rest["orthogonal"]
    assert [p.ndim for p in matrices["params"]] == [4, 2] and [p.ndim for p in rest["params"]] == [1, 1]


def test_both_kinds_of_steps_have_the_size_of_the_rate(network):
    before = [p.detach().clone() for p in network.parameters()]
    step(network, optimiser(network), 0)
    for p, old in zip(network.parameters(), before, strict=True):
        assert 0.4 * LR < (p - old).square().mean().sqrt() < 1.3 * LR


def test_a_saved_state_goes_on_to_the_bit(network):
    muon = optimiser(network)
    step(network, muon, 0)
    other = copy.deepcopy(network)
    resumed = optimiser(other)
    resumed.load_state_dict(copy.deepcopy(muon.state_dict()))
    for one, how in ((network, muon), (other, resumed)):
        step(one, how, 1)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
