"""Write down which packages Colab has: tests/colab_packages.txt, which tests hold pyproject.toml against.

python docs/colab_versions.py            as Google publishes them (`make colab-versions`)
python docs/colab_versions.py ADDRESS    from a copy of that repository, such as file:///FOLDER
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import urllib.request
from datetime import date
from pathlib import Path

PUBLISHED = "https://raw.githubusercontent.com/googlecolab/backend-info/main"
PACKAGES, SYSTEM = "pip-freeze.gpu.txt", "os-info-gpu.txt"
OUT = Path(__file__).resolve().parents[1] / "tests" / "colab_packages.txt"
PINNED = re.compile(r"(?m)^[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+$")  # the rest was installed from files and addresses
EXPECTED = ("torch", "torchvision", "numpy", "ipywidgets", "ipykernel")
HEADER = """\
# Colab's packages (GPU image) as of {today}, Python {python}; from {source}.
# `make colab-versions` writes this file anew. tests/test_colab.py holds pyproject.toml against it.
"""


def read(source: str, name: str) -> str:
    """A file of that address. Raises OSError where it cannot be had."""
    with urllib.request.urlopen(f"{source}/{name}", timeout=60) as answer:
        return answer.read().decode("utf-8")


def listed(packages: str, system: str, source: str) -> str:
    """The text of our file, from the words of `pip freeze` and of `python --version`. Raises ValueError for others."""
    pins, python = PINNED.findall(packages), re.search(r"(?m)^Python (\d+\.\d+)", system)
    missing = set(EXPECTED) - {pin.partition("==")[0].lower() for pin in pins}
    if missing or not python:
        what = f"{PACKAGES} names no {', '.join(sorted(missing))}" if missing else f"{SYSTEM} names no Python"
        raise ValueError(f"{source}: {what}: this is not what Colab publishes; look at {PUBLISHED}")
    return HEADER.format(today=date.today(), python=python[1], source=source) + "\n".join(pins) + "\n"


def main() -> None:
    """Fetch, check, write; what was there before stays where that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", default=PUBLISHED, help=f"address of {PACKAGES} and {SYSTEM}")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    try:
        text = listed(read(given.source, PACKAGES), read(given.source, SYSTEM), given.source)
    except (OSError, ValueError) as error:
        sys.exit(f"{given.out.name} stays as it was: {error}")
    partial = given.out.with_suffix(".tmp")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, given.out)
    print(f"{given.out.name}: {len(text.splitlines()) - 2} packages. Now run tests/test_colab.py.")


if __name__ == "__main__":
    main()
