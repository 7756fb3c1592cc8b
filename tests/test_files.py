"""Writing files whole or not at all, and one writer per folder."""

from __future__ import annotations

import errno
import fcntl
import os
import signal

import pytest

from stylegan2 import files


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_file_is_forced_to_the_disk_before_it_takes_the_name_and_its_folder_after(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda at: (done.append(os.path.basename(os.readlink(f"/proc/self/fd/{at}"))), fsync(at))
    )
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("replace"), replace(old, new)))
    files.write_json(tmp_path / "new" / "a.json", {"a": 1})
    assert done == [".a.part.json", "replace", "new"]
    assert (tmp_path / "new" / "a.json").read_text() == '{\n  "a": 1\n}\n' and names(tmp_path) == ["a.json", "new"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_whatever_goes_wrong_the_old_file_stays(tmp_path, error):
    files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(error), files.replacing(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise error
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "a.txt", {1, 2})
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_folder_has_one_writer_and_no_trace_of_it(tmp_path):
    out = tmp_path / "out"
    for _ in range(2):
        with files.only_writer(out):
            assert names(out) == []
            with pytest.raises(files.InUse, match="another process writes to '.*out'"), files.only_writer(out):
                pass
    assert names(tmp_path) == ["out"]
    with pytest.raises(FileExistsError, match="is a file"), files.only_writer(__file__):
        pass


def test_a_writer_that_is_killed_frees_the_folder(tmp_path):
    out, (ready, tell) = tmp_path / "out", os.pipe()
    child = os.fork()
    if child == 0:
        with files.only_writer(out):
            os.write(tell, b"x")
            signal.pause()
    os.read(ready, 1)
    with pytest.raises(files.InUse), files.only_writer(out):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with files.only_writer(out):
        pass
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_drive_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch, code):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with files.only_writer(tmp_path / "out"):
        files.write_text(tmp_path / "out" / "a.txt", "x")
    assert (tmp_path / "out" / "a.txt").read_text() == "x"
