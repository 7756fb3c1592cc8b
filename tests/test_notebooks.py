"""The house rules that every committed notebook keeps; nbmake runs the notebooks themselves (`make test`)."""

import ast
import json
import re
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MAX_BYTES = 1_500_000
MAX_LINES = 25
MAX_MEDIAN_LINES = 8

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell: dict) -> str:
    return "".join(cell["source"])


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in load(path)["cells"] if cell["cell_type"] == kind and source(cell).strip()]


def lines_of_code(cell: dict) -> int:
    """Lines that are neither empty nor only a comment."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in source(cell).splitlines())


def output_texts(path: Path) -> list[str]:
    """Every piece of text in the outputs: streams and text mimetypes, not the pictures."""
    texts = []
    for cell in cells(path, "code"):
        for output in cell["outputs"]:
            texts.append("".join(output.get("text", "")))
            texts += ["".join(v) for k, v in output.get("data", {}).items() if k in ("text/plain", "text/html")]
    return texts


def test_there_are_notebooks():
    assert NOTEBOOKS, "notebooks/ holds no notebook named like 00_meet_stylegan2.ipynb"


@every_notebook
def test_outputs_are_of_one_clean_run(path):
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    errors = [o.get("ename") for cell in code for o in cell["outputs"] if o["output_type"] == "error"]
    assert not errors
    assert any(cell["outputs"] for cell in code)


@every_notebook
def test_pictures_are_there_and_small(path):
    mimes = [mime for cell in cells(path, "code") for o in cell["outputs"] for mime in o.get("data", {})]
    assert sum(mime.startswith("image/") for mime in mimes) >= 3, "a picture after every step"
    assert path.stat().st_size <= MAX_BYTES, f"{path.stat().st_size / 1e6:.2f} MB; at most {MAX_BYTES / 1e6} MB"


@every_notebook
def test_no_widget_state_and_no_base64_in_markdown(path):
    assert "widgets" not in load(path)["metadata"]
    for k, cell in enumerate(load(path)["cells"]):
        assert set(cell.get("attachments", {})) <= ({f"map_{path.stem[:2]}.png"} if k == 0 else set())
        if cell["cell_type"] == "markdown":
            assert ";base64," not in source(cell)


@every_notebook
def test_panels_leave_a_static_picture(path):
    """GitHub and the site show no live widgets: a cell that shows one shows a picture as well."""
    view = "application/vnd.jupyter.widget-view+json"
    for cell in cells(path, "code"):
        mimes = [mime for output in cell["outputs"] for mime in output.get("data", {})]
        if view in mimes:
            assert any(mime.startswith("image/") for mime in mimes), f"no static picture beside: {source(cell)[:80]}"


@every_notebook
def test_code_cells_are_short(path):
    lengths = [lines_of_code(cell) for cell in cells(path, "code")]
    assert max(lengths) <= MAX_LINES
    assert median(lengths) <= MAX_MEDIAN_LINES


@every_notebook
def test_at_least_as_much_text_as_code(path):
    text, code = (sum(len(source(cell)) for cell in cells(path, kind)) for kind in ("markdown", "code"))
    assert text >= code, f"{text} characters of text, {code} of code"


@every_notebook
def test_starts_with_title_and_the_shared_setup_cell(path):
    first = source(load(path)["cells"][0])
    assert load(path)["cells"][0]["cell_type"] == "markdown" and re.match(r"# \S", first), "first cell: '# Title'"
    assert first.count("\n# ") == 0, "one title"
    setup = source(cells(path, "code")[0])
    assert setup == source(cells(NOTEBOOKS[0], "code")[0]), f"set-up cell differs from {NOTEBOOKS[0].name}'s"


@every_notebook
def test_the_opening_says_what_holds_for_pocket_scale(path):
    """The same cells draw other faces at full scale, of another size and in another time."""
    assert "Faces, sizes and times in the text are those of pocket scale" in source(load(path)["cells"][0])


@every_notebook
def test_kernel_is_named_python3(path):
    assert load(path)["metadata"]["kernelspec"]["name"] == "python3"
    assert load(path)["nbformat"] == 4


@every_notebook
def test_code_parses_and_imports_nothing_by_star(path):
    for cell in cells(path, "code"):
        code = "\n".join(re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in source(cell).splitlines())
        stars = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]
        assert not stars


@every_notebook
def test_outputs_hold_no_path_of_the_machine(path):
    pattern = re.compile(re.escape(str(ROOT)) + r"|/(?:home|root|Users|tmp|work|workspace)/\w")
    found = [match.group() for text in output_texts(path) if (match := pattern.search(text))]
    assert not found, found


@every_notebook
def test_outputs_hold_no_warnings(path):
    """A learner should not wonder whether a red box is their mistake. Progress bars write to stderr; they may."""
    noisy = [text[:200] for text in output_texts(path) if re.search(r"Warning:|Traceback", text)]
    assert not noisy, noisy
