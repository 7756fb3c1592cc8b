"""The original's flags mean what they meant there: by the names of what is frozen, at 256 pixels."""

import copy
import re

import pytest

from stylegan2.cli.original_flags import SETTINGS, WHOLE, Flags, read
from stylegan2.config import TrainConfig
from stylegan2.networks import Discriminator, Generator, SharedMapping, resolutions
from stylegan2.transfer import FreezeD, FreezeFC, FreezeG, FreezeStyle, StructureLoss, freeze


def frozen_by(resolution: int = 256, **flags) -> set[str]:
    channels = dict.fromkeys(resolutions(resolution), 2)
    g, d = Generator(resolution, 4, 4, 2, channels), Discriminator(resolution, channels)
    methods = Flags(**flags).methods(resolution)
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
    assert Flags().methods(256) == []


def test_zero_trains_everything_as_it_did_there():
    assert Flags(freezeG=0, freezeD=0, freezeStyle=0, structure_loss=0).methods(256) == []


def test_freeze_g_trains_the_n_highest_resolutions():
    """--freezeG=4 at 256 px trains 32 to 256: frozen are the mapping, the constant and everything from 4 to 16."""
    names = frozen_by(freezeG=4)
    assert parts(names) == {"G 4", "G 8", "G 16", "G.mapping"}
    for name in ("const", "conv1.weight", "to_rgb.weight"):
        assert f"G.synthesis.blocks.4.{name}" in names
    for name in ("conv0.weight", "conv1.noise_strength", "conv1.bias", "to_rgb.affine.weight", "to_rgb.bias"):
        assert f"G.synthesis.blocks.16.{name}" in names and f"G.synthesis.blocks.32.{name}" not in names
    assert parts(frozen_by(freezeG=5)) == {"G 4", "G 8", "G.mapping"}  # the paper's 4 and 8


def test_freeze_d_trains_the_n_lowest_resolutions():
    """--freezeD=3 at 256 px trains the blocks that take in 32, 16 and 8 pixels, and the head."""
    names = frozen_by(freezeD=3)
    assert parts(names) == {"D.from_rgb", "D 256", "D 128", "D 64"}
    layers = {name.rsplit(".", 1)[0] for name in names}
    assert len(layers) == 10  # NVIDIA's --freezed=10: from_rgb and three layers of three blocks


def test_freeze_style_and_fc_take_codes_from_the_source():
    assert Flags(freezeStyle=4).methods(256) == [FreezeStyle(4)]
    assert Flags(freezeFC=True).methods(256) == [FreezeFC()]
    assert Flags(freezeStyle=4, freezeFC=True).methods(256) == [FreezeStyle(4)]  # freezeFC was not reached there
    assert Flags(freezeStyle=0, freezeFC=True).methods(256) == []
    assert parts(frozen_by(freezeStyle=4)) == {"G.mapping"}
    assert all(name.startswith("G.mapping.source.") for name in frozen_by(freezeStyle=4))
    g = Generator(256, 4, 4, 2, dict.fromkeys(resolutions(256), 2))
    FreezeStyle(4).prepare(g, copy.deepcopy(g))
    assert isinstance(g.mapping, SharedMapping) and g.mapping.k == 4 and g.num_ws == 14


def test_structure_loss_compares_features_from_8_on():
    assert Flags(structure_loss=1).methods(256) == [StructureLoss((8,), 1.0, "features")]
    assert Flags(structure_loss=3).methods(256) == [StructureLoss((8, 16, 32), 1.0, "features")]


def test_the_authors_own_run():
    """--freezeStyle=4 --freezeG=4 --freezeD=4."""
    methods = Flags(freezeG=4, freezeD=4, freezeStyle=4).methods(256)
    assert methods == [FreezeD(128), FreezeG(16), FreezeStyle(4)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"freezeG": 7}, "--freezeG=7: expected at most 6"),
        ({"freezeD": 6}, "--freezeD=6: expected at most 5"),
        ({"freezeStyle": 15}, "--freezeStyle=15: expected at most 14"),
        ({"structure_loss": 7}, "--structure_loss=7: expected at most 6"),
    ],
)
def test_blocks_that_do_not_exist_are_refused(flags, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Flags(**flags).methods(256)


# ---------------------------------------------------------------------------------------------------- as they are typed


def test_a_line_of_flags_is_read_as_the_original_read_it():
    flags, settings = read("--freezeG=4 --freezeD 3 --freezeStyle=2 --structure_loss=2 --augment --batch 8 --r1 5")
    assert flags.methods(256) == [
        FreezeD(64), FreezeG(16), FreezeStyle(2), StructureLoss((8, 16), on="features")
    ]  # fmt: skip
    ada = {"augment": "adaptive", "augment_interval": 8, "augment_images": 500_000}
    assert settings == ada | {"batch": 8, "r1_gamma": 5.0}
    assert TrainConfig(out="x", **settings).batch == 8


def test_without_augment_there_is_none_and_with_a_p_it_is_fixed():
    assert read("")[1] == {"augment": "none"}
    assert read("--augment --augment_p 0.3")[1]["augment"] == "fixed"


def test_every_number_becomes_a_field_that_exists():
    words = " ".join(f"--{name}={2 if name in WHOLE else 0.5}" for name in SETTINGS)
    settings = read(f"{words} --augment")[1]
    assert set(SETTINGS.values()) <= settings.keys()
    TrainConfig(out="x", **settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--path data --ckpt=a.pt --freezeG 4", "for --path use --data; for --ckpt use --source"),
        ("--freezeE=4", "freezeE: no flag of the original's train.py. What is read: freezeG"),
        ("--freeze 4", "freeze: no flag"),  # no abbreviations
        ("--freezeG", "--freezeG: expected one argument"),
        ("--freezeG four", "invalid int value: 'four'"),
        ("train.py", "train.py: no flag"),
    ],
)
def test_other_flags_are_listed_with_what_to_use(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(text)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, []),
        ({"freezeD": 3}, []),
        ({"freezeG": 4}, ["path length"]),
        ({"freezeG": 0}, ["path length"]),
        ({"freezeStyle": 4}, ["random weights", "style mixing"]),
        ({"freezeStyle": 0}, ["style mixing off"]),
        ({"freezeFC": True}, ["random weights", "discriminator's images only"]),
        ({"freezeFC": True, "freezeStyle": 4}, ["random weights", "style mixing", "ignored there"]),
        ({"freezeG": 4, "freezeStyle": 4}, ["random weights", "style mixing", "adds nothing", "path length"]),
        ({"structure_loss": 2}, ["random weights"]),
    ],
)
def test_what_the_original_did_otherwise_is_said(flags, said):
    lines = Flags(**flags).differences()
    assert len(lines) == len(said) and all(part in line for part, line in zip(said, lines, strict=True))
