"""The four domains of the pocket world in numbers: proportions, manner of rendering, and how often attributes occur.

Tuples of four hold one value for each domain, in the order of :data:`DOMAINS`. Lengths are in halves of the image side,
heights are counted downwards from the middle of the head, lateral positions are parts of the head's half width.
"""

from __future__ import annotations

from types import SimpleNamespace

DOMAINS = ("photo", "webtoon", "storybook", "portrait")
Palette = dict[str, tuple[float, float, float]]  # colour name -> RGB in 0..1

HAIR_FIELDS = (  # "end0", "end1": lower end at hair_length 0 and 1; "open_w": half width of the opening for the face
    "side", "top", "end0", "end1", "flare", "wave", "curl", "open_w", "hairline", "sweep", "side_end", "bun", "tail"
)  # fmt: skip
_HAIR = {  # hair style -> values of HAIR_FIELDS, weights
    "shaved": ((0.01, 0.02, -0.05, 0.02, -0.60, 0.00, 0.000, 0.97, -0.66, 0.10, 0.02, 0, 0), (3, 0, 0, 0)),
    "receding": ((0.05, 0.02, 0.02, 0.16, -0.60, 0.00, 0.000, 0.94, -0.88, -0.16, 0.12, 0, 0), (4, 0, 0, 9)),
    "crop": ((0.04, 0.13, 0.00, 0.14, -1.00, 0.00, 0.009, 0.96, -0.66, 0.16, 0.04, 0, 0), (12, 8, 8, 8)),
    "side part": ((0.08, 0.20, 0.04, 0.20, -0.90, 0.00, 0.005, 0.94, -0.72, 0.46, 0.06, 0, 0), (13, 18, 12, 14)),
    "bob": ((0.16, 0.12, 0.30, 0.58, 0.10, 0.00, 0.000, 0.80, -0.64, 0.55, 9.00, 0, 0), (12, 18, 16, 16)),
    "long": ((0.13, 0.11, 0.64, 1.10, 0.14, 0.00, 0.000, 0.82, -0.66, 0.70, 9.00, 0, 0), (15, 22, 14, 20)),
    "wavy": ((0.20, 0.13, 0.52, 1.05, 0.22, 0.05, 0.000, 0.82, -0.64, 0.60, 9.00, 0, 0), (12, 10, 14, 12)),
    "curly": ((0.26, 0.22, 0.22, 0.80, 0.10, 0.00, 0.035, 0.86, -0.60, 0.28, 9.00, 0, 0), (10, 3, 14, 8)),
    "afro": ((0.29, 0.25, 0.16, 0.34, -0.22, 0.00, 0.020, 0.92, -0.60, 0.16, 0.10, 0, 0), (6, 0, 6, 0)),
    "bun": ((0.05, 0.09, 0.10, 0.22, 0.00, 0.00, 0.000, 0.94, -0.68, 0.28, 0.06, 1, 0), (6, 8, 10, 13)),
    "ponytail": ((0.05, 0.10, 0.10, 0.22, 0.00, 0.00, 0.000, 0.93, -0.66, 0.32, 0.10, 0, 1), (7, 13, 10, 0)),
}
SKIN_RAMP = (  # from dark to pale, evenly spaced in the attribute
    (0.29, 0.175, 0.12), (0.39, 0.24, 0.165), (0.51, 0.325, 0.225), (0.64, 0.43, 0.305),
    (0.77, 0.56, 0.43), (0.87, 0.68, 0.56), (0.94, 0.775, 0.67), (0.975, 0.85, 0.78),
)  # fmt: skip
SKIN_WARMTH = (0.0, 0.045, -0.11)  # what skin_warmth 1 adds to the channels, in parts of them
COLOURS = {  # attribute -> name of a colour -> RGB in 0..1, weights
    "hair_colour": {
        "black": ((0.09, 0.075, 0.075), (22, 22, 10, 16)),
        "dark brown": ((0.2, 0.125, 0.085), (20, 12, 14, 26)),
        "brown": ((0.36, 0.225, 0.135), (16, 10, 16, 20)),
        "chestnut": ((0.43, 0.21, 0.12), (8, 0, 14, 12)),
        "auburn": ((0.52, 0.22, 0.11), (6, 4, 12, 8)),
        "red": ((0.7, 0.3, 0.12), (5, 10, 14, 0)),
        "dark blond": ((0.6, 0.45, 0.27), (9, 0, 6, 8)),
        "blond": ((0.83, 0.67, 0.4), (9, 10, 14, 0)),
        "grey": ((0.55, 0.55, 0.56), (5, 0, 2, 10)),
        "white": ((0.87, 0.86, 0.83), (3, 0, 3, 5)),
        "pink": ((0.93, 0.48, 0.62), (1.2, 9, 0, 0)),
        "blue": ((0.26, 0.4, 0.76), (1.2, 9, 0, 0)),
        "silver": ((0.74, 0.77, 0.85), (0, 7, 0, 0)),
        "purple": ((0.5, 0.32, 0.68), (0.8, 6, 0, 0)),
        "teal": ((0.15, 0.52, 0.53), (0.8, 4, 0, 0)),
    },
    "eye_colour": {
        "dark brown": ((0.2, 0.11, 0.07), (30, 15, 18, 40)),
        "brown": ((0.38, 0.22, 0.11), (25, 15, 24, 30)),
        "amber": ((0.62, 0.4, 0.14), (6, 14, 8, 0)),
        "hazel": ((0.45, 0.4, 0.2), (10, 0, 10, 12)),
        "green": ((0.28, 0.48, 0.3), (10, 14, 18, 0)),
        "blue": ((0.27, 0.48, 0.7), (14, 22, 22, 8)),
        "grey": ((0.45, 0.52, 0.57), (5, 6, 0, 10)),
        "violet": ((0.48, 0.32, 0.7), (0, 14, 0, 0)),
    },
    "clothes_colour": {
        "white": ((0.9, 0.89, 0.87), (1, 5, 2, 0)),
        "grey": ((0.47, 0.48, 0.5), (1, 1, 0, 0)),
        "black": ((0.13, 0.13, 0.15), (1, 3, 0, 8)),
        "navy": ((0.15, 0.2, 0.35), (1, 4, 0, 3)),
        "blue": ((0.24, 0.42, 0.66), (1, 3, 2, 0)),
        "teal": ((0.16, 0.45, 0.46), (1, 0, 2, 0)),
        "green": ((0.28, 0.45, 0.28), (1, 0, 2, 1.5)),
        "olive": ((0.42, 0.41, 0.24), (1, 0, 0, 3)),
        "yellow": ((0.88, 0.7, 0.28), (1, 2, 3, 0)),
        "orange": ((0.84, 0.46, 0.22), (1, 0, 3, 0)),
        "red": ((0.7, 0.19, 0.19), (1, 3, 4, 2)),
        "burgundy": ((0.4, 0.12, 0.17), (1, 0, 0, 5)),
        "pink": ((0.88, 0.58, 0.63), (1, 2, 2, 0)),
        "purple": ((0.43, 0.31, 0.54), (1, 1, 2, 0)),
        "brown": ((0.38, 0.26, 0.18), (1, 0, 0, 5)),
        "cream": ((0.9, 0.83, 0.7), (1, 0, 2, 1)),
    },
    "background": {
        "grey": ((0.58, 0.6, 0.62), (3, 0, 0, 0)),
        "light grey": ((0.8, 0.81, 0.82), (2, 2, 0, 0)),
        "dark grey": ((0.28, 0.3, 0.33), (2, 0, 0, 2)),
        "blue grey": ((0.47, 0.55, 0.64), (3, 0, 0, 0)),
        "sky blue": ((0.62, 0.77, 0.88), (2, 4, 3, 0)),
        "sage": ((0.57, 0.64, 0.53), (2, 0, 1.5, 0)),
        "forest green": ((0.27, 0.37, 0.28), (2, 0, 0, 0.5)),
        "sand": ((0.8, 0.73, 0.62), (2, 0, 2, 0)),
        "beige": ((0.88, 0.83, 0.75), (2, 2, 0, 0)),
        "terracotta": ((0.7, 0.49, 0.39), (1, 0, 1.5, 0)),
        "brown": ((0.4, 0.32, 0.26), (1.5, 0, 0, 3)),
        "dusty pink": ((0.82, 0.66, 0.66), (0.7, 2, 2, 0)),
        "lavender": ((0.71, 0.68, 0.8), (0, 3, 0, 0)),
        "mint": ((0.72, 0.87, 0.79), (0, 3, 2, 0)),
        "peach": ((0.96, 0.8, 0.67), (0, 3, 4, 0)),
        "lemon": ((0.96, 0.9, 0.66), (0, 3, 4, 0)),
        "umber": ((0.22, 0.16, 0.11), (0, 0, 0, 6)),
        "dark olive": ((0.2, 0.19, 0.12), (0, 0, 0, 4)),
        "slate": ((0.36, 0.42, 0.48), (2, 0, 0, 1)),
    },
    "glasses_colour": {
        "black": ((0.08, 0.08, 0.09), (5, 5, 5, 5)),
        "brown": ((0.25, 0.14, 0.08), (3, 3, 3, 3)),
        "gold": ((0.50, 0.35, 0.13), (2, 2, 2, 2)),
        "steel": ((0.33, 0.36, 0.40), (1, 1, 1, 1)),
        "red": ((0.48, 0.10, 0.11), (1, 1, 1, 1)),
        "blue": ((0.12, 0.21, 0.42), (1, 1, 1, 1)),
    },
}
_COLLARS = {  # name -> weights
    "crew": ((4, 3, 4, 1),),
    "v-neck": ((3, 2, 1, 2),),
    "shirt": ((3, 5, 4, 3),),
    "turtleneck": ((1.5, 1, 2, 0),),
    "ruff": ((0, 0, 0, 5),),
}

HAIR_STYLES = {name: numbers for name, (numbers, _) in _HAIR.items()}
HAIR_NAMES = tuple(HAIR_STYLES)
COLLARS = tuple(_COLLARS)
COLOURS["background2"] = COLOURS["background"]
PALETTES = {name: {colour: rgb for colour, (rgb, _) in table.items()} for name, table in COLOURS.items()}
WEIGHTS = {"hair_style": _HAIR, "collar": _COLLARS, **COLOURS}  # attribute -> choice -> (..., weights)
_VALUES = {
    # Proportions
    "zoom": (1.13, 1.12, 1.06, 1.13),  # enlarges everything: the head fills the frame
    "head_w": (0.485, 0.47, 0.585, 0.415),
    "head_h": (0.62, 0.6, 0.6, 0.64),
    "centre_y": (0.0, 0.02, 0.03, 0.02),  # middle of the head in the image
    "jaw": (2.25, 1.52, 2.5, 2.05),  # exponent of the lower face outline: 1.4 pointed, 2 oval, 3 square
    "jaw_gain": (0.45, 0.2, 0.25, 0.35),  # how far the jaw attribute moves it
    "eye_y": (0.03, 0.085, 0.06, -0.01),
    "eye_gap": (0.43, 0.45, 0.44, 0.44),  # lateral position of the eye centres
    "eye_w": (0.137, 0.146, 0.15, 0.11),  # half width of an eye
    "eye_up": (0.072, 0.135, 0.142, 0.046),  # height of the upper lid over the eye line, fully open
    "eye_down": (0.042, 0.085, 0.112, 0.026),
    "iris": (0.072, 0.11, 0.118, 0.046),
    "pupil": (0.45, 0.5, 0.56, 0.5),  # part of the iris
    "brow_y": (-0.135, -0.16, -0.165, -0.125),
    "brow_th": (0.024, 0.021, 0.03, 0.015),
    "nose_y": (0.235, 0.29, 0.235, 0.245),
    "nose_w": (0.085, 0.04, 0.075, 0.075),
    "mouth_y": (0.385, 0.395, 0.375, 0.385),
    "mouth_w": (0.165, 0.115, 0.165, 0.115),
    "lip": (0.03, 0.018, 0.026, 0.026),
    "neck_w": (0.235, 0.165, 0.16, 0.185),
    "shoulder_y": (0.745, 0.745, 0.77, 0.755),
    "hair_gain": (1.0, 1.25, 1.1, 0.9),  # volume of the hair
    # Manner
    "hard": (0.0, 1.0, 0.0, 0.0),  # 0 smooth shading, 1 one hard-edged shadow
    "line": (0.0, 0.016, 0.01, 0.0),  # half width of outlines
    "line_alpha": (0.0, 1.0, 0.45, 0.0),
    "line_dark": (0.2, 0.16, 0.45, 0.2),  # outlines: this part of the colour they surround
    "contrast": (1.0, 0.75, 0.7, 1.2),  # depth of the shading
    "shine": (1.0, 0.0, 0.6, 0.7),  # specular light on skin and lips
    "hair_shine": (1.0, 0.9, 0.8, 0.9),
    "strands": (1.0, 0.8, 0.55, 1.0),
    "lips": (0.85, 0.5, 0.6, 0.8),  # opacity of the lip colour
    "blush": (0.05, 0.1, 0.32, 0.0),  # added to the blush attribute
    "socket": (1.0, 0.0, 0.25, 1.1),  # shading around the eyes
    "nose": ("shaded", "mark", "button", "shaded"),
    "lash": (0.012, 0.026, 0.02, 0.01),  # half width of the upper lid line
    "brow_alpha": (0.85, 1.0, 0.95, 0.6),
    "catch": (0.3, 0.36, 0.34, 0.25),  # size of the light in the eye, part of the iris
    "second_catch": (0.0, 0.22, 0.18, 0.0),
    "saturation": (1.0, 1.2, 1.15, 0.72),
    "background": ("blur", "pattern", "glow", "vignette"),
    "finish": ("grain", "clean", "paper", "paint"),
    # Statistics: how often something occurs, weights of choices
    "skin_power": (0.8, 0.5, 0.65, 0.5),  # below 1: paler on average
    "glasses": (0.22, 0.15, 0.18, 0.03),
    "beard": (0.22, 0.02, 0.08, 0.34),
    "natural": (True, False, False, True),  # dark skin rarely comes with pale hair or eyes
    "smile": ((0.3, 0.4), (0.2, 0.5), (0.6, 0.35), (-0.05, 0.2)),  # mean and spread
    "open_mouth": (0.35, 0.35, 0.45, 0.04),  # how often the mouth is open
    "yaw_spread": (0.5, 0.5, 0.4, 0.6),
    "earrings": (0.2, 0.15, 0.12, 0.25),
    "freckles": (0.15, 0.03, 0.25, 0.02),
}


class Style(SimpleNamespace):
    """One domain: a column of the table above as attributes, and `weights`: attribute -> those of its choices."""


STYLES = {domain: Style(**{name: values[k] for name, values in _VALUES.items()}) for k, domain in enumerate(DOMAINS)}
for k, style in enumerate(STYLES.values()):
    style.weights = {name: [row[-1][k] for row in table.values()] for name, table in WEIGHTS.items()}


def check_domain(domain: str) -> Style:
    """The style of a domain; raises ValueError that lists the right names."""
    if domain not in STYLES:
        raise ValueError(f"unknown domain {domain!r}: expected one of {', '.join(DOMAINS)}")
    return STYLES[domain]
