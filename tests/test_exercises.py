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
