"""What the command line says speaks of its own options, whatever the package's messages call them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch
import typer

import stylegan2
from stylegan2 import cli, networks
from stylegan2.cli.common import in_options
from stylegan2.config import TrainConfig
from stylegan2.editing.latents import z_from_seeds
from stylegan2.pocket.nets.encoder_training import EncoderConfig
from stylegan2.pocket.nets.judge_training import JudgeConfig

VERBS = typer.main.get_command(cli.app).commands
PACKAGE = Path(stylegan2.__file__).parent
NO_OPTIONS = {  # names before "=" that are no arguments: of a rendered set's text ("pocket:webtoon?n=1000"), of a judge
    "n", "start",
    "batch",  # `images=3, batch=4` of trainings that `pocket` runs
}  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "message", "said"),
    [
        ("prepare", "choose another folder, or pass overwrite=True", "choose another folder, or pass --overwrite"),
        ("prepare", "workers=-1: expected 0", "--workers -1: expected 0"),
        ("prepare", "sizes=[8] there, sizes=[16] asked for", "--size [8] there, --size [16] asked for"),
        ("prepare", "crop=True there, crop=False asked for", "--crop there, --no-crop asked for"),
        ("prepare", "'seed=x' in 'pocket:photo?seed=3&start=1'", "'seed=x' in 'pocket:photo?seed=3&start=1'"),
        ("prepare", "limit=0: expected a positive number, or None for all", "--limit 0: expected a positive number"),
        (
            "train",
            "r1_gamma is -1, expected 0 or more, or None for the default",
            "--r1-gamma is -1, expected 0 or more",
        ),
        ("train", "lr is 'fast', expected a finite number", "--lr is 'fast', expected a finite number"),
        ("train", "set accumulate=2, which computes", "set --accumulate 2, which computes"),
        ("train", "'runs/r1_gamma/x.pt' is damaged", "'runs/r1_gamma/x.pt' is damaged"),
        ("project", "steps is 0, tune -1: expected", "--steps is 0, --tune -1: expected"),
        ("crawl", "Confirm it (rights_confirmed=True)", "Confirm it (--i-have-the-rights)"),
        ("crop", "keep all (sharp=0 twins=0), min_size=24", "keep all (--sharp 0 --twins 0), --min-size 24"),
    ],
)
def test_arguments_of_the_package_become_options_of_the_verb(verb, message, said):
    assert in_options(message, VERBS[verb]) == said


def raised(path: Path) -> list[tuple[int, str]]:
    """The literal parts of every error that a module raises, one text each."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Raise)]
    texts = [[c.value for c in ast.walk(n) if isinstance(c, ast.Constant) and isinstance(c.value, str)] for n in nodes]
    return [(node.lineno, "\n".join(parts)) for node, parts in zip(nodes, texts, strict=True)]


def test_every_argument_that_an_error_names_is_an_option_of_some_verb():
    """Else `in_options` could not translate it. (Panels are for notebooks only.)"""
    options = {param.name for verb in VERBS.values() for param in verb.params}
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if "panels" in path.parts:
            continue
        for line, text in raised(path):
            named = set(re.findall(r"(?<![\w?&'-])([a-z_]\w*)=(?=True|False|\d|$|\n)", text, re.MULTILINE))
            wrong += [f"{path.name}:{line} {name}" for name in named - options - NO_OPTIONS]
            wrong += [f"{path.name}:{line} {name}" for name in re.findall(r"stylegan2\.\w+\.\w+", text)]
    assert wrong == []


@pytest.mark.parametrize("seed", [-1, 2**63, 10**20, 1.5, True])
def test_a_seed_that_no_generator_takes_is_named_with_the_range(seed, tmp_path):
    for use in (
        lambda: z_from_seeds(4, [3, seed]),
        lambda: networks.build(8, "pocket", seed),
        lambda: TrainConfig(out=tmp_path, seed=seed),
        lambda: EncoderConfig(seed=seed),
        lambda: JudgeConfig(seed=seed),
    ):
        with pytest.raises(ValueError, match="seed is .*, expected a whole number"):
            use()


def test_the_last_seed_works():
    assert z_from_seeds(4, [2**63 - 1, 0]).shape == (2, 4)
    torch.testing.assert_close(z_from_seeds(4, [0]), torch.randn(1, 4, generator=torch.Generator().manual_seed(0)))
