"""Every notebook, top to bottom, on a card that is not there (see `fake_cuda`): Turing (float16), Ampere (bfloat16).

What it cannot show: CUDA's own kernels, speed, and whether the memory is enough.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stylegan2 import checkpoints, networks
from stylegan2.layers import widths
from stylegan2.pocket import world

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SHIPPED = ROOT / "checkpoints" / "pocket"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
# Training in float16 and with torchrun, training in bfloat16, readings and directions. All twelve on both cards take
# seven times as long: with --slow.
ALWAYS = {("03", "7.5"), ("05", "8.0"), ("07", "7.5")}


def _pairs() -> list:
    pairs = [(path, capability) for path in NOTEBOOKS for capability in ("7.5", "8.0")]
    marks = {pair: () if (pair[0].name[:2], pair[1]) in ALWAYS else (pytest.mark.slow,) for pair in pairs}
    return [pytest.param(*pair, marks=marks[pair], id=f"{pair[0].stem[:2]}-{pair[1]}") for pair in pairs]


@pytest.fixture(scope="session")
def course(tmp_path_factory) -> Path:
    """A course folder of its own, where the notebooks may write."""
    root = tmp_path_factory.mktemp("course")
    (root / "notebooks").mkdir()
    for name in ("checkpoints", "data", "docs"):
        (root / name).symlink_to(ROOT / name, target_is_directory=True)
    return root


@pytest.fixture(scope="session")
def thin_course(tmp_path_factory) -> Path:
    """The same with thin generators of random weights: all lies on the same devices, and takes less time."""
    root = tmp_path_factory.mktemp("thin_course")
    (root / "notebooks").mkdir()
    (root / "docs").symlink_to(ROOT / "docs", target_is_directory=True)
    (root / "checkpoints" / "pocket").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "widths", lambda resolution, *_: widths(resolution, 512, 16))
        for path in SHIPPED.iterdir():
            copy = root / "checkpoints" / "pocket" / path.name
            if path.suffix != ".pt" or path.stem in ("judge", "clip", "encoder", "detector", "codes"):
                copy.symlink_to(path)
                continue
            shipped = checkpoints.load(path)
            g, d = networks.build(world.SIZE, "pocket", seed=len(path.stem))
            g.mapping.update_mean(1000)
            checkpoints.save(copy, g_ema=g, d=shipped.d and d, meta=shipped.info)
    return root


@pytest.mark.parametrize(("path", "capability"), _pairs())
def test_a_notebook_runs_on_the_card(request, tmp_path, path, capability):
    quick = (path.name[:2], capability) in ALWAYS
    folder = request.getfixturevalue("thin_course" if quick else "course") / "notebooks"
    search = os.pathsep.join([str(HERE / "fake_cuda_site"), str(ROOT)])  # for torchrun's processes, too
    env = os.environ | {"FAKE_CUDA": capability, "PYTHONPATH": search, "COURSE_OUT": str(tmp_path)}
    most = ["16"] if quick else []  # a training's first batch takes every kind of step
    command = [sys.executable, HERE / "run_notebook.py", path, *most]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
