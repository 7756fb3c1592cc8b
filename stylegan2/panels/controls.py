"""What panels are made of: sliders and choices that report while they are moved, and values from JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import ipywidgets as w
from traitlets import TraitError

STYLE = {"description_width": "90px"}  # of every control: labels of one width
# ipywidgets 7, which Colab brings along (its pages know no other), has another name for a control's explanation
TIP = "tooltip" if "tooltip" in w.IntSlider.class_trait_names() else "description_tooltip"


def labelled(label: str, help: str = "") -> dict[str, Any]:
    """A control's label and explanation, as arguments of its class."""
    return {"description": label, "style": STYLE, TIP: help}


def int_slider(label: str, value: int, low: int, high: int, help: str = "") -> w.IntSlider:
    """A slider over whole numbers."""
    return w.IntSlider(value, low, high, **labelled(label, help))


def float_slider(label: str, value: float, low: float, high: float, step=0.05, help: str = "") -> w.FloatSlider:
    """A slider over numbers."""
    return w.FloatSlider(value, min=low, max=high, step=step, **labelled(label, help))


def psi_slider(value: float, help: str = "0: the mean face, 1: untouched") -> w.FloatSlider:
    """Truncation psi, from the opposite face to beyond the face."""
    return float_slider("ψ", value, -1.0, 2.0, 0.05, help)


def steps_slider(label: str, options: list, value: Any, help: str = "") -> w.SelectionSlider:
    """A slider over a few values, or (name, value) pairs."""
    return w.SelectionSlider(options=options, value=value, **labelled(label, help))


def choice(label: str, options: list, value: Any = None) -> w.ToggleButtons | w.Dropdown:
    """A few options as buttons, many as a list."""
    settings = {"options": options, "value": options[0] if value is None else value, "description": label}
    if len(options) > 4:
        return w.Dropdown(**settings, style=STYLE)
    buttons = w.ToggleButtons(**settings, style=STYLE | {"button_width": "auto"})
    return buttons.add_class("widget-inline-hbox")  # the label beside the buttons, as that of a slider


def text_field(label: str, value: str = "", help: str = "", placeholder: str = "") -> w.Text:
    """A line of text that counts when Enter is pressed."""
    return w.Text(value, placeholder=placeholder, continuous_update=False, **labelled(label, help))


def uploaded_files(value: Any) -> list[tuple[str, bytes]]:
    """(name, content) of the files of a `FileUpload`: ipywidgets 8 gives a tuple of them, 7 a dict by name."""
    files = [file | {"name": name} for name, file in value.items()] if isinstance(value, Mapping) else value
    return [(file["name"], bytes(file["content"])) for file in files]


def option_values(control: w.ValueWidget) -> list:
    """Every value that a choice offers, without their names; [] for controls that are no choice."""
    options = getattr(control, "options", ())
    return [option[1] if isinstance(option, tuple) and len(option) == 2 else option for option in options]


def assign(controls: Mapping[str, w.ValueWidget], values: Mapping[str, Any]) -> None:
    """Set controls, in their own order (one may widen a later one), to values as JSON gives them.

    Raises ValueError for a value that its control refuses or would change, with what it accepts; those before it are
    set then.
    """
    for name, control in controls.items():
        if name in values and not _accepts(control, values[name]):
            raise ValueError(f"{name} is {values[name]!r}, expected {_expected(control)}")


def _accepts(control: w.ValueWidget, value: Any) -> bool:
    """Set a control; False if it refuses or changes the value. A tuple among the options comes from JSON as a list."""
    as_json = {json.dumps(option): option for option in option_values(control)}
    try:
        control.value = as_json.get(json.dumps(value), value)
    except TraitError:
        return False
    same = json.loads(json.dumps(control.value)) == json.loads(json.dumps(value))
    return same and isinstance(control.value, bool) == isinstance(value, bool)


def _expected(control: w.ValueWidget) -> str:
    """What a control accepts, in words."""
    if options := option_values(control):
        return f"one of {', '.join(map(repr, options))}"
    if hasattr(control, "min"):
        kind = "a whole number" if isinstance(control.value, int) else "a number"
        return f"{kind} from {control.min:g} to {control.max:g}"
    return "true or false" if isinstance(control.value, bool) else f"a value like {control.value!r}"


def parse_settings(settings: str | Mapping[str, Any]) -> dict[str, Any]:
    """What "Copy settings" gave, as a dictionary of its own. Raises ValueError for text that is no JSON object."""
    if not isinstance(settings, str):
        return dict(settings)
    try:
        parsed = json.loads(settings)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}): expected what a panel's Copy settings gives") from None
    if not isinstance(parsed, dict):
        raise ValueError(f'expected settings such as {{"seed": 3}}, got {settings.strip()[:40]}')
    return parsed
