"""`python -m stylegan2 VERB`: see `stylegan2.cli`."""

import sys
from pathlib import Path

COURSE = Path(__file__).resolve().parents[1]


def advice(error):
    """What to do where this Python is too old, or lacks the packages; written so that old Pythons can read it."""
    known = [COURSE / ".venv" / part for part in ("bin/python", "Scripts/python.exe")]
    ready = [str(path) for path in known if path.exists()]
    install = f"run `make install` in '{COURSE}' once, then use .venv/bin/python"
    use = f"use {ready[0]} -m stylegan2, or first: source .venv/bin/activate" if ready else install
    return f"error: {sys.executable} cannot run the course ({error}): {use}"


try:
    from stylegan2.cli import main
except (ImportError, SyntaxError) as error:
    if Path(sys.prefix).resolve() == COURSE / ".venv":  # the right one: then something is broken, and shown
        raise
    sys.exit(advice(error))

if __name__ == "__main__":  # worker processes import this file too, and must not start over
    main()
