"""Which transfer methods the switches of `train` mean: a named method, and switches that change or add to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylegan2.transfer import Method

SWITCHES = (
    *("method", "freeze_d", "freeze_g", "freeze_mapping", "freeze_style", "freeze_fc"),
    *("structure_loss", "structure_at", "structure_on", "structure_relative", "original"),
)


def chosen_methods(switches: dict[str, Any], resolution: int) -> list[Method]:
    """Methods for images of `resolution` pixels.

    Args:
        switches: of SWITCHES, None (False for flags) where not given.

    Raises:
        ValueError: a switch that has nothing to change, or switches that contradict each other.
    """
    from stylegan2 import transfer
    from stylegan2.cli import original_flags

    if switches["original"] is not None:
        if others := [name for name in _given(switches) if name != "original"]:
            raise ValueError(f"--original says what is frozen, and so does {_option(others[0])}: use one of them")
        return original_flags.from_original_flags(resolution, **original_flags.read(switches["original"])[0])
    methods = transfer.method(switches["method"], resolution) if switches["method"] else []
    if switches["freeze_d"] is not None:
        methods = _changed(methods, transfer.FreezeD, {"min_resolution": switches["freeze_d"]})
    methods = _freeze_generator(methods, switches)
    return _structure(methods, switches)


def refuse_without_source(switches: dict[str, Any]) -> None:
    """Raises ValueError for switches that need a trained model to keep something of."""
    if given := [name for name in _given(switches) if name != "freeze_d"]:
        raise ValueError(f"{_option(given[0])} keeps something of a trained model: name it with --source")


def _given(switches: dict[str, Any]) -> list[str]:
    absent = None, False
    return [name for name in SWITCHES if not any(switches[name] is value for value in absent)]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _changed(methods: list[Method], kind: type, values: dict[str, Any]) -> list[Method]:
    """The methods with the one of `kind` changed, or a new one of these values at the end."""
    if any(isinstance(method, kind) for method in methods):
        return [replace(method, **values) if isinstance(method, kind) else method for method in methods]
    return [*methods, kind(**values)]


def _freeze_generator(methods: list[Method], switches: dict[str, Any]) -> list[Method]:
    from stylegan2.transfer import FreezeFC, FreezeG, FreezeSG, FreezeStyle

    up_to, mapping, k = (switches[name] for name in ("freeze_g", "freeze_mapping", "freeze_style"))
    together = any(isinstance(method, FreezeSG) for method in methods)
    if together and mapping:
        raise ValueError("with --freeze-mapping FreezeSG has no effect: all codes would be the source's anyway")
    if up_to is not None:
        methods = _changed(methods, FreezeSG if together else FreezeG, {"max_resolution": up_to})
    if mapping is not None and not together:
        if not any(isinstance(method, FreezeG) for method in methods):
            raise ValueError("--freeze-mapping and --no-freeze-mapping go with --freeze-g, which is not there")
        methods = _changed(methods, FreezeG, {"mapping": mapping})
    if k is not None:
        methods = _changed(methods, FreezeSG if together else FreezeStyle, {"k": k})
    if switches["freeze_fc"]:
        if any(isinstance(method, FreezeSG | FreezeStyle) for method in methods):
            raise ValueError("--freeze-fc takes all codes from the source: leave out what takes some of them")
        methods = [*methods, FreezeFC()]
    return methods


def _structure(methods: list[Method], switches: dict[str, Any]) -> list[Method]:
    from stylegan2.cli.common import parse_seeds
    from stylegan2.transfer import StructureLoss

    names = {"weight": "structure_loss", "resolutions": "structure_at", "on": "structure_on"}
    values = {name: switches[switch] for name, switch in names.items() if switches[switch] is not None}
    values |= {"relative": True} if switches["structure_relative"] else {}
    if not values:
        return methods
    if "weight" not in values and not any(isinstance(method, StructureLoss) for method in methods):
        raise ValueError("--structure-at, -on and -relative describe a StructureLoss: add it with --structure-loss 1")
    if "resolutions" in values:
        values["resolutions"] = tuple(parse_seeds(values["resolutions"], "--structure-at"))
    return _changed(methods, StructureLoss, values)
