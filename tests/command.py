"""The command line, called from a test."""

from __future__ import annotations

from click.testing import Result
from typer.testing import CliRunner

from stylegan2 import cli


def invoke(*words, code: int = 0) -> Result:
    """What comes of a command; its exit code must be `code`, and nothing may look like a traceback."""
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    assert "Traceback" not in result.output
    return result


def call(*words, code: int = 0) -> str:
    """What a command says, or, where its exit code is to be another than 0, its errors alone."""
    result = invoke(*words, code=code)
    return result.stderr if code else result.output


def refusal(*words) -> str:
    """The one line that a command answers to what it cannot do, exit code 2."""
    text = invoke(*words, code=2).stderr
    assert text.startswith("error: ") and text.count("\n") == 1, text
    return text
