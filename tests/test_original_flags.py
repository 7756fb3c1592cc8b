"""The original's flags mean what they meant there: by the names of what is frozen, at 256 pixels."""

import copy
import re

import pytest

from stylegan2.networks import Discriminator, Generator, SharedMapping, resolutions
from stylegan2.training.original_flags import from_original_flags
from stylegan2.training.transfer import FreezeD, FreezeFC, FreezeG, FreezeStyle, StructureLoss, freeze


def frozen_by(resolution: int = 256, **flags) -> set[str]:
    channels = dict.fromkeys(resolutions(resolution), 2)
    g, d = Generator(resolution, 4, 4, 2, channels), Discriminator(resolution, channels)
    methods = from_original_flags(resolution, **flags)
    for method in methods:
        method.prepare(g, copy.deepcopy(g))
    return set(freeze(methods, g, d))


def parts(names: set[str]) -> set[str]:
    """Whole blocks: "G.synthesis.blocks.4.conv1.weight" -> "G 4"."""
    found = set()
    for name in names:
        block = re.fullmatch(r"([GD])\.(?:synthesis\.)?blocks\.(\d+)\..*", name)
        found.add(f"{block[1]} {block[2]}" if block else ".".join(name.split(".")[:2]))
    return found


def test_no_flag_freezes_nothing():
    assert from_original_flags(256) == []


def test_freeze_g_trains_the_n_highest_resolutions():
    """--freezeG=4 at 256 px trains 32 to 256: frozen are the mapping, the constant and everything from 4 to 16."""
    names = frozen_by(freezeG=4)
    assert parts(names) == {"G 4", "G 8", "G 16", "G.mapping"}
    for name in ("const", "conv1.weight", "to_rgb.weight"):
        assert f"G.synthesis.blocks.4.{name}" in names
    for name in ("conv0.weight", "conv1.noise_strength", "conv1.bias", "to_rgb.affine.weight", "to_rgb.bias"):
        assert f"G.synthesis.blocks.16.{name}" in names and f"G.synthesis.blocks.32.{name}" not in names
    assert parts(frozen_by(freezeG=5)) == {"G 4", "G 8", "G.mapping"}  # the paper's 4 and 8
    assert from_original_flags(256, freezeG=0) == [FreezeG(256)]  # trains no block


def test_freeze_d_trains_the_n_lowest_resolutions():
    """--freezeD=3 at 256 px trains the blocks that take in 32, 16 and 8 pixels, and the head."""
    names = frozen_by(freezeD=3)
    assert parts(names) == {"D.from_rgb", "D 256", "D 128", "D 64"}
    layers = {name.rsplit(".", 1)[0] for name in names}
    assert len(layers) == 10  # NVIDIA's --freezed=10: from_rgb and three layers of three blocks
    assert from_original_flags(256, freezeD=0) == [FreezeD(8)]  # trains the head alone


def test_freeze_style_and_fc_take_codes_from_the_source():
    assert from_original_flags(256, freezeStyle=4) == [FreezeStyle(4)]
    assert from_original_flags(256, freezeFC=True) == [FreezeFC()]
    assert from_original_flags(256, freezeStyle=4, freezeFC=True) == [FreezeFC()]
    assert parts(frozen_by(freezeStyle=4)) == {"G.mapping"}
    assert all(name.startswith("G.mapping.source.") for name in frozen_by(freezeStyle=4))
    g = Generator(256, 4, 4, 2, dict.fromkeys(resolutions(256), 2))
    FreezeStyle(4).prepare(g, copy.deepcopy(g))
    assert isinstance(g.mapping, SharedMapping) and g.mapping.k == 4 and g.num_ws == 14


def test_structure_loss_compares_features_from_8_on():
    assert from_original_flags(256, structure_loss=1) == [StructureLoss((8,), 1.0, "features")]
    assert from_original_flags(256, structure_loss=3) == [StructureLoss((8, 16, 32), 1.0, "features")]


def test_the_authors_own_run():
    """--freezeStyle=4 --freezeG=4 --freezeD=4."""
    methods = from_original_flags(256, freezeG=4, freezeD=4, freezeStyle=4)
    assert methods == [FreezeD(128), FreezeG(16), FreezeStyle(4)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"freezeG": 7}, "--freezeG=7: expected 0 to 6"),
        ({"freezeD": 6}, "--freezeD=6: expected 0 to 5"),
        ({"freezeStyle": 15}, "--freezeStyle=15: expected 1 to 14"),
        ({"structure_loss": 0}, "--structure_loss=0: expected 1 to 6"),
    ],
)
def test_blocks_that_do_not_exist_are_refused(flags, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        from_original_flags(256, **flags)
