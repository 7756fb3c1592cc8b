"""The published models, from a server that behaves like Google Drive, from mirrors, and by hand."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from drive import Drive
from tiny_training import tiny_networks
from typer.testing import CliRunner

from stylegan2 import checkpoints, cli, files
from stylegan2.files import InUse, only_writer
from stylegan2.published import fetch as published
from stylegan2.published.fetch import FetchError
from stylegan2.published.zoo import BY_COURSE, MIRROR, MODELS, RECORD, Zoo

NAME = "NaverWebtoon_FreezeSG"
ID = MODELS[NAME].drive


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> bytes:
    """A checkpoint, large enough for several chunks."""
    path = tmp_path_factory.mktemp("weights") / "a.pt"
    g, d = tiny_networks(16, 6, 1)
    checkpoints.save(path, g_ema=g, d=d, meta={"more": torch.zeros(400_000)})
    return path.read_bytes()


@pytest.fixture
def drive(weights, monkeypatch):
    monkeypatch.delenv(MIRROR, raising=False)
    with Drive({ID: weights}) as drive:
        drive.redirect(monkeypatch)
        yield drive


def fetch(folder: Path, name: str = NAME, mirror: str | None = None) -> Path:
    return Zoo(folder, mirror).fetch(name, progress=False)


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_a_model_comes_through_the_confirm_page_and_is_written_down(drive, weights, tmp_path):
    path = fetch(tmp_path)
    assert path == tmp_path / f"{NAME}.pt" and path.read_bytes() == weights and left(tmp_path) == [path.name, RECORD]
    entry = json.loads((tmp_path / RECORD).read_text())[path.name]
    assert entry["sha256"] == [checkpoints.sha256(path)] and entry["bytes"] == len(weights)
    assert entry["from"] == "Google Drive" and entry["time"].endswith("+00:00")
    assert drive.counts() == {"/uc": 1, "/download": 1}
    assert fetch(tmp_path) == path and drive.counts() == {"/uc": 1, "/download": 1}  # there already
    assert checkpoints.load(path).g_ema.resolution == 16


def test_a_broken_connection_is_taken_up_where_it_broke(drive, weights, tmp_path, monkeypatch):
    drive.sabotage[ID] = "cut"
    assert fetch(tmp_path).read_bytes() == weights
    assert drive.counts() == {"/uc": 1, "/download": 2} and goes_on(drive.asked[-1])


def goes_on(asked: tuple[str, str | None]) -> bool:
    """Was the rest of the file asked for, not all of it?"""
    return asked[1] is not None and asked[1] != "bytes=0-"


def test_so_is_an_interrupted_download(drive, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "RETRIES", 0)
    drive.sabotage[ID] = "cut"
    with pytest.raises(FetchError, match="cannot be fetched from Google Drive.*incomplete"):
        fetch(tmp_path)
    assert not (tmp_path / f"{NAME}.pt").exists()
    assert fetch(tmp_path).read_bytes() == weights
    assert goes_on(drive.asked[-1]) and left(tmp_path) == [f"{NAME}.pt", RECORD]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("quota", "its download quota for today is used up"),
        ("sign in", "it is gone, or may only be read by some"),
        (403, "it is gone, or may only be read by some"),
        (404, "it is gone"),
        (500, "Google Drive: "),
    ],
)
def test_what_is_refused_says_why_and_what_to_do(drive, tmp_path, fault, why):
    drive.sabotage[ID] = fault
    with pytest.raises(FetchError) as error:
        fetch(tmp_path)
    said = str(error.value)
    assert why in said and f"https://drive.google.com/file/d/{ID}/view" in said
    assert f"put the file at '{tmp_path / NAME}.pt'" in said and f"set {MIRROR} to a folder" in said
    assert left(tmp_path) == []


@pytest.mark.parametrize("content", [b"<html>quota</html>", b"", b"PK\x03\x04half a zip", b"hello"])
def test_what_is_no_checkpoint_does_not_get_the_name(drive, weights, tmp_path, content):
    drive.files[ID] = content
    with pytest.raises(FetchError, match="is no checkpoint|cannot be fetched"):
        fetch(tmp_path)
    assert left(tmp_path) == []
    drive.files[ID] = weights
    assert fetch(tmp_path).read_bytes() == weights


def test_a_mirror_is_a_folder_or_an_address(drive, weights, tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / f"{NAME}.pt").write_bytes(weights)
    assert fetch(tmp_path / "a", mirror=str(tmp_path / "mirror")).read_bytes() == weights
    drive.files[f"files/{NAME}.pt"] = weights
    monkeypatch.setenv(MIRROR, f"{drive.base}/files/")
    assert fetch(tmp_path / "b").read_bytes() == weights and drive.counts() == {f"/files/{NAME}.pt": 1}
    for mirror in (str(tmp_path / "none"), f"{drive.base}/nothing"):
        with pytest.raises(FetchError, match="in a browser and put the file at"):
            fetch(tmp_path / "c", mirror=mirror)


def test_a_file_put_there_by_hand_is_taken_if_it_is_one(drive, weights, tmp_path):
    (tmp_path / f"{NAME}.pt").write_bytes(weights)
    assert fetch(tmp_path) == fetch(tmp_path) and not drive.asked
    assert json.loads((tmp_path / RECORD).read_text())[f"{NAME}.pt"]["from"] == "put here by hand"
    (tmp_path / "Disney.pt").write_bytes(b"<!doctype html><html>quota exceeded</html>")
    with pytest.raises(FetchError, match="no checkpoint.*Disney.pt' is a web page, probably a download quota notice"):
        fetch(tmp_path, "Disney")


def whole(weights: bytes, tmp_path: Path) -> bytes:
    """The same model as it is published: with a generator in training and the state of both optimisers."""
    path = tmp_path / "whole.pt"
    path.write_bytes(weights)
    content = files.read(path)
    more = {"g": content["g_ema"], "g_optim": {"state": {0: torch.ones(99_999)}}, "d_optim": {"state": {}}}
    files.write(path, content | more)
    return path.read_bytes()


def loaded(path: Path) -> tuple[str, str]:
    found = checkpoints.load(path)
    return checkpoints.fingerprint(found.g_ema), checkpoints.fingerprint(found.d)


def test_of_a_download_what_draws_and_judges_is_kept(drive, weights, tmp_path, monkeypatch):
    drive.files[ID] = published = whole(weights, tmp_path)
    out = tmp_path / "out"
    path = fetch(out)
    assert files.read(path).keys() == {"format", "meta", "g_ema", "d"} and left(out) == [path.name, RECORD]
    assert loaded(path) == loaded(tmp_path / "whole.pt") and path.stat().st_size < len(published) - 300_000
    entry = json.loads((out / RECORD).read_text())[path.name]
    assert entry["sha256"] == [hashlib.sha256(published).hexdigest(), checkpoints.sha256(path)]
    assert entry["bytes"] == path.stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(files, "sha256", lambda path: pytest.fail("was not to be read again"))
        assert fetch(out) == path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(FetchError, match="is not what"):
        fetch(out)
    path.write_bytes(published)  # by hand: the hash is known, and the file is the user's
    assert fetch(out).read_bytes() == published
    path.unlink()
    drive.files[ID] = published + b" "
    with pytest.raises(FetchError, match="is not what"):
        fetch(out)


@pytest.mark.parametrize("moment", ["_slimmed", "replace", "unlink"])
def test_a_kill_while_it_is_slimmed_costs_no_second_download(drive, weights, tmp_path, monkeypatch, moment):
    drive.files[ID] = whole(weights, tmp_path)
    out = tmp_path / "out"

    def kill(*arguments, **_):
        if moment != "replace" or Path(arguments[1]) == out / f"{NAME}.pt":  # what gives it the name
            raise KeyboardInterrupt
        return real(*arguments)

    where = {"_slimmed": (Zoo, "_slimmed"), "replace": (os, "replace"), "unlink": (Path, "unlink")}[moment]
    real = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(*where, kill)
        with pytest.raises(KeyboardInterrupt):
            fetch(out)
    asked = drive.counts()
    path = fetch(out)
    assert drive.counts() == asked and left(out) == [path.name, RECORD]
    assert loaded(path) == loaded(tmp_path / "whole.pt")
    assert checkpoints.sha256(path) in json.loads((out / RECORD).read_text())[path.name]["sha256"]


def test_without_room_for_both_the_whole_file_is_kept(drive, weights, tmp_path, monkeypatch):
    drive.files[ID] = whole(weights, tmp_path)

    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "write", full)
    assert fetch(tmp_path / "out").read_bytes() == drive.files[ID] and left(tmp_path / "out") == [f"{NAME}.pt", RECORD]


def test_downloads_can_go_through_another_file_system(drive, weights, tmp_path, monkeypatch):
    drive.files[ID] = whole(weights, tmp_path)
    real = os.replace

    def replace(old, new):
        if Path(old).parent != Path(new).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(old, new)

    monkeypatch.setattr(os, "replace", replace)
    there, here = tmp_path / "drive", tmp_path / "here"
    path = Zoo(there, scratch=here).fetch(NAME, progress=False)
    assert left(there) == [path.name, RECORD] and left(here) == []
    assert loaded(path) == loaded(tmp_path / "whole.pt") and fetch(there) == path


def test_before_a_download_its_size_is_said(drive, weights, tmp_path, capsys, monkeypatch):
    Zoo(tmp_path / "a").fetch(NAME)
    assert capsys.readouterr().err == ""  # two megabytes are no matter
    monkeypatch.setattr(published, "WORTH_SAYING", 0)
    Zoo(tmp_path / "b").fetch(NAME)
    size = f"{len(weights) / 1e6:,.0f} MB"
    assert capsys.readouterr().err == f"fetching {NAME}, {size}, from Google Drive, once\n"


def test_a_file_that_changed_is_refused(drive, weights, tmp_path):
    path = fetch(tmp_path)
    path.write_bytes(weights[:-1] + b"x")
    with pytest.raises(FetchError, match=rf"is not what {NAME} was at first.*delete its entry in '.*{RECORD}'"):
        fetch(tmp_path)
    path.unlink()
    drive.files[ID] = weights[:-1] + b"y"  # another one where it came from
    with pytest.raises(FetchError, match="is not what"):
        fetch(tmp_path)
    assert not path.exists()
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(FetchError, match="is damaged.*delete it"):
        fetch(tmp_path)


def test_an_older_record_counts(weights, tmp_path):
    """It holds one hash as a string, and that of the whole download where the file was slimmed."""
    path = tmp_path / f"{NAME}.pt"
    path.write_bytes(weights)
    own, original = ({"sha256": hashlib.sha256(x).hexdigest(), "bytes": len(x)} for x in (weights, b"the whole"))
    for entry in (own, own | {"original": original}):
        entry |= {"from": "Google Drive", "time": "2026-01-01T00:00:00+00:00"}
        (tmp_path / RECORD).write_text(json.dumps({path.name: entry}))
        assert fetch(tmp_path) == path
        known = json.loads((tmp_path / RECORD).read_text())[path.name]["sha256"]
        assert known[-1] == own["sha256"] and (known[0] == original["sha256"]) == ("original" in entry)
    path.write_bytes(weights[:-1] + b"x")
    with pytest.raises(FetchError, match=f"is not what .* {own['sha256'][:16]}... on 2026-01-01"):
        fetch(tmp_path)


def test_without_room_nothing_is_written(drive, weights, tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / f"{NAME}.pt").write_bytes(weights)
    monkeypatch.setattr(published.shutil, "disk_usage", lambda path: type("Usage", (), {"free": published.ROOM + 10}))
    for mirror in (None, str(tmp_path / "mirror")):
        with pytest.raises(FetchError, match=rf"{NAME} needs 1 MiB more, and '.*' has 64 MiB free: make room"):
            fetch(tmp_path / "a", mirror=mirror)
    assert not (tmp_path / "a" / f"{NAME}.pt").exists()


def test_two_do_not_fetch_into_one_folder(drive, tmp_path):
    with only_writer(tmp_path), pytest.raises(InUse, match="another process"):
        fetch(tmp_path)


def test_one_model_that_cannot_be_had_does_not_keep_us_from_the_next(weights, tmp_path):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / f"{NAME}.pt").write_bytes(weights)
    words = ["--mirror", str(tmp_path / "mirror"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, ["download", "ffhq256", NAME, *words])
    assert result.exit_code == 1 and f"{NAME}.pt" in result.stdout, result.output
    assert "left out: the mirror has no" in result.stderr and result.stderr.endswith("1 left out: see above\n")
    result = CliRunner().invoke(cli.app, ["download", "ffhq256", "Disney", *words])
    assert result.exit_code == 2 and "error: the mirror has no" in result.stderr


def test_what_is_unknown_is_said(tmp_path):
    with pytest.raises(FetchError, match="no published model 'x'; there are: ffhq256"):
        Zoo(tmp_path / "new").fetch("x")
    assert not (tmp_path / "new").exists()
    assert len(MODELS) == 12 == len({model.drive for model in MODELS.values()}) == len(BY_COURSE)


def test_the_verb_lists_and_fetches(drive, weights, tmp_path):
    call = CliRunner().invoke
    result = call(cli.app, ["download", NAME, "--out", str(tmp_path)])
    assert result.exit_code == 0 and f"{NAME}.pt" in result.stdout, result.output
    listed = call(cli.app, ["download", "--out", str(tmp_path)]).stdout
    assert listed.count("\n") == 12 + 2 and listed.count("  here  ") == 1 and "CC BY-NC" in listed
    for wrong in (["download", NAME, "Dinsey"], ["download", "ffhq256", "--mirror", str(tmp_path / "none")]):
        result = call(cli.app, [*wrong, "--out", str(tmp_path / "b")])
        assert result.exit_code == 2 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "b" / f"{NAME}.pt").exists()
    (tmp_path / "mirror").mkdir()
    for name in MODELS:
        (tmp_path / "mirror" / f"{name}.pt").write_bytes(weights)
    assert (
        call(
            cli.app, ["download", "--all", "--mirror", str(tmp_path / "mirror"), "--out", str(tmp_path / "c")]
        ).exit_code
        == 0
    )
    assert len(list((tmp_path / "c").glob("*.pt"))) == 12
