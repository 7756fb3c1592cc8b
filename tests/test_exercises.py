"""The solutions printed in the notebooks are right, and wrong or missing answers are told apart."""

import json
import re
from pathlib import Path

import pytest
import torch

from stylegan2.course.exercises import EXERCISES, check

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
CALL = re.compile(r'check\("([^"]+)", (\w+)\)')
SOLUTION = re.compile(r"<details><summary>Solution</summary>.*?```python\n(.*?)```", re.DOTALL)


def asked(path):
    """[(exercise, name of the answer, solution's code)] of a notebook, in order."""
    found, pending = [], None
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code" and (call := CALL.search(text)):
            pending = call.groups()
        elif cell["cell_type"] == "markdown" and pending and (solution := SOLUTION.search(text)):
            found.append((*pending, solution.group(1)))
            pending = None
    return found


CASES = [case for path in NOTEBOOKS for case in asked(path)]


@pytest.mark.parametrize(("exercise", "variable", "code"), CASES, ids=[case[0] for case in CASES])
def test_printed_solution_is_right(exercise, variable, code, capsys):
    scope = {"torch": torch}
    exec(code, scope)
    verdict = check(exercise, scope[variable])
    assert verdict.startswith(("exact", "close")), verdict
    assert capsys.readouterr().out.startswith(exercise)


def test_every_exercise_is_asked_in_its_notebook():
    assert {case[0] for case in CASES} == set(EXERCISES)


@pytest.mark.parametrize("name", EXERCISES)
def test_unanswered_is_told_kindly(name):
    assert check(name, (lambda *_: ...) if EXERCISES[name].inputs else ...) == "not answered yet"


@pytest.mark.parametrize("name", EXERCISES)
def test_wrong_answer_gets_a_hint(name):
    wrong = (lambda *_: 123456.0) if EXERCISES[name].inputs else {"nonsense"}
    verdict = check(name, wrong)
    assert verdict.startswith("not yet") and EXERCISES[name].hint in verdict


def test_close_is_told_from_exact():
    reference = EXERCISES["00-truncation"].reference
    assert check("00-truncation", reference) == "exact"
    assert check("00-truncation", lambda w, m, psi: reference(w, m, psi) * (1 + 1e-6)).startswith("close")
    assert "largest difference" in check("00-truncation", lambda w, m, psi: reference(w, m, psi) * 1.1)


def test_unknown_exercise_lists_the_known():
    with pytest.raises(ValueError, match="00-truncation"):
        check("99-nothing", 1)


def test_structure_exercises_ask_for_what_the_package_does():
    """Exercises of notebook 05 against StructureLoss."""
    from stylegan2.inputs import Fakes, Inputs
    from stylegan2.networks import build
    from stylegan2.transfer import StructureLoss, source_stages

    g, other = (build(16, "pocket", seed)[0].eval() for seed in (0, 1))
    z = torch.randn(2, 3, g.z_dim, generator=torch.Generator().manual_seed(0))
    inputs = Inputs(z, 3, g.synthesis.sample_noise(3, torch.Generator().manual_seed(0)))
    own, theirs = (source_stages(network, inputs, 16) for network in (other, g))
    fakes = Fakes(inputs, inputs.ws(other.mapping), own)
    rgbs = [{r: stage.rgb for r, stage in stages.items()} for stages in (own, theirs)]
    by_hand = EXERCISES["05-structure"].reference(*rgbs, (4, 8))
    assert torch.equal(by_hand, StructureLoss((4, 8)).distance(fakes, g))


def test_style_exercise_asks_for_what_freeze_style_does():
    """Exercise of notebook 04 against the mapping that FreezeStyle makes."""
    from stylegan2.networks import SharedMapping, build

    own, theirs = (build(16, "pocket", seed)[0].mapping for seed in (0, 1))
    z = torch.randn(2, own.z_dim, generator=torch.Generator().manual_seed(0))
    by_hand = EXERCISES["04-style"].reference(theirs(z), own(z), 4)
    assert torch.equal(by_hand, SharedMapping(own, theirs, 4)(z))


def test_freezing_exercises_ask_for_what_the_package_does(tmp_path):
    """Exercises of notebooks 04 and 05 on what may still change, by short trainings with the reach of the course."""
    from tiny_training import Trainer, random_pictures, source, tiny_config

    from stylegan2.inputs import Fakes, Inputs
    from stylegan2.pocket.studies.methods import METHODS
    from stylegan2.transfer import FreezeFC, FreezeG, FreezeSG, FreezeStyle, StructureLoss, source_stages

    (freeze_sg,) = METHODS["freeze-sg"]
    reach, k = freeze_sg.max_resolution, freeze_sg.k
    assert METHODS["freeze-g"] == (FreezeG(reach),) and METHODS["freeze-style"] == (FreezeStyle(k),)
    assert EXERCISES["04-codes"].reference(reach) == k
    start = source(resolution=32)
    z = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    noise = start.g_ema.synthesis.sample_noise(3, torch.Generator().manual_seed(0))
    inputs = Inputs(z, 3, noise)

    def train(*methods):
        config = tiny_config(
            tmp_path / str(len(list(tmp_path.iterdir()))), images=8, fine_tune=True, lr=0.05, augment="none"
        )
        return Trainer.fine_tune(config, random_pictures(resolution=32), start, methods).run(progress=False)

    def image(g):
        return g.synthesis(g.mapping(z[0]), noise)

    def distance(g, own):
        return StructureLoss((4, 8, 16)).distance(Fakes(own, own.ws(g.mapping), source_stages(g, own, 16)), start.g_ema)

    alone = image(train(FreezeG(reach)))
    answers = {
        "a": image(train(FreezeG(reach), FreezeStyle(k))),
        "b": image(train(freeze_sg)),
        "c": image(train(FreezeG(reach, mapping=False))),
        "d": image(train(FreezeG(reach, mapping=False), FreezeFC())),
    }
    assert {name for name, other in answers.items() if torch.equal(other, alone)} == EXERCISES["04-same"].reference
    lower = train(FreezeSG(reach // 2, k - 2))
    zero = {"a": distance(start.g_ema, inputs), "c": distance(lower, inputs), "d": distance(train(freeze_sg), inputs)}
    assert {name for name, value in zero.items() if value == 0} == EXERCISES["05-zero"].reference


def test_direction_exercises_ask_for_what_the_package_does():
    """Exercises of notebook 07 against factorize and move."""
    from stylegan2.editing import sefa
    from stylegan2.editing.directions import move
    from stylegan2.networks import build

    g = build(16, "pocket", 0)[0].eval()
    directions = sefa.factorize(g, "coarse", count=4)
    by_hand = EXERCISES["07-factorise"].reference(sefa.style_weights(g, "coarse"), 4)
    assert torch.allclose(by_hand.float(), directions.vectors, atol=1e-6)
    w = g.mapping.w(torch.randn(2, g.z_dim, generator=torch.Generator().manual_seed(0))).detach()
    edited = EXERCISES["07-edit"].reference(w, g.mapping.w_mean, 0.5, directions.vectors[1], -3.0)
    theirs = move(g.mapping.truncate(g.mapping.broadcast(w), 0.5), directions, {1: -3.0}, "all")
    assert torch.allclose(g.mapping.broadcast(edited), theirs, atol=1e-5)


def test_likely_mistakes_with_directions_are_found():
    def truncated_last(w, w_mean, psi, n, degree):
        return w_mean + psi * (w + degree * n - w_mean)

    def strongest(changes, column):
        return int(changes[:, column].abs().argmax())

    def rows_as_they_are(a, count):
        vectors = torch.linalg.svd(a).Vh[:count]
        return vectors * vectors[range(count), vectors.abs().argmax(dim=1)].sign()[:, None]

    for name, wrong in (("edit", truncated_last), ("cleanest", strongest), ("factorise", rows_as_they_are)):
        assert check(f"07-{name}", wrong).startswith("not yet"), name


def test_an_answer_that_changes_what_it_is_given_is_refused():
    def in_place(source_ws, own_ws, k):
        own_ws[:, :k] = source_ws[:, :k]
        return own_ws

    assert check("04-style", in_place).startswith("not yet: it changes what it is given")


def test_mixing_exercises_ask_for_what_the_package_does():
    """Exercises of notebook 09 against `mix`, and against what the judge reads in the shipped model."""
    from stylegan2 import checkpoints
    from stylegan2.editing.style_mixing import mix
    from stylegan2.pocket.nets.judge import Judge
    from stylegan2.pocket.studies.ownership import measure_ownership

    a, b = torch.randn(2, 12, 8, generator=torch.Generator().manual_seed(0))
    chains = {
        "a": mix(b, a, range(4, len(a))),
        "b": mix(mix(a, b, "2-3"), b, "0-1"),
        "c": mix(mix(a, b, "0-3"), a, "2-5"),
        "d": mix(mix(a, b, "0-5"), a, "4-5"),
        "e": mix(a, mix(a, b, "2-3"), "0-3"),
    }
    found = {name for name, codes in chains.items() if torch.equal(codes, mix(a, b, "0-3"))}
    assert found == EXERCISES["09-same"].reference

    pocket = Path(__file__).resolve().parents[1] / "checkpoints" / "pocket"
    source = checkpoints.load(pocket / "photo.pt", g_ema_only=True).g_ema
    study = measure_ownership(source, Judge.load(pocket / "judge.pt"), ["0", "1", "2", "3", "4", "5"], pairs=12)
    best = max(study.sets, key=lambda owned: owned.taken["mouth"])
    assert best.layers == (EXERCISES["09-layer"].reference,)


def test_text_exercises_ask_for_what_the_package_does():
    """Exercises of notebook 08 against ClipModel, OpenAI's own preprocessing, and TextEdit."""
    from clip.clip import _transform
    from tiny_clip import SIDE, tiny_clip

    from stylegan2.display import to_pil
    from stylegan2.editing.styleclip import EditConfig, TextEdit

    clip, by_hand = tiny_clip(), EXERCISES["08-similarity"].reference
    images = 1.2 * torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1.2
    text = clip.encode_texts(["red hair", "a smile"])
    found = by_hand(images, text, clip.model.encode_image, clip.mean, clip.sd)
    assert torch.equal(found, clip.encode_images(images) @ text.T)
    theirs = torch.stack([_transform(SIDE)(to_pil(image)) for image in images])
    seen = torch.nn.functional.normalize(clip.model.encode_image(theirs), dim=1)
    assert torch.allclose(found, seen @ text.T, atol=0.01)  # pictures have 256 shades

    start, ends, strengths = EXERCISES["08-combine"].inputs[1]
    edit = TextEdit(EditConfig("red hair"), start, ends[0])
    assert torch.allclose(EXERCISES["08-combine"].reference(start, ends, strengths), edit.at(strengths[0]), atol=1e-6)


def test_likely_mistakes_with_text_edits_are_found():
    def unclamped(images, text, encode, mean, sd):
        seen = encode((images * 0.5 + 0.5 - mean) / sd)
        return torch.nn.functional.normalize(seen, dim=1) @ text.T

    def as_the_original(images, text, encode, mean, sd):
        return torch.nn.functional.normalize(encode(images), dim=1) @ text.T

    def lower_end(holds, low, high, rounds):
        for _ in range(rounds):
            middle = (low + high) / 2
            low, high = (low, middle) if holds(middle) else (middle, high)
        return low

    def start_counted_twice(start, ends, strengths):
        return start + sum(torch.lerp(start, end, s) for end, s in zip(ends, strengths, strict=True))

    wrong = {"similarity": unclamped, "crossing": lower_end, "combine": start_counted_twice}
    for name, answer in [*wrong.items(), ("similarity", as_the_original)]:
        assert check(f"08-{name}", answer).startswith("not yet"), name
