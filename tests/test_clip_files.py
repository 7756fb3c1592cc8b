"""OpenAI's own files of CLIP, read without running them, and the places where they are looked for."""

from __future__ import annotations

import dataclasses
import os
import pickle
import random
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import clip as openai
import pytest
import torch
from command import call
from safetensors.torch import save_file
from tiny_clip import SIDE, tiny_clip

from stylegan2 import checkpoints, files
from stylegan2.checkpoints import CheckpointError
from stylegan2.course.scales import FullModels
from stylegan2.networks import Generator
from stylegan2.published import clip_files, torchscript
from stylegan2.published.clip_model import ClipModel
from stylegan2.published.zoo import Zoo

NAME = "ViT-B/32"
pytestmark = pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated, and tracing is noisy


@pytest.fixture(scope="module")
def model():
    return tiny_clip().model


@pytest.fixture(scope="module")
def archive(model, tmp_path_factory) -> Path:
    """A CLIP as OpenAI publishes it: traced, in float16, as a TorchScript archive."""
    path = tmp_path_factory.mktemp("clip") / "ViT-B-32.pt"
    images, texts = torch.randn(2, 3, SIDE, SIDE), torch.randint(0, 49_408, (2, 77))
    traced = torch.jit.trace(model, (images, texts), check_trace=False)
    traced.half().save(path)
    model.float()  # `half` is in place
    return path


@pytest.fixture(scope="module")
def copy(archive) -> Path:
    """The same numbers as safetensors, in float32."""
    path = archive.with_name("open_clip_model.safetensors")
    save_file({name: value.float() for name, value in torchscript.read(archive).items()}, path)
    return path


def same(a: ClipModel, b: torch.nn.Module) -> bool:
    ours, theirs = a.model.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k].half().float()) for k in ours)


# ------------------------------------------------------------------------------------------------ TorchScript archives
def test_an_archive_gives_the_numbers_that_pytorch_finds_in_it(archive, model):
    found, theirs = torchscript.read(archive), torch.jit.load(archive).state_dict()
    assert found.keys() == theirs.keys() and all(torch.equal(found[k], theirs[k]) for k in theirs)
    opened = ClipModel.load(archive)
    assert same(opened, model) and opened.encode_texts("red hair").shape == (1, 16)


def test_scripted_modules_with_settings_are_read_too(tmp_path):
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.LayerNorm([4])
    torch.jit.script(torch.nn.Sequential(*layers).bfloat16()).save(tmp_path / "a.pt")
    found, theirs = torchscript.read(tmp_path / "a.pt"), torch.nn.Sequential(*layers).state_dict()
    assert found.keys() == theirs.keys() and all(torch.equal(found[k], theirs[k]) for k in theirs)


def rewritten(archive: Path, path: Path, change, compress: bool = False) -> Path:
    """The archive with entries changed: {name without its folder: bytes -> bytes}."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            data, name = old.read(entry), entry.filename.partition("/")[2]
            new.writestr(entry.filename, change.get(name, bytes)(data), zipfile.ZIP_DEFLATED if compress else None)
    return path


class Evil:
    def __reduce__(self):
        return os.system, ("touch was_run",)


def test_nothing_in_an_archive_is_run(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rewritten(archive, tmp_path / "a.pt", {"data.pkl": lambda data: pickle.dumps({"a": Evil()}, 2)})
    with pytest.raises(CheckpointError, match=r"a.pt' holds Python objects or code \(posix.system\): refused, nothing"):
        ClipModel.load(tmp_path / "a.pt")
    with zipfile.ZipFile(archive) as old:
        code = [name for name in old.namelist() if "/code/" in name and name.endswith(".py")]
    evil = {name.partition("/")[2]: lambda data: b"open('was_run', 'w')" for name in code}
    assert evil and torchscript.read(rewritten(archive, tmp_path / "b.pt", evil)).keys()  # the program is not looked at
    assert not (tmp_path / "was_run").exists()


def test_archives_of_something_else_are_errors_of_one_kind(archive, tmp_path):
    odd = {
        "expected a module": rewritten(archive, tmp_path / "a.pt", {"data.pkl": lambda data: pickle.dumps({}, 2)}),
        "damaged or truncated TorchScript archive .*compressed numbers": rewritten(
            archive, tmp_path / "b.pt", {}, True
        ),
        "damaged or truncated TorchScript archive": rewritten(
            archive, tmp_path / "c.pt", {"data/3": lambda data: data[:10]}
        ),
    }
    for message, path in odd.items():
        with pytest.raises(CheckpointError, match=message):
            ClipModel.load(path)
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "d.pt")
    with pytest.raises(CheckpointError, match="d.pt' is no CLIP of OpenAI's architecture: it lacks token_embedding"):
        ClipModel.load(tmp_path / "d.pt")
    with zipfile.ZipFile(archive) as old:
        data = next(old.read(name) for name in old.namelist() if name.endswith("data.pkl"))
    rng = random.Random(0)
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        with zipfile.ZipFile(tmp_path / "e.pt", "w") as new:
            new.writestr("e/data.pkl", bytes(broken))
            new.writestr("e/constants.pkl", b"")
        with pytest.raises(CheckpointError, match="^'.*e.pt'"):  # there are no numbers in it
            torchscript.read(tmp_path / "e.pt")


def test_safetensors_are_read(copy, model, tmp_path):
    assert same(ClipModel.load(copy), model)
    (tmp_path / "a.safetensors").write_bytes(copy.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="a.safetensors' is damaged or truncated"):
        ClipModel.load(tmp_path / "a.safetensors")


# ------------------------------------------------------------------------------------------------------------- places
class Places:
    """A server that stands for OpenAI's and for the hub: what it has (by the end of the path), and what was asked."""

    def __init__(self):
        self.has: dict[str, bytes] = {}
        self.asked: list[str] = []
        handler = type("Handler", (_Handler,), {"places": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    places: Places

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.places.asked.append(f"{self.command} {name}")
        data = self.places.has.get(name)
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def places(archive, copy, tmp_path, monkeypatch):
    """Both places, empty caches, and the tiny files' own hashes for the real ones."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    places = Places()
    threading.Thread(target=places.server.serve_forever, daemon=True).start()
    url = f"{places.address}/clip/models/{checkpoints.sha256(archive)}/ViT-B-32.pt"
    monkeypatch.setitem(openai.clip._MODELS, NAME, url)
    url = f"{places.address}/resolve/{copy.name}"
    tiny = dataclasses.replace(clip_files.COPIES[NAME], url=url, sha256=checkpoints.sha256(copy))
    monkeypatch.setitem(clip_files.COPIES, NAME, tiny)
    yield places
    places.server.shutdown()
    places.server.server_close()


def test_openais_file_is_taken_from_the_cache_of_its_package_by_its_hash(places, archive, model):
    own = clip_files.published(NAME)[clip_files.OPENAI].cached
    assert own == Path.home() / ".cache" / "clip" / "ViT-B-32.pt"
    own.parent.mkdir(parents=True)
    own.write_bytes(archive.read_bytes())
    assert clip_files.find(NAME) == own and same(ClipModel.load(NAME), model) and not places.asked
    own.write_bytes(archive.read_bytes()[:-1])  # cut off: the package that OpenAI made leaves such ones
    places.has["ViT-B-32.pt"] = archive.read_bytes()
    assert clip_files.find(NAME) == own and own.read_bytes() == archive.read_bytes()
    assert places.asked.count("GET ViT-B-32.pt") == 1


def test_where_openais_address_is_gone_the_hubs_copy_serves(places, copy, model):
    places.has[copy.name] = copy.read_bytes()
    path = clip_files.find(NAME)
    assert path.read_bytes() == copy.read_bytes() and same(ClipModel.load(NAME), model)
    assert "GET ViT-B-32.pt" in places.asked and places.asked.count(f"GET {copy.name}") == 1
    places.asked.clear()
    assert clip_files.find(NAME) == path and not places.asked  # it is here


def test_files_of_another_hash_are_refused(places, archive, copy):
    places.has |= {"ViT-B-32.pt": b"something else", copy.name: copy.read_bytes() + b"and more"}
    with pytest.raises(ConnectionError) as refused:
        clip_files.find(NAME)
    said = str(refused.value)
    assert "OpenAI's server: invalid hash value" in said and "the Hugging Face hub: invalid hash value" in said
    assert not any(file.cached.exists() for file in clip_files.published(NAME).values())


def test_without_any_the_error_says_what_to_put_where(places, tmp_path):
    photo = tmp_path / "photo.pt"
    checkpoints.save(photo, g_ema=Generator(16, 8, 8, 1, {4: 4, 8: 4, 16: 4}))
    said = call("edit", photo, "red hair", "--out", tmp_path / "x.png", "--clip", NAME, code=2)
    assert said.startswith(f"error: CLIP {NAME} cannot be fetched (OpenAI's server: HTTP Error 404")
    assert "put OpenAI's ViT-B-32.pt (SHA-256 " in said and "--clip FILE" in said
    assert "open_clip_model.safetensors of huggingface.co/timm/" in said


def test_without_a_network_that_is_soon_known(places, monkeypatch):
    monkeypatch.setattr("stylegan2.published.fetch.getproxies", dict)
    places.server.shutdown()
    places.server.server_close()
    with pytest.raises(ConnectionError, match="server: .*Connection refused.*hub: .*Connection refused"):
        clip_files.find(NAME)


def test_a_missing_package_is_named(places, copy, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ConnectionError, match="the Hugging Face hub: a package is missing: pip install safetensors"):
        clip_files.find(NAME)
    with pytest.raises(CheckpointError, match="safetensors' needs a package to be read: pip install safetensors"):
        ClipModel.load(copy)


def test_full_scale_takes_the_file_that_is_there_or_falls_back_and_says_so(places, archive, model, tmp_path, capsys):
    pocket = tmp_path / "checkpoints" / "pocket" / "clip.pt"
    files.write(pocket, model.state_dict())
    full = FullModels(tmp_path, Zoo(tmp_path / "full"))
    assert full.clip() == pocket
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and said.startswith("texts are read by the pocket CLIP") and "ViT-B-32.pt" in said
    places.has["ViT-B-32.pt"] = archive.read_bytes()
    beside = tmp_path / "full" / "ViT-B-32.pt"  # with the models, which a course on Colab keeps on Drive
    assert full.clip() == beside and not capsys.readouterr().out
    assert not clip_files.published(NAME)[clip_files.OPENAI].cached.exists()
    places.has.clear()
    assert full.clip() == beside and same(ClipModel.load(full.clip()), model)


def test_openais_own_hash_is_read_off_its_address():
    known = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
    assert clip_files.published(NAME)[clip_files.OPENAI].sha256 == known
    assert [file.name for file in clip_files.published("RN50").values()] == ["RN50.pt"]
