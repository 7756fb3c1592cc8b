"""The command line: `python -m stylegan2 VERB`, installed as `stylegan2` too.

Each verb is a few lines around a function of the package. What is heavy is imported inside the verb, so that `--help`
answers at once. Errors that a user can mend come as one line on stderr, return code 2; `--debug` shows the traceback.
A verb with several inputs leaves out those that do not work, names them, and ends with return code 1 (`common.end`).
"""

from stylegan2.cli import data, training, models, editing, photos, cartoons, stylize, studies  # noqa: F401, I001  (as in `--help`)
from stylegan2.cli.common import app, parse_seeds

__all__ = ["app", "main", "parse_seeds"]


def main() -> None:
    """Entry point of `python -m stylegan2` and of the console script."""
    app(prog_name="stylegan2")
