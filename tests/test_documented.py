"""Every command that is written somewhere: its options exist, and those of the README run, in their order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from stylegan2 import cli, display
from stylegan2.pocket import world
from stylegan2.pocket.world.pages import make_page
from stylegan2.pocket.world.site import LocalSite

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = typer.main.get_command(cli.app)
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md")), *sorted((ROOT / "docs").glob("*.md"))]
BEGIN = re.compile(r"^(?:\.venv/bin/)?(?:python -m stylegan2|torchrun .* -m stylegan2) ")
DESIGN = (  # the verbs that DESIGN.md names
    *("prepare", "train", "generate", "project", "factorize", "apply-factor", "swap", "mix", "edit", "cartoonize"),
    *("crawl", "crop", "download", "convert", "metrics"),
)


def commands(text: str) -> list[str]:
    """Whole lines of a page, or of a verb's help, that call the program, without their comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if BEGIN.match(line.strip())]


def words_of(command: str) -> list[str]:
    return shlex.split(command.rpartition("-m stylegan2 ")[2], comments=True)


def help_of(verb: str) -> str:
    result = CliRunner().invoke(cli.app, [verb, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    return result.output


def check(words: list[str]) -> None:
    """Raises UsageError for an option that does not exist, or a value of another type."""
    verb = PROGRAM.get_command(None, words[0])
    assert verb is not None, f"there is no verb {words[0]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli.common, "_existing", lambda path: path)  # the reader's own files are not here
        verb.make_context(words[0], words[1:])


VERBS = sorted(PROGRAM.list_commands(None))
WRITTEN = [(page.relative_to(ROOT).as_posix(), command) for page in PAGES for command in commands(page.read_text())]


def test_all_verbs_of_the_design_are_there():
    assert set(DESIGN) <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches(verb):
    """What it does, an example or more, each of which is a command that exists, and every option explained."""
    examples = commands(help_of(verb))
    assert examples and f"Example{'s' if len(examples) > 1 else ''}:" in help_of(verb)
    for example in examples:
        check(words_of(example))
    assert any(words_of(example)[0] == verb for example in examples)
    assert not [param.name for param in PROGRAM.get_command(None, verb).params if not param.help]


def test_pages_hold_commands():
    assert len(WRITTEN) >= 20


@pytest.mark.parametrize(("page", "command"), WRITTEN)
def test_a_written_command_exists(page, command):
    check(words_of(command))


# --------------------------------------------------------------------------------------------- the README, from above
SMALLER = {  # verb -> options that replace those of the README, so that all of it takes a minute
    "train": {"--images": "8", "--batch": "4"},
    "edit": {"--steps": "2"},
    "video": {"--frames": "2", "--scale": "1"},
    "project": {"--steps": "2"},
    "cartoonize": {"--steps": "0"},
    "stylize": {"--iterations": "2"},
    "crop": {"--detector": "pocket", "--min-size": "24"},
}
LEARN = "--learn"


def smaller(words: list[str], site: LocalSite) -> list[str]:
    """The same command with less to do, and the site of this machine for that of the README."""
    words = [site.url("webtoons") if word.startswith("https://") else word for word in words]
    if LEARN in words:
        words[words.index(LEARN) + 1] = "100-101"
    for option, value in SMALLER.get(words[0], {}).items():
        if option in words:
            words[words.index(option) + 1] = value
        else:
            words += [option, value]
    return words


def test_the_readme_runs_from_above(tmp_path, monkeypatch):
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    for i in range(2):
        display.save(make_page(i).image, tmp_path / "my_pages" / f"{i}.png")
    (drawing,) = world.render(world.sample("webtoon", 1, seed=1), "webtoon")
    display.save(display.to_pil(drawing), tmp_path / "my_drawing.png")
    monkeypatch.chdir(tmp_path)
    site = LocalSite(episodes=1, pictures=2, delay=0).start()
    ran = []
    try:
        for command in commands((ROOT / "README.md").read_text()):
            words = smaller(words_of(command), site)
            if words[0] == "download" or "torchrun" in command:
                continue  # tests/test_zoo.py, tests/test_distributed.py
            if words[0] == "crawl":
                words += ["--site", "webtoons", "--delay", "0", *(f"--allow-local={host}" for host in site.allowed)]
            result = CliRunner().invoke(cli.app, words)
            assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"
            ran.append(words[0])
    finally:
        site.stop()
    assert set(ran) >= {"crawl", "crop", "prepare", "train", "generate", "edit", "project", "cartoonize", "swap"}
    assert (tmp_path / "my_cartoons" / "grace_hopper_mine.png").is_file()
