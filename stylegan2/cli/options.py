"""Options of the verbs, out of what they configure: name, type, default and help are written once, where they belong.

    Cut = Settings("collect.crops", "CropConfig", sure=typer.Option("--confidence"))

    @verb()
    def crop(
        src: Source,  # a parameter is an option, the comment behind it the help
        *,
        config: Cut,  # this one stands for all fields of the dataclass, and is {field: value} when the verb runs
        overwrite: bool = False,  # a switch: --overwrite
    ) -> None:

The help of a field is the comment behind it, or what the docstring says of it under "Attributes". A dataclass is read
as text, not imported: the modules of most need PyTorch, for which `--help` should not wait.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from copy import copy
from functools import cache, wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from stylegan2.cli.common import app

PACKAGE = Path(__file__).parents[1]
NAMES = {"Path": Path, "Literal": Literal}  # what annotations and defaults of fields are made of
KEYWORD = inspect.Parameter.KEYWORD_ONLY  # so that options without a default may follow others


class Settings:
    """The fields of a dataclass, among the parameters of a verb.

    Args:
        module: of the dataclass, below `stylegan2`.
        name: of the dataclass.
        only: these fields; none: all. Those that the verb has as parameters of its own are left out in any case.
        without: fields that no option sets.
        options: field=typer.Option(...) for another name on the command line, another help, a callback.
    """

    def __init__(self, module: str, name: str, only: tuple[str, ...] = (), without: tuple[str, ...] = (), **options):
        self.path = PACKAGE / f"{module.replace('.', '/')}.py"
        self.name, self.only, self.without, self.options = name, only, without, options

    def parameters(self, others: tuple[str, ...]) -> list[inspect.Parameter]:
        """A parameter for every field, without those of the verb's own."""
        node, lines = _definition(self.path, self.name)
        described = _attributes(ast.get_docstring(node) or "")
        parameters = []
        for field in node.body:
            if not isinstance(field, ast.AnnAssign) or (name := field.target.id) in (*others, *self.without):
                continue
            kind = ast.unparse(field.annotation).replace("str | os.PathLike", "Path")
            if (self.only and name not in self.only) or kind.startswith("ClassVar"):
                continue
            default = inspect.Parameter.empty if field.value is None else eval(ast.unparse(field.value), NAMES)
            kind, text = eval(kind, NAMES), _comment(lines, field) or described.get(name, "")
            kind = Annotated[kind, self.options[name]] if name in self.options else kind
            parameters.append(_option(inspect.Parameter(name, KEYWORD, default=default, annotation=kind), text))
        return parameters


def verb(name: str | None = None) -> Callable[[Callable], Callable]:
    """Make a function a verb of the program, with its parameters as options: see above."""
    return lambda function: app.command(name)(_with_options(function))


def _with_options(function: Callable) -> Callable:
    own = inspect.signature(function, eval_str=True).parameters
    node, lines = _definition(Path(function.__code__.co_filename), function.__name__)
    parameters, groups = [], {}
    comments = _comments(node, lines)
    for name, parameter in own.items():
        if isinstance(parameter.annotation, Settings):
            fields = parameter.annotation.parameters(tuple(own))
            parameters += fields
            groups[name] = [field.name for field in fields]
        else:
            parameters.append(_option(parameter, comments[name]))

    @wraps(function)
    def call(**given: Any) -> None:
        for group, names in groups.items():
            given[group] = {name: given.pop(name) for name in names}
        return function(**given)

    call.__signature__ = inspect.Signature(parameters)
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _option(parameter: inspect.Parameter, text: str) -> inspect.Parameter:
    """The same parameter as an option with a help. One that is False without it is a switch, without a --no-."""
    kind, *infos = (
        get_args(parameter.annotation) if get_origin(parameter.annotation) is Annotated else [parameter.annotation]
    )
    if kind is typer.Context:
        return parameter.replace(kind=KEYWORD)
    switch = [f"--{parameter.name.replace('_', '-')}"] if parameter.default is False else []
    info = copy(infos[0]) if infos else typer.Option(*switch)
    info.help = info.help or _sentence(text, parameter.default)
    return parameter.replace(kind=KEYWORD, annotation=Annotated[kind, info])


@cache
def _module(path: Path) -> tuple[dict[str, Any], list[bytes]]:
    source = path.read_bytes()
    return {getattr(node, "name", ""): node for node in ast.parse(source).body}, source.splitlines()


def _definition(path: Path, name: str) -> tuple[Any, list[bytes]]:
    """A class or function of a module, and the module's lines."""
    nodes, lines = _module(path)
    return nodes[name], lines


def _comments(node: ast.FunctionDef, lines: list[bytes]) -> dict[str, str]:
    """{parameter: the comment behind it}"""
    plain, named = node.args.args, node.args.kwonlyargs
    defaults = [None] * (len(plain) - len(node.args.defaults)) + node.args.defaults + node.args.kw_defaults
    return {a.arg: _comment(lines, default or a) for a, default in zip([*plain, *named], defaults, strict=True)}


def _comment(lines: list[bytes], node: ast.AST) -> str:
    """The comment behind a piece of code, with the lines of nothing but comment that follow."""
    words, row = [], node.end_lineno - 1
    behind = rb"[\s,)\]]*# ?(.*)"
    rest = lines[row][node.end_col_offset :]
    while match := re.fullmatch(behind, rest):
        words.append(match[1].decode())
        row += 1
        rest, behind = lines[row], rb"\s*# ?(.*)"
    return " ".join(words)


def _attributes(docstring: str) -> dict[str, str]:
    """{field: text} of a docstring's "Attributes"."""
    section = docstring.partition("Attributes:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    (\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: text for names, text in entries for name in names.split(", ")}


def _sentence(text: str, default: Any) -> str:
    """A help out of a comment: what speaks of Python goes, and the first word is written large if it is a word."""
    text = re.sub(r",? see `[^`]*`", "", " ".join(text.split()))
    text = text.replace("None: ", "default: ") if default is None else re.sub(r"; None: .*", "", text)
    text = text[0].upper() + text[1:] if re.match(r"[a-z-]+ ", text) else text
    return text if not text or text[-1] in ".]" else f"{text}."
