"""Every verb that takes --device, on a card that is not there: it computes there, and writes what it always writes."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from command import call
from tiny_clip import save_clip, tiny_clip
from tiny_training import tiny_networks

from stylegan2 import checkpoints, cli, display
from stylegan2.editing.encoder import Encoder, save_encoder
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.networks import SynthesisNetwork
from stylegan2.pocket import recipe, world
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.studies import scoreboard, text_edits


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """photo.pt and webtoon_freeze-sg.pt (16 px), judge.pt, encoder.pt, clip.pt, me.png, faces.lmdb."""
    folder = tmp_path_factory.mktemp("models")
    for name, seed in (("photo", 1), ("webtoon_freeze-sg", 2)):
        g, d = tiny_networks(16, 6, seed)
        checkpoints.save(folder / f"{name}.pt", g_ema=g, g=g, d=d)
    torch.manual_seed(0)
    Judge().save(folder / "judge.pt")
    g = checkpoints.load(folder / "photo.pt").g_ema
    e = Encoder(16, g.num_ws, g.w_dim, {4: 6, 8: 8, 16: 4})
    save_encoder(folder / "encoder.pt", e, {"generator": checkpoints.fingerprint(g)})
    save_clip(tiny_clip(), folder / "clip.pt")
    display.to_pil(g.synthesis(ws_from_seeds(g, [3]), "const")[0]).save(folder / "me.png")
    (folder / "faces").mkdir()
    for i, face in enumerate(world.render(world.sample("webtoon", 6, seed=0), "webtoon", 16)):
        display.to_pil(face).save(folder / "faces" / f"{i}.png")
    call("factorize", folder / "photo.pt", "--out", folder / "d.pt", "--count", 1)
    call("prepare", folder / "faces", "--out", folder / "faces.lmdb", "--size", 16, "--workers", 0)
    return folder


@pytest.fixture
def drawn_on(card, monkeypatch) -> list[str]:
    """The devices that generators drew on."""
    seen, stages = [], SynthesisNetwork.stages

    def watched(self, ws, *args, **kwargs):
        seen.append(ws.device.type)
        return stages(self, ws, *args, **kwargs)

    monkeypatch.setattr(SynthesisNetwork, "stages", watched)
    return seen


VERBS = {  # verb: its words ({} is the folder of the files, OUT one of its own), and a file that it writes
    "generate": ("{}/photo.pt --seeds 0-3 --out OUT/faces.png --noise random", "faces.png"),
    "edit": ("{}/photo.pt red --out OUT/red.png --clip {}/clip.pt --steps 2 --seeds 1 --latents OUT/red.pt", "red.pt"),
    "project": ("{}/photo.pt {}/me.png --out OUT --judge {}/judge.pt --encoder {}/encoder.pt --steps 2", "me.pt"),
    "train-encoder": (
        "{}/photo.pt --out OUT/e.pt --judge {}/judge.pt --images 4 --batch 2 --faces 4 --scratch OUT",
        "e.pt",
    ),
    "cartoonize": ("{}/me.png --models {} --style webtoon --steps 2 --strength 0.5 --out OUT", "me_webtoon.png"),
    "stylize": (
        "{}/me.png --source {}/photo.pt --judge {}/judge.pt --encoder {}/encoder.pt --steps 2 --iterations 2 "
        "--out OUT/r",
        "r/sheet.png",
    ),
    "stylize --text": (
        "--text red --from blue --source {}/photo.pt --clip {}/clip.pt --iterations 2 --batch 2 --check-every 1 "
        "--least-variety 0 --out OUT/r",
        "r/sheet.png",
    ),
    "metrics": ("{}/photo.pt --domain photo --source {}/photo.pt --faces 6 --judge {}/judge.pt", None),
    "mix": ("{}/photo.pt --out OUT/mix.png --rows 1,2 --columns 3", "mix.png"),
    "factorize": ("{}/photo.pt --out OUT/d.pt --count 1 --judge {}/judge.pt", "d.pt"),
    "apply-factor": ("{}/photo.pt --factor {}/d.pt --seeds 1 --out OUT/strip.png", "strip.png"),
    "video": ("{}/photo.pt --out OUT/film.gif --seeds 1,2 --frames 2", "film.gif"),
}
ELSEWHERE = {"train", "scoreboard", "pocket"}  # below


def test_every_verb_with_a_device_is_here():
    with_device = {
        command.name or command.callback.__name__
        for command in cli.app.registered_commands
        if "device" in inspect.signature(command.callback).parameters
    }
    assert with_device == {name.split()[0] for name in VERBS} | ELSEWHERE


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_draws_on_the_card(files, drawn_on, tmp_path, verb):
    words, written = VERBS[verb]
    words = words.replace("{}", str(files)).replace("OUT", str(tmp_path)).split()
    call(verb.split()[0], *words, "--device", "cuda")
    assert set(drawn_on) == {"cuda"}
    assert written is None or (tmp_path / written).stat().st_size > 0


def test_what_is_kept_of_an_edit_is_taken_up_again(files, drawn_on, tmp_path):
    words = [f"{files}/photo.pt", "red", "--out", tmp_path / "red.png", "--clip", f"{files}/clip.pt", "--steps", 2]
    words += ["--seeds", 1, "--latents", tmp_path / "red.pt", "--with", f"{files}/webtoon_freeze-sg.pt"]
    call("edit", *words, "--device", "cpu")
    call("edit", *words, "--device", "cuda")
    assert set(drawn_on) == {"cpu", "cuda"}


@pytest.mark.parametrize("card", ["7.5", "8.0"], indirect=True)
def test_train_resumes_what_it_began_on_the_card(card, files, tmp_path):
    words = ["--data", files / "faces.lmdb", "--source", files / "photo.pt", "--method", "FreezeSG(8, 4)", "--batch", 4]
    words += ["--out", tmp_path, "--images", 8, "--snapshot-images", 4, "--sample-images", 8, "--sample-rows", 1]
    assert {"7.5": "float16", "8.0": "bfloat16"}[card] in call("train", *words, "--device", "cuda")
    assert "resumed at 8 of 8 images" in call("train", *words, "--device", "cuda")
    newest = max((tmp_path / "snapshots").glob("[0-9]*.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="passing over"):
        assert "resumed at 4 of 8 images" in call("train", *words, "--device", "cuda")


def test_the_recipe_measures_text_edits_on_its_device(card, files, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(text_edits, "run", lambda *networks_first: given.extend(networks_first[:3]) or [])
    monkeypatch.setattr(recipe.files, "write_json", lambda path, rows: None)
    recipe.make_edits(recipe.Recipe(shipped=files, device="cuda"))
    assert [next(network.parameters()).device.type for network in given] == ["cuda"] * 3


def test_the_scoreboard_measures_on_the_card(card, files, drawn_on, tmp_path):
    study = scoreboard.Study(files / "photo.pt", files / "judge.pt", tmp_path, images=8, faces=4, device="cuda")
    target = checkpoints.load(files / "webtoon_freeze-sg.pt", "cpu").g_ema
    swap, numbers = next(scoreboard.measure(study, "webtoon", target))
    assert swap is None and numbers["domain_distance"] > 0 and set(drawn_on) == {"cuda"}
