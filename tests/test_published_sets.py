"""Published sets of pictures, from a server that behaves like Google Drive."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from drive import Drive
from PIL import Image
from typer.testing import CliRunner

from stylegan2 import cli
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.prepare import prepare
from stylegan2.published.fetch import FetchError
from stylegan2.published.sets import SETS, fetch, find_sums

METFACES, UKIYOE = SETS["metfaces"], SETS["ukiyoe"]


def picture(seed: int) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 40, 3), np.uint8)).save(data, "png")
    return data.getvalue()


def identity(number: int) -> str:
    """An id as long as theirs."""
    return f"picture-{number:020d}"


@pytest.fixture
def drive(monkeypatch):
    """MetFaces of four pictures, one of them with a name that would lead elsewhere, and a list of sums."""
    with Drive() as drive:
        drive.files = {identity(i): picture(i) for i in range(4)}
        names = {identity(i): f"00{i}.png" for i in range(3)} | {
            identity(3): "../../003.png",
            identity(9): "readme.txt",
        }
        drive.folders = {METFACES.drive: names}
        sums = [
            {"obj_id": str(i), "image_path": f"images/00{i}.png", "image_md5": hashlib.md5(picture(i)).hexdigest()}
            for i in range(4)
        ]
        drive.files[METFACES.sums] = json.dumps(sums).encode()
        drive.redirect(monkeypatch)
        yield drive


def left(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_folder_of_pictures_is_fetched_checked_and_ready_for_prepare(drive, tmp_path):
    folder = fetch("metfaces", tmp_path, progress=False)
    names = [name for name in left(tmp_path) if name.endswith(".png")]
    assert len(names) == 3 and all(Path(name).parent == Path("metfaces") for name in names)
    assert (folder / "001.png").read_bytes() == picture(1) and left(folder) == ["000.png", "001.png", "002.png"]
    before = len(drive.asked)
    fetch("metfaces", tmp_path, progress=False)
    assert len(drive.asked) - before == 3  # the list, and the sums with their confirm page
    assert prepare(folder, tmp_path / "a.lmdb", 32, progress=False, workers=0).length == 3
    assert LMDBDataset(tmp_path / "a.lmdb")[0].shape == (3, 32, 32)


def test_what_is_missing_is_fetched_next_time(drive, tmp_path):
    drive.sabotage[identity(2)] = "quota"
    with pytest.raises(
        FetchError, match=rf"002.png cannot be .*quota for today.*folders/{METFACES.drive} in a browser"
    ):
        fetch("metfaces", tmp_path, progress=False)
    drive.sabotage.clear()
    fetch("metfaces", tmp_path, progress=False)
    assert drive.counts()["/download"] == 2 + 3  # the sums twice, every picture once


@pytest.mark.parametrize(("content", "message"), [(picture(9), "MD5 sum"), (b"<html>", "MD5 sum")])
def test_what_is_not_the_picture_does_not_get_its_name(drive, tmp_path, content, message):
    drive.files[identity(0)] = content
    with pytest.raises(FetchError, match=f"what came as 000.png is not it: .*{message}"):
        fetch("metfaces", tmp_path, progress=False)
    drive.files[METFACES.sums] = b"[]"
    if content == b"<html>":
        with pytest.raises(FetchError, match="000.png is not it: a web page"):
            fetch("metfaces", tmp_path, progress=False)
    assert not (tmp_path / "metfaces" / "000.png").exists()
    drive.files[METFACES.sums] = b"no json"
    with pytest.raises(FetchError, match="list of sums of metfaces is no JSON"):
        fetch("metfaces", tmp_path, progress=False)


def archive(kind: str) -> bytes:
    data = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(data, "w") as made:
            for i in range(3):
                made.writestr(f"faces/{i}.png", picture(i))
        return data.getvalue()
    with tarfile.open(fileobj=data, mode="w:gz") as made:
        for i in range(0 if kind == "empty" else 3):
            entry = tarfile.TarInfo(f"faces/{i}.png")
            entry.size = len(picture(i))
            made.addfile(entry, io.BytesIO(picture(i)))
        if kind == "evil":
            link = tarfile.TarInfo("../../escape.png")
            link.size = 3
            made.addfile(link, io.BytesIO(b"abc"))
    return data.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_is_fetched_whatever_its_kind(drive, tmp_path, kind):
    drive.files[UKIYOE.drive] = archive(kind)
    path = fetch("ukiyoe", tmp_path, progress=False)
    assert prepare(path, tmp_path / "a.lmdb", 32, progress=False, workers=0).length == 3
    before = len(drive.asked)
    assert fetch("ukiyoe", tmp_path, progress=False) == path and len(drive.asked) == before


def test_an_archive_that_leads_elsewhere_is_refused(drive, tmp_path):
    drive.files[UKIYOE.drive] = archive("evil")
    with pytest.raises(FetchError, match="would write outside"):
        fetch("ukiyoe", tmp_path / "data", progress=False)
    assert not list(tmp_path.rglob("escape.png")) and not (tmp_path / "data" / "ukiyoe" / "images").exists()
    drive.files[UKIYOE.drive] = archive("empty")
    with pytest.raises(FetchError, match="no file is in it"):
        fetch("ukiyoe", tmp_path / "c", progress=False)
    drive.files[UKIYOE.drive] = b"<html>quota</html>"
    with pytest.raises(FetchError, match="neither a zip nor a tar"):
        fetch("ukiyoe", tmp_path / "b", progress=False)


def test_sums_are_found_wherever_they_stand():
    md5 = "0123456789abcdef" * 2
    content = {"a": [{"image": {"file_path": "x/1.png", "file_md5": md5}}, {"file_path": "2.png", "file_md5": "short"}]}
    assert find_sums(json.dumps(content).encode()) == {"1.png": md5}


def test_the_verb_fetches_and_names_the_licence(drive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.app, ["download", "--dataset", "metfaces"])
    assert result.exit_code == 0 and "CC BY-NC 2.0" in result.stdout and "prepare data/metfaces" in result.stdout
    for wrong in (["--dataset", "celeba"], ["Disney", "--dataset", "metfaces"]):
        result = CliRunner().invoke(cli.app, ["download", *wrong])
        assert result.exit_code == 2 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
