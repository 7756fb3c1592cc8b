"""The solutions printed in the notebooks are right, and wrong or missing answers are told apart."""

import json
import re
from pathlib import Path

import pytest
import torch

from stylegan2.exercises import EXERCISES, check

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
    """Exercises of notebook 05 against StructureLoss and the scoreboard's Pareto front."""
    from stylegan2.networks import build
    from stylegan2.scoreboard_view import pareto
    from stylegan2.training.draws import Draws, Fakes
    from stylegan2.training.transfer import StructureLoss, source_stages

    g, other = (build(16, "pocket", seed)[0].eval() for seed in (0, 1))
    z = torch.randn(2, 3, g.z_dim, generator=torch.Generator().manual_seed(0))
    draws = Draws(z, 3, g.synthesis.draw_noise(3, torch.Generator().manual_seed(0)))
    own, theirs = (source_stages(network, draws, 16) for network in (other, g))
    fakes = Fakes(draws, draws.ws(other.mapping), own)
    rgbs = [{r: stage.rgb for r, stage in stages.items()} for stages in (own, theirs)]
    by_hand = EXERCISES["05-structure"].reference(*rgbs, (4, 8))
    assert torch.equal(by_hand, StructureLoss((4, 8)).distance(fakes, g))
    relative = EXERCISES["05-relative"].reference(rgbs[0][8], rgbs[1][8])
    assert torch.equal(relative, StructureLoss((8,), relative=True).distance(fakes, g))
    exercise = EXERCISES["05-pareto"]
    assert all(exercise.reference(*inputs) == sorted(pareto(*inputs)) for inputs in exercise.inputs)


def test_style_exercise_asks_for_what_freeze_style_does():
    """Exercise of notebook 04 against the mapping that FreezeStyle makes."""
    from stylegan2.networks import SharedMapping, build

    own, theirs = (build(16, "pocket", seed)[0].mapping for seed in (0, 1))
    z = torch.randn(2, own.z_dim, generator=torch.Generator().manual_seed(0))
    by_hand = EXERCISES["04-style"].reference(theirs(z), own(z), 4)
    assert torch.equal(by_hand, SharedMapping(own, theirs, 4)(z))


def test_an_answer_that_changes_what_it_is_given_is_refused():
    def in_place(source_ws, own_ws, k):
        own_ws[:, :k] = source_ws[:, :k]
        return own_ws

    assert check("04-style", in_place).startswith("not yet: it changes what it is given")
