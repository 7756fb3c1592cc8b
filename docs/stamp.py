"""Put the repository's address wherever a file must hold it: Colab badges, set-up cells, README's clone command.

    .venv/bin/python docs/stamp.py [--check]

The one place where it is written by hand is `stylegan2.__repository__`. A test holds the two equal.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from notebook_files import ROOT

from stylegan2 import __repository__

BRANCH = "main"  # what Colab opens and clones: a notebook gets the code that it was committed with
FOLDER = __repository__.rpartition("/")[2]
COLAB = "https://colab.research.google.com"
SETUP = f"""# On Colab, which opens this file alone: fetch the course, install what is missing, and keep what is there
try:
    from stylegan2.course import setup
except ModuleNotFoundError:
    !git clone --quiet --depth 1 --branch {BRANCH} {__repository__}
    !pip list --format=freeze | grep -iE "^(torch|torchvision|numpy|opencv[a-z-]*)=" > keep.txt
    !pip install --quiet --constraint keep.txt ./{FOLDER}
    %cd -q {FOLDER}/notebooks
    from stylegan2.course import setup
course = setup()"""


def badge(name: str) -> str:
    """Markdown that opens a notebook in Colab."""
    path = __repository__.removeprefix("https://github.com/")
    target = f"{COLAB}/github/{path}/blob/{BRANCH}/notebooks/{name}"
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({target})"


def stamped_notebook(text: str, name: str) -> str:
    """A notebook's JSON with its badge and the shared set-up cell."""
    notebook = json.loads(text)
    first = notebook["cells"][0]
    words = re.sub(r"\[!\[Open in Colab\][^\n]*", lambda _: badge(name), "".join(first["source"]))
    setup = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    first["source"], setup["source"] = words.splitlines(keepends=True), SETUP.splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def stamped_readme(text: str) -> str:
    """README with the command that clones."""
    return re.sub(r"git clone https://\S+", f"git clone {__repository__}", text)


def stamped() -> dict[Path, str]:
    """Every file that holds the address, as it should be."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    found = {path: stamped_notebook(path.read_text(encoding="utf-8"), path.name) for path in notebooks}
    return found | {ROOT / "README.md": stamped_readme((ROOT / "README.md").read_text(encoding="utf-8"))}


def main() -> None:
    """Write what differs, or with --check only name it (exit code 1)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    changed = [path for path, text in stamped().items() if path.read_text(encoding="utf-8") != text]
    for path in changed:
        print(f"{'differs' if check else 'stamped'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(stamped()[path], encoding="utf-8")
    sys.exit(bool(changed and check))


if __name__ == "__main__":
    main()
