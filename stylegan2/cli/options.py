"""Options of the verbs, out of what they configure: name, type, default and help are written once, where they belong.

    Cut = Settings("collect.crops", "CropConfig", sure=typer.Option("--confidence"))

    @verb()
    def crop(
        src: Source,  # a parameter is an option, the comment behind it the help
        *,
        config: Cut,  # this one stands for all fields of the dataclass, and is {field: value} when the verb runs
        overwrite: bool = False,  # a switch: --overwrite
    ) -> None:

Fields below a line of comment are a group of their own in the help. A dataclass is read as text, not imported: the
modules of most need PyTorch, for which `--help` should not wait.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable
from copy import copy
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand

from stylegan2.cli.common import app

PACKAGE = Path(__file__).parents[1]
NAMES = {"Path": Path, "Literal": Literal}  # what annotations and defaults of fields are made of
KEYWORD = inspect.Parameter.KEYWORD_ONLY  # so that options without a default may follow others
LINE = re.compile(r" {4}(?:(\w+): .*?)?(?:# ?(.*))?")  # of a signature or a dataclass: name, comment


class Settings:
    """The fields of a dataclass of `stylegan2.MODULE`, as options among those of a verb, which its own come before.

    Args:
        only, without: which fields; none: all.
        options: field=typer.Option(...) for another name on the command line, another help, a callback.
    """

    def __init__(self, module: str, name: str, only: tuple[str, ...] = (), without: tuple[str, ...] = (), **options):
        source = (PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        (node,) = (node for node in ast.parse(source).body if getattr(node, "name", "") == name)
        self.fields = {field.target.id: field for field in node.body if isinstance(field, ast.AnnAssign)}
        self.comments = _comments(source.splitlines()[node.lineno : node.end_lineno])
        self.only, self.without, self.options = only or self.fields, without, options

    def parameters(self, others: Iterable[str]) -> list[inspect.Parameter]:
        """A parameter for every field but `others`."""
        parameters = []
        for name, field in self.fields.items():
            kind = ast.unparse(field.annotation).replace("str | os.PathLike", "Path")
            if name not in self.only or name in (*others, *self.without) or kind.startswith("ClassVar"):
                continue
            default = inspect.Parameter.empty if field.value is None else eval(ast.unparse(field.value), NAMES)
            kind = eval(kind, NAMES)
            kind = Annotated[kind, self.options[name]] if name in self.options else kind
            parameter = inspect.Parameter(name, KEYWORD, default=default, annotation=kind)
            parameters.append(_option(parameter, *self.comments[name]))
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
    comments, parameters, groups = _comments(inspect.getsourcelines(function)[0]), [], {}
    for name, parameter in own.items():
        if isinstance(parameter.annotation, Settings):
            fields = parameter.annotation.parameters(own)
            parameters += fields
            groups[name] = [field.name for field in fields]
        else:
            parameters.append(_option(parameter, *comments.get(name, ("", None))))

    @wraps(function)
    def call(**given: Any) -> None:
        for group, names in groups.items():
            given[group] = {name: given.pop(name) for name in names}
        return function(**given)

    call.__signature__ = inspect.Signature(parameters)
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _comments(lines: Iterable[str]) -> dict[str, tuple[str, str | None]]:
    """{parameter or field: (its help, its heading or None)} of the lines of a signature or a dataclass.

    The help is the comment behind it, which may go on in lines below. The heading is a line of comment above a group,
    up to the colon if it has one; it holds until an empty line, or any other without a name or a comment.
    """
    found: dict[str, tuple[str, str | None]] = {}
    name = heading = None
    for line in lines:
        field, comment = match.groups() if (match := LINE.fullmatch(line.rstrip())) else (None, None)
        if field:
            name = field
            found.setdefault(name, (comment or "", heading))
        elif comment and name:
            found[name] = (f"{found[name][0]} {comment}", heading)
        else:  # a heading's words end at a colon; an empty line ends its paragraph
            name, heading = None, comment and comment.partition(":")[0]
    return found


def _option(parameter: inspect.Parameter, text: str, heading: str | None) -> inspect.Parameter:
    """The same parameter as an option with a help. One that is False without it is a switch, without a --no-."""
    annotation = parameter.annotation
    kind, *infos = get_args(annotation) if get_origin(annotation) is Annotated else [annotation]
    if kind is typer.Context:
        return parameter.replace(kind=KEYWORD)
    switch = [f"--{parameter.name.replace('_', '-')}"] if parameter.default is False else []
    info = copy(infos[0]) if infos else typer.Option(*switch)
    info.help, info.rich_help_panel = info.help or _sentence(text, parameter.default), heading
    return parameter.replace(kind=KEYWORD, annotation=Annotated[kind, info])


def _sentence(text: str, default: Any) -> str:
    """A help out of a comment: what speaks of Python goes, and the first word is written large if it is a word."""
    text = text.replace("None: ", "default: ") if default is None else re.sub(r"; None: .*", "", text)
    text = text[0].upper() + text[1:] if re.match(r"[a-z-]+ ", text) else text
    return text if not text or text[-1] in ".]" else f"{text}."
