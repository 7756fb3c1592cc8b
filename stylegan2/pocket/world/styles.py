"""The four worlds of the pocket faces: proportions, drawing manner and attribute statistics of each domain.

A domain is data, not code: one :class:`Style` per domain. Lengths are in halves of the image side, heights are counted
downwards from the middle of the head, and lateral positions are parts of the head's half width.

Longer than other modules: nearly all of it is the numbers of four worlds, side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# hair style -> (side volume, top volume, end at hair_length 0 and 1, flare, wave, curl,
#                opening half width, hairline height, sweep of the hairline, end of the side hair, bun, tail)
HAIR_STYLES: dict[str, tuple[float, ...]] = {
    "shaved": (0.01, 0.02, -0.05, 0.02, -0.60, 0.00, 0.000, 0.97, -0.66, 0.10, 0.02, 0, 0),
    "receding": (0.05, 0.02, 0.02, 0.16, -0.60, 0.00, 0.000, 0.94, -0.88, -0.16, 0.12, 0, 0),
    "crop": (0.04, 0.13, 0.00, 0.14, -1.00, 0.00, 0.009, 0.96, -0.66, 0.16, 0.04, 0, 0),
    "side part": (0.08, 0.20, 0.04, 0.20, -0.90, 0.00, 0.005, 0.94, -0.72, 0.46, 0.06, 0, 0),
    "bob": (0.16, 0.12, 0.30, 0.58, 0.10, 0.00, 0.000, 0.80, -0.64, 0.55, 9.00, 0, 0),
    "long": (0.13, 0.11, 0.64, 1.10, 0.14, 0.00, 0.000, 0.82, -0.66, 0.70, 9.00, 0, 0),
    "wavy": (0.20, 0.13, 0.52, 1.05, 0.22, 0.05, 0.000, 0.82, -0.64, 0.60, 9.00, 0, 0),
    "curly": (0.26, 0.22, 0.22, 0.80, 0.10, 0.00, 0.035, 0.86, -0.60, 0.28, 9.00, 0, 0),
    "afro": (0.29, 0.25, 0.16, 0.34, -0.22, 0.00, 0.020, 0.92, -0.60, 0.16, 0.10, 0, 0),
    "bun": (0.05, 0.09, 0.10, 0.22, 0.00, 0.00, 0.000, 0.94, -0.68, 0.28, 0.06, 1, 0),
    "ponytail": (0.05, 0.10, 0.10, 0.22, 0.00, 0.00, 0.000, 0.93, -0.66, 0.32, 0.10, 0, 1),
}
HAIR_NAMES = tuple(HAIR_STYLES)

SKIN_RAMP = (  # from dark to pale, evenly spaced in the attribute
    (0.29, 0.175, 0.12),
    (0.39, 0.24, 0.165),
    (0.51, 0.325, 0.225),
    (0.64, 0.43, 0.305),
    (0.77, 0.56, 0.43),
    (0.87, 0.68, 0.56),
    (0.94, 0.775, 0.67),
    (0.975, 0.85, 0.78),
)

HAIR_COLOURS = {
    "black": (0.09, 0.075, 0.075),
    "dark brown": (0.20, 0.125, 0.085),
    "brown": (0.36, 0.225, 0.135),
    "chestnut": (0.43, 0.21, 0.12),
    "auburn": (0.52, 0.22, 0.11),
    "red": (0.70, 0.30, 0.12),
    "dark blond": (0.60, 0.45, 0.27),
    "blond": (0.83, 0.67, 0.40),
    "grey": (0.55, 0.55, 0.56),
    "white": (0.87, 0.86, 0.83),
    "pink": (0.93, 0.48, 0.62),
    "blue": (0.26, 0.40, 0.76),
    "silver": (0.74, 0.77, 0.85),
    "purple": (0.50, 0.32, 0.68),
    "teal": (0.15, 0.52, 0.53),
}
EYE_COLOURS = {
    "dark brown": (0.20, 0.11, 0.07),
    "brown": (0.38, 0.22, 0.11),
    "amber": (0.62, 0.40, 0.14),
    "hazel": (0.45, 0.40, 0.20),
    "green": (0.28, 0.48, 0.30),
    "blue": (0.27, 0.48, 0.70),
    "grey": (0.45, 0.52, 0.57),
    "violet": (0.48, 0.32, 0.70),
}
CLOTHES_COLOURS = {
    "white": (0.90, 0.89, 0.87),
    "grey": (0.47, 0.48, 0.50),
    "black": (0.13, 0.13, 0.15),
    "navy": (0.15, 0.20, 0.35),
    "blue": (0.24, 0.42, 0.66),
    "teal": (0.16, 0.45, 0.46),
    "green": (0.28, 0.45, 0.28),
    "olive": (0.42, 0.41, 0.24),
    "yellow": (0.88, 0.70, 0.28),
    "orange": (0.84, 0.46, 0.22),
    "red": (0.70, 0.19, 0.19),
    "burgundy": (0.40, 0.12, 0.17),
    "pink": (0.88, 0.58, 0.63),
    "purple": (0.43, 0.31, 0.54),
    "brown": (0.38, 0.26, 0.18),
    "cream": (0.90, 0.83, 0.70),
}
BACKGROUND_COLOURS = {
    "grey": (0.58, 0.60, 0.62),
    "light grey": (0.80, 0.81, 0.82),
    "dark grey": (0.28, 0.30, 0.33),
    "blue grey": (0.47, 0.55, 0.64),
    "sky blue": (0.62, 0.77, 0.88),
    "sage": (0.57, 0.64, 0.53),
    "forest green": (0.27, 0.37, 0.28),
    "sand": (0.80, 0.73, 0.62),
    "beige": (0.88, 0.83, 0.75),
    "terracotta": (0.70, 0.49, 0.39),
    "brown": (0.40, 0.32, 0.26),
    "dusty pink": (0.82, 0.66, 0.66),
    "lavender": (0.71, 0.68, 0.80),
    "mint": (0.72, 0.87, 0.79),
    "peach": (0.96, 0.80, 0.67),
    "lemon": (0.96, 0.90, 0.66),
    "umber": (0.22, 0.16, 0.11),
    "dark olive": (0.20, 0.19, 0.12),
    "slate": (0.36, 0.42, 0.48),
}
GLASSES_COLOURS = {
    "black": (0.08, 0.08, 0.09),
    "brown": (0.36, 0.21, 0.12),
    "gold": (0.72, 0.56, 0.27),
    "silver": (0.62, 0.64, 0.67),
    "red": (0.62, 0.14, 0.15),
    "blue": (0.16, 0.27, 0.52),
}


@dataclass(frozen=True)
class Style:
    """One domain: where features sit, how they are drawn, how often attributes occur."""

    # Proportions
    zoom: float = 1.13  # enlarges everything: the head fills the frame
    head_w: float = 0.485
    head_h: float = 0.62
    centre_y: float = 0.0  # middle of the head in the image
    jaw: float = 2.25  # exponent of the lower face outline: 1.4 pointed, 2 oval, 3 square
    jaw_gain: float = 0.45  # how far the jaw attribute moves it
    eye_y: float = 0.03
    eye_gap: float = 0.43  # lateral position of the eye centres
    eye_w: float = 0.137  # half width of an eye
    eye_up: float = 0.072  # height of the upper lid over the eye line, fully open
    eye_down: float = 0.042
    iris: float = 0.072
    pupil: float = 0.45  # part of the iris
    brow_y: float = -0.135
    brow_th: float = 0.024
    nose_y: float = 0.235
    nose_w: float = 0.085
    mouth_y: float = 0.385
    mouth_w: float = 0.165
    lip: float = 0.030
    neck_w: float = 0.235
    shoulder_y: float = 0.745
    hair_gain: float = 1.0  # volume of the hair relative to the photo domain
    # Manner
    hard: float = 0.0  # 0 smooth shading, 1 one hard-edged shadow
    line: float = 0.0  # half width of outlines
    line_alpha: float = 0.0
    line_dark: float = 0.2  # outlines: this part of the colour they surround
    contrast: float = 1.0  # depth of the shading
    shine: float = 1.0  # specular light on skin and lips
    hair_shine: float = 1.0
    strands: float = 1.0
    lips: float = 0.85  # opacity of the lip colour
    blush: float = 0.05  # added to the blush attribute
    socket: float = 1.0  # shading around the eyes
    nose: str = "shaded"  # shaded, mark or button
    lash: float = 0.012  # half width of the upper lid line
    brow_alpha: float = 0.85
    catch: float = 0.30  # size of the light in the eye, part of the iris
    second_catch: float = 0.0
    saturation: float = 1.0
    background: str = "blur"  # blur, pattern, glow or vignette
    finish: str = "grain"  # grain, clean, paper or paint
    # Statistics: weights by name; names that are absent never occur
    hair: dict[str, float] = field(default_factory=dict)
    hair_colours: dict[str, float] = field(default_factory=dict)
    eye_colours: dict[str, float] = field(default_factory=dict)
    clothes: dict[str, float] = field(default_factory=dict)
    backgrounds: dict[str, float] = field(default_factory=dict)
    collars: dict[str, float] = field(default_factory=dict)
    skin_power: float = 0.8  # below 1: paler on average
    glasses: float = 0.22
    beard: float = 0.22
    natural: bool = True  # dark skin rarely comes with pale hair or eyes
    smile: tuple[float, float] = (0.3, 0.4)  # mean and spread
    open_mouth: float = 0.35  # how often the mouth is open
    yaw_spread: float = 0.5
    earrings: float = 0.2
    freckles: float = 0.15


PHOTO = Style(
    hair={
        "shaved": 3,
        "receding": 4,
        "crop": 12,
        "side part": 13,
        "bob": 12,
        "long": 15,
        "wavy": 12,
        "curly": 10,
        "afro": 6,
        "bun": 6,
        "ponytail": 7,
    },
    hair_colours={
        "black": 22,
        "dark brown": 20,
        "brown": 16,
        "chestnut": 8,
        "auburn": 6,
        "red": 5,
        "dark blond": 9,
        "blond": 9,
        "grey": 5,
        "white": 3,
        "pink": 1.2,
        "blue": 1.2,
        "purple": 0.8,
        "teal": 0.8,
    },
    eye_colours={"dark brown": 30, "brown": 25, "amber": 6, "hazel": 10, "green": 10, "blue": 14, "grey": 5},
    clothes={name: 1 for name in CLOTHES_COLOURS},
    backgrounds={
        "grey": 3,
        "light grey": 2,
        "dark grey": 2,
        "blue grey": 3,
        "sky blue": 2,
        "sage": 2,
        "forest green": 2,
        "sand": 2,
        "beige": 2,
        "terracotta": 1,
        "brown": 1.5,
        "slate": 2,
        "dusty pink": 0.7,
    },
    collars={"crew": 4, "v-neck": 3, "shirt": 3, "turtleneck": 1.5},
)
WEBTOON = Style(
    zoom=1.12,
    head_w=0.47,
    head_h=0.60,
    centre_y=0.02,
    jaw=1.52,
    jaw_gain=0.20,
    eye_y=0.085,
    eye_gap=0.45,
    eye_w=0.146,
    eye_up=0.135,
    eye_down=0.085,
    iris=0.110,
    pupil=0.5,
    brow_y=-0.16,
    brow_th=0.021,
    nose_y=0.29,
    nose_w=0.04,
    mouth_y=0.395,
    mouth_w=0.115,
    lip=0.018,
    neck_w=0.165,
    hair_gain=1.25,
    hard=1.0,
    line=0.016,
    line_alpha=1.0,
    line_dark=0.16,
    contrast=0.75,
    shine=0.0,
    hair_shine=0.9,
    strands=0.8,
    lips=0.5,
    blush=0.1,
    socket=0.0,
    nose="mark",
    lash=0.026,
    brow_alpha=1.0,
    catch=0.36,
    second_catch=0.22,
    saturation=1.2,
    background="pattern",
    finish="clean",
    hair={"crop": 8, "side part": 18, "bob": 18, "long": 22, "wavy": 10, "curly": 3, "bun": 8, "ponytail": 13},
    hair_colours={
        "black": 22,
        "dark brown": 12,
        "brown": 10,
        "auburn": 4,
        "red": 10,
        "blond": 10,
        "pink": 9,
        "blue": 9,
        "silver": 7,
        "purple": 6,
        "teal": 4,
    },
    eye_colours={"dark brown": 15, "brown": 15, "amber": 14, "green": 14, "blue": 22, "violet": 14, "grey": 6},
    clothes={"white": 5, "grey": 1, "black": 3, "navy": 4, "blue": 3, "red": 3, "yellow": 2, "pink": 2, "purple": 1},
    backgrounds={
        "sky blue": 4,
        "mint": 3,
        "lavender": 3,
        "peach": 3,
        "lemon": 3,
        "dusty pink": 2,
        "light grey": 2,
        "beige": 2,
    },
    collars={"crew": 3, "v-neck": 2, "shirt": 5, "turtleneck": 1},
    glasses=0.15,
    beard=0.02,
    natural=False,
    skin_power=0.5,
    smile=(0.2, 0.5),
    open_mouth=0.35,
    yaw_spread=0.5,
    earrings=0.15,
    freckles=0.03,
)
STORYBOOK = Style(
    zoom=1.06,
    head_w=0.585,
    head_h=0.60,
    centre_y=0.03,
    jaw=2.5,
    jaw_gain=0.25,
    eye_y=0.06,
    eye_gap=0.44,
    eye_w=0.150,
    eye_up=0.142,
    eye_down=0.112,
    iris=0.118,
    pupil=0.56,
    brow_y=-0.165,
    brow_th=0.030,
    nose_y=0.235,
    nose_w=0.075,
    mouth_y=0.375,
    mouth_w=0.165,
    lip=0.026,
    neck_w=0.16,
    shoulder_y=0.77,
    hair_gain=1.1,
    hard=0.0,
    line=0.010,
    line_alpha=0.45,
    line_dark=0.45,
    contrast=0.7,
    shine=0.6,
    hair_shine=0.8,
    strands=0.55,
    lips=0.6,
    blush=0.32,
    socket=0.25,
    nose="button",
    lash=0.020,
    brow_alpha=0.95,
    catch=0.34,
    second_catch=0.18,
    saturation=1.15,
    background="glow",
    finish="paper",
    hair={
        "crop": 8,
        "side part": 12,
        "bob": 16,
        "long": 14,
        "wavy": 14,
        "curly": 14,
        "afro": 6,
        "bun": 10,
        "ponytail": 10,
    },
    hair_colours={
        "black": 10,
        "dark brown": 14,
        "brown": 16,
        "chestnut": 14,
        "auburn": 12,
        "red": 14,
        "dark blond": 6,
        "blond": 14,
        "white": 3,
        "grey": 2,
    },
    eye_colours={"dark brown": 18, "brown": 24, "amber": 8, "hazel": 10, "green": 18, "blue": 22},
    clothes={
        "white": 2,
        "blue": 2,
        "teal": 2,
        "green": 2,
        "yellow": 3,
        "orange": 3,
        "red": 4,
        "pink": 2,
        "purple": 2,
        "cream": 2,
    },
    backgrounds={
        "peach": 4,
        "lemon": 4,
        "sand": 2,
        "mint": 2,
        "sky blue": 3,
        "dusty pink": 2,
        "terracotta": 1.5,
        "sage": 1.5,
    },
    collars={"crew": 4, "v-neck": 1, "shirt": 4, "turtleneck": 2},
    glasses=0.18,
    beard=0.08,
    natural=False,
    skin_power=0.65,
    smile=(0.6, 0.35),
    open_mouth=0.45,
    yaw_spread=0.4,
    earrings=0.12,
    freckles=0.25,
)
PORTRAIT = Style(
    zoom=1.13,
    head_w=0.415,
    head_h=0.64,
    centre_y=0.02,
    jaw=2.05,
    jaw_gain=0.35,
    eye_y=-0.01,
    eye_gap=0.44,
    eye_w=0.110,
    eye_up=0.046,
    eye_down=0.026,
    iris=0.046,
    pupil=0.5,
    brow_y=-0.125,
    brow_th=0.015,
    nose_y=0.245,
    nose_w=0.075,
    mouth_y=0.385,
    mouth_w=0.115,
    lip=0.026,
    neck_w=0.185,
    shoulder_y=0.755,
    hair_gain=0.9,
    hard=0.0,
    contrast=1.2,
    shine=0.7,
    hair_shine=0.9,
    strands=1.0,
    lips=0.8,
    blush=0.0,
    socket=1.1,
    nose="shaded",
    lash=0.010,
    brow_alpha=0.6,
    catch=0.25,
    saturation=0.72,
    background="vignette",
    finish="paint",
    hair={"receding": 9, "crop": 8, "side part": 14, "bob": 16, "long": 20, "wavy": 12, "curly": 8, "bun": 13},
    hair_colours={
        "black": 16,
        "dark brown": 26,
        "brown": 20,
        "chestnut": 12,
        "auburn": 8,
        "dark blond": 8,
        "grey": 10,
        "white": 5,
    },
    eye_colours={"dark brown": 40, "brown": 30, "hazel": 12, "blue": 8, "grey": 10},
    clothes={"black": 8, "burgundy": 5, "brown": 5, "navy": 3, "olive": 3, "green": 1.5, "red": 2, "cream": 1},
    backgrounds={"umber": 6, "dark olive": 4, "brown": 3, "dark grey": 2, "slate": 1, "forest green": 0.5},
    collars={"crew": 1, "v-neck": 2, "shirt": 3, "ruff": 5},
    glasses=0.03,
    beard=0.34,
    skin_power=0.5,
    smile=(-0.05, 0.2),
    open_mouth=0.04,
    yaw_spread=0.6,
    earrings=0.25,
    freckles=0.02,
)
STYLES: dict[str, Style] = {"photo": PHOTO, "webtoon": WEBTOON, "storybook": STORYBOOK, "portrait": PORTRAIT}
