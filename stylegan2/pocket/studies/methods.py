"""Transfer methods in words: those that the course compares, by name, and any other as the Python that makes it."""

from __future__ import annotations

import ast
import re
from dataclasses import MISSING, fields, is_dataclass

from stylegan2.setting_types import check_types
from stylegan2.transfer import FreezeD, FreezeG, FreezeSG, FreezeStyle, Method, StructureLoss

METHODS: dict[str, tuple[Method, ...]] = {
    "baseline": (),
    "freeze-g": (FreezeG(16),),
    "freeze-style": (FreezeStyle(6),),
    "freeze-sg": (FreezeSG(16, 6),),
    "structure-loss-paper": (StructureLoss(),),
    "structure-loss": (StructureLoss(weight=10.0, relative=True),),
    "structure-loss-paper+freeze-g": (StructureLoss((4, 8, 16, 32)), FreezeG(16)),
}
"""The methods that the course compares, by name: what each adds to FreezeD.

StructureLoss as published sees little where a generator's small RGB sums hardly vary (`metrics --structure-signal`), so
the one to use divides each resolution by its variance, and weighs ten times as much. Beside FreezeG it needs 32 px: up
to 16 all is frozen, and nothing is left to compare.
"""


def named(name: str, resolution: int) -> list[Method]:
    """A method of METHODS for images of `resolution` pixels."""
    return [FreezeD(resolution // 2), *METHODS[name]]


def parse(text: str, resolution: int) -> list[Method]:
    """The parts of a method for images of `resolution` pixels: a name of METHODS, or what `constructor` writes.

    Several stand in a row: "freeze-g, StructureLoss(weight=2)". Nothing in the text is run but these constructors.

    Raises ValueError for another name, or settings that a part does not have.
    """
    parts = [part.strip() for part in re.split(r",(?![^()]*\))", text)]
    groups = [named(part, resolution) if part in METHODS else [_constructed(part)] for part in parts]
    return [method for group in groups for method in group]


def _constructed(text: str) -> Method:
    """The method that a text of `constructor` stands for; its values are literals, nothing is run."""
    kinds = {kind.__name__: kind for kind in Method.__subclasses__() if kind.__module__ == Method.__module__}
    if text.partition("(")[0] not in kinds:
        names = f"{', '.join(METHODS)}; and parts of your own: {', '.join(kinds)}, such as FreezeSG(16, 6)"
        raise ValueError(f"no method {text!r}; there are: {names}")
    try:
        call = ast.parse(text, mode="eval").body
        values = [ast.literal_eval(value) for value in call.args]
        method = kinds[call.func.id](*values, **{word.arg: ast.literal_eval(word.value) for word in call.keywords})
        check_types(method)
    except (SyntaxError, TypeError, AttributeError, KeyError, ValueError) as error:
        raise ValueError(f"method {text!r}: expected such as FreezeSG(16, 6) ({error})") from error
    return method


def constructor(method: Method) -> str:
    """Python that makes a method, without what is the default: "FreezeSG(16, 6)", "StructureLoss(relative=True)"."""
    if not is_dataclass(method):
        return repr(method)
    given = [(field, getattr(method, field.name)) for field in fields(method)]
    words = [repr(v) if f.default is MISSING else f"{f.name}={v!r}" for f, v in given if v != f.default]
    return f"{type(method).__name__}({', '.join(words)})"
