"""Options of the verbs, out of what they configure: name, type, default and help are written once, where they belong.

    Cut = Settings("collect.crops", "CropConfig", sure=typer.Option("--confidence"))

    @verb()
    def crop(
        src: Source,  # a parameter is an option, the comment behind it the help
        *,
        config: Cut,  # this one stands for all fields of the dataclass, and is {field: value} when the verb runs
        overwrite: bool = False,  # a switch: --overwrite
    ) -> None:

The help of a field is the comment behind it. Fields below a line of comment are a group of their own in the help. A
dataclass is read as text, not imported: the modules of most need PyTorch, for which `--help` should not wait.
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
from typer.core import TyperCommand

from stylegan2.cli.common import app

PACKAGE = Path(__file__).parents[1]
NAMES = {"Path": Path, "Literal": Literal}  # what annotations and defaults of fields are made of
KEYWORD = inspect.Parameter.KEYWORD_ONLY  # so that options without a default may follow others


class Settings:
    """The fields of a dataclass of `stylegan2.MODULE`, among the parameters of a verb, which its own come before.

    Args:
        only, without: which fields; none: all.
        options: field=typer.Option(...) for another name on the command line, another help, a callback.
    """

    def __init__(self, module: str, name: str, only: tuple[str, ...] = (), without: tuple[str, ...] = (), **options):
        self.path = PACKAGE / f"{module.replace('.', '/')}.py"
        self.name, self.only, self.without, self.options = name, only, without, options

    def parameters(self, others: tuple[str, ...]) -> list[inspect.Parameter]:
        """A parameter for every field but `others`."""
        nodes, lines = _module(self.path)
        parameters = []
        for field in nodes[self.name].body:
            if not isinstance(field, ast.AnnAssign) or (name := field.target.id) in (*others, *self.without):
                continue
            kind = ast.unparse(field.annotation).replace("str | os.PathLike", "Path")
            if (self.only and name not in self.only) or kind.startswith("ClassVar"):
                continue
            default = inspect.Parameter.empty if field.value is None else eval(ast.unparse(field.value), NAMES)
            kind = eval(kind, NAMES)
            kind = Annotated[kind, self.options[name]] if name in self.options else kind
            parameter = inspect.Parameter(name, KEYWORD, default=default, annotation=kind)
            parameters.append(_option(parameter, _comment(lines, field), _heading(lines, field)))
        return parameters


class Verb(TyperCommand):
    """A verb whose help has a section for every group of options."""

    def format_options(self, ctx, formatter) -> None:
        """Write the sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            group = "Arguments" if param.param_type_name == "argument" else getattr(param, "rich_help_panel", None)
            sections.setdefault(group or "Options", []).append(param.get_help_record(ctx))
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def verb(name: str | None = None) -> Callable[[Callable], Callable]:
    """Make a function a verb of the program, with its parameters as options: see above."""
    return lambda function: app.command(name, cls=Verb)(_with_options(function))


def _with_options(function: Callable) -> Callable:
    own = inspect.signature(function, eval_str=True).parameters
    nodes, lines = _module(Path(function.__code__.co_filename))
    comments, parameters, groups = _comments(nodes[function.__name__].args, lines), [], {}
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


def _option(parameter: inspect.Parameter, text: str, heading: str | None = None) -> inspect.Parameter:
    """The same parameter as an option with a help. One that is False without it is a switch, without a --no-."""
    annotation = parameter.annotation
    kind, *infos = get_args(annotation) if get_origin(annotation) is Annotated else [annotation]
    if kind is typer.Context:
        return parameter.replace(kind=KEYWORD)
    switch = [f"--{parameter.name.replace('_', '-')}"] if parameter.default is False else []
    info = copy(infos[0]) if infos else typer.Option(*switch)
    info.help, info.rich_help_panel = info.help or _sentence(text, parameter.default), heading
    return parameter.replace(kind=KEYWORD, annotation=Annotated[kind, info])


@cache
def _module(path: Path) -> tuple[dict[str, Any], list[bytes]]:
    """The classes and functions of a module, and its lines."""
    source = path.read_bytes()
    return {getattr(node, "name", ""): node for node in ast.parse(source).body}, source.splitlines()


def _comments(args: ast.arguments, lines: list[bytes]) -> dict[str, str]:
    """{parameter: the comment behind it}"""
    defaults = [None] * (len(args.args) - len(args.defaults)) + args.defaults + args.kw_defaults
    pairs = zip([*args.args, *args.kwonlyargs], defaults, strict=True)
    return {arg.arg: _comment(lines, default or arg) for arg, default in pairs}


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


def _heading(lines: list[bytes], field: ast.AST) -> str | None:
    """The line of comment that begins a field's paragraph, up to a colon."""
    row = field.lineno - 1
    while lines[row - 1].strip():
        row -= 1
    match = re.fullmatch(rb"\s*# ?([^:]*).*", lines[row])
    return match and match[1].decode()


def _sentence(text: str, default: Any) -> str:
    """A help out of a comment: what speaks of Python goes, and the first word is written large if it is a word."""
    text = text.replace("None: ", "default: ") if default is None else re.sub(r"; None: .*", "", text)
    text = text[0].upper() + text[1:] if re.match(r"[a-z-]+ ", text) else text
    return text if not text or text[-1] in ".]" else f"{text}."
