"""Every notebook at full scale: random weights in the published formats, fetched from a stand-in for Google Drive.

About an hour on two cores, 10 GB of memory and 7 GB of disk: `python -m pytest tests/test_full_scale.py --slow`.
"""

from __future__ import annotations

from collections import UserDict
from pathlib import Path

import pytest
from drive import Drive

from benchmarks import full_scale
from stylegan2.published.zoo import MIRROR, MODELS, Zoo

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


class Lazily(UserDict):
    """Files by their ids on Google Drive, read when they are asked for."""

    def __getitem__(self, id: str) -> bytes:
        return super().__getitem__(id).read_bytes()


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course whose twelve models came from the stand-in."""
    folder = ROOT / "build" / "full-scale"
    full_scale.make_files(folder / "files")
    root = full_scale.make_course(tmp_path_factory.mktemp("full"))
    full_scale.place_tools(folder / "files", root)
    zoo = Zoo(root / "checkpoints" / "full")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(MIRROR, raising=False)
        with Drive(Lazily({model.drive: folder / "files" / f"{name}.pt" for name, model in MODELS.items()})) as drive:
            drive.redirect(patch)
            for name in MODELS:
                zoo.fetch(name, progress=False)
            assert drive.counts() == {"/uc": len(MODELS), "/download": len(MODELS)}
    return root


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_notebook_runs(course, notebook):
    done = full_scale.run(notebook, course, mirror=str(course / "nowhere"))
    assert not done.error, done.error
