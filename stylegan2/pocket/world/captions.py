"""What a pocket face is called in words: one full sentence, or a few true things about it picked by lot.

`captions` is for people and for measuring retrieval, `random_captions` for training the tiny CLIP: people who type
"red hair" or "a smile, no glasses" into an edit write fragments, so fragments must be known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stylegan2.pocket.world import styles
from stylegan2.pocket.world.faces import BEARDS, GLASSES, Faces, Palette


def nearest_name(colours: Tensor, table: Palette) -> list[str]:
    """Name of the nearest table colour for each of [N, 3] colours."""
    distance = torch.cdist(colours.sqrt(), torch.tensor(list(table.values())).sqrt())
    names = tuple(table)
    return [names[k] for k in distance.argmin(1).tolist()]


_LENGTHS = {
    "bob": "chin-length",
    "long": "long",
    "wavy": "long wavy",
    "curly": "curly",
    "side part": "short",
    "crop": "short cropped",
}


def _hair_phrase(style: str, colour: str, fringe: float) -> str:
    if style == "shaved":
        return f"a shaved head with {colour} stubble"
    if style == "receding":
        return f"receding {colour} hair"
    if style == "afro":
        return f"a {colour} afro"
    if style in ("bun", "ponytail"):
        return f"{colour} hair in a {style}"
    tail = " and a fringe" if fringe > 0.5 and style not in ("crop",) else ""
    return f"{_LENGTHS[style]} {colour} hair{tail}"


def _smile_phrase(smile: float, opened: float) -> str:
    if smile > 0.6:
        return "a big smile"
    if smile > 0.25:
        return "a smile" if opened < 0.2 else "an open smile"
    if smile < -0.25:
        return "a frown"
    return "an open mouth" if opened > 0.4 else ""


_OPENINGS = (
    "a face with",
    "a person with",
    "someone with",
    "a picture of a person with",
    "the head of a person with",
    "a portrait of someone with",
)


def captions(faces: Faces) -> list[str]:
    """One English sentence per face; the wording varies with the attributes and their texture, without chance."""
    hair = nearest_name(faces.hair_colour, styles.HAIR_COLOURS)
    eyes = nearest_name(faces.eye_colour, styles.EYE_COLOURS)
    backs = nearest_name(faces.background, styles.BACKGROUND_COLOURS)
    clothes = nearest_name(faces.clothes_colour, styles.CLOTHES_COLOURS)
    return [_caption(faces, i, hair[i], eyes[i], backs[i], clothes[i]) for i in range(len(faces))]


def _caption(faces: Faces, i: int, hair: str, eyes: str, back: str, clothes: str) -> str:
    word = int(faces.texture[i] * 9973)  # chooses among wordings
    style = styles.HAIR_NAMES[int(faces.hair_style[i])]
    parts = [_hair_phrase(style, hair, float(faces.fringe[i]))]
    if faces.beard[i] > 0:
        beard = BEARDS[int(faces.beard[i])]
        parts.append(beard if beard == "stubble" else f"a {beard}")
    if faces.glasses[i] > 0:
        parts.append(("glasses", f"{GLASSES[int(faces.glasses[i])]} glasses")[word % 2])
    mouth = _smile_phrase(float(faces.smile[i]), float(faces.mouth_open[i]))
    extras = [f"{eyes} eyes", f"{clothes} clothes", _skin_phrase(float(faces.skin[i]))]
    extras += ["freckles"] if faces.freckles[i] else []
    extras += ["earrings"] if faces.earrings[i] else []
    parts += [extras[word % len(extras)]] if word % 3 else []
    parts += [mouth] if mouth else []
    text = f"{_OPENINGS[(word // 7) % len(_OPENINGS)]} {_join(parts)}"
    turned = ("", f", turned to the {'right' if faces.yaw[i] > 0 else 'left'}")[int(abs(float(faces.yaw[i])) > 0.5)]
    return text + turned + (f", on a {back} background" if word % 5 == 0 else "")


def _skin_phrase(skin: float) -> str:
    return f"{('dark', 'brown', 'tan', 'fair', 'pale')[min(int(skin * 5), 4)]} skin"


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


# ------------------------------------------------------------------------------------------- fragments, for training
MANNERS = {  # domain -> what its pictures are called
    "photo": ("a photo of", "a photograph of"),
    "webtoon": ("a webtoon drawing of", "a cartoon of", "a comic drawing of"),
    "storybook": ("a storybook picture of", "a children's book illustration of"),
    "portrait": ("a painted portrait of", "an oil painting of", "a painting of"),
}
WHO = ("a person with", "a face with", "someone with", "a man or woman with")
MOST_PHRASES = 6

_CUTS = {  # hair style -> what its wearer's hair is called; {} takes the colour
    "shaved": ("a shaved head", "a bald head", "{} stubble on the head"),
    "receding": ("receding {} hair", "a receding hairline", "balding {} hair"),
    "crop": ("short {} hair", "short cropped {} hair"),
    "side part": ("short {} hair", "{} hair with a side parting"),
    "bob": ("chin-length {} hair", "a {} bob"),
    "long": ("long {} hair", "long straight {} hair"),
    "wavy": ("long {} hair", "long wavy {} hair", "wavy {} hair"),
    "curly": ("curly {} hair", "{} curls"),
    "afro": ("a {} afro", "an afro"),
    "bun": ("{} hair in a bun", "a bun"),
    "ponytail": ("{} hair in a ponytail", "a ponytail"),
}
_SYNONYMS = {"blond": "blonde", "red": "ginger", "dark blond": "dirty blonde"}


def _ranges(value: float, low: Sequence[str], high: Sequence[str], at: tuple[float, float]) -> list[str]:
    """What is said of a value below the first limit, and of one above the second."""
    return list(low) if value < at[0] else list(high) if value > at[1] else []


def _hair(f: Faces, names: dict[str, str]) -> list[str]:
    cut, colour = styles.HAIR_NAMES[int(f.hair_style)], names["hair"]
    said = [phrase.format(colour) for phrase in _CUTS[cut]] + [
        " ".join(phrase.format("").split()) for phrase in _CUTS[cut]
    ]
    return [f"{colour} hair", f"{_SYNONYMS.get(colour, colour)} hair", *said]


def _beard(f: Faces, names: dict[str, str]) -> list[str]:
    beard = BEARDS[int(f.beard)]
    if beard == "none":
        return ["no beard"]
    return {"stubble": ["stubble"], "moustache": ["a moustache"]}.get(beard, [f"a {beard}", "a beard"])


def _glasses(f: Faces, names: dict[str, str]) -> list[str]:
    kind = GLASSES[int(f.glasses)]
    return ["no glasses"] if kind == "none" else ["glasses", "glasses", f"{kind} glasses"]


def _mouth(f: Faces, names: dict[str, str]) -> list[str]:
    smile, opened = float(f.smile), float(f.mouth_open)
    said = _ranges(smile, ["a frown", "a sad face"], ["a smile", "a happy face"], (-0.25, 0.25))
    said += ["a big smile"] if smile > 0.6 else ["a neutral expression"] if abs(smile) < 0.15 else []
    return said + (["an open mouth"] if opened > 0.3 else ["a closed mouth"] if opened == 0 else [])


def _eyes(f: Faces, names: dict[str, str]) -> list[str]:
    said = _ranges(float(f.eye_size), ["small eyes"], ["large eyes", "big eyes"], (-0.35, 0.35))
    said += _ranges(float(f.eye_tilt), ["drooping eyes"], ["slanted eyes"], (-0.5, 0.5))
    said += _ranges(float(f.eye_open), ["half closed eyes"], ["wide open eyes"], (0.55, 0.93))
    return [f"{names['eyes']} eyes", *said]


def _skin(f: Faces, names: dict[str, str]) -> list[str]:
    said = [_skin_phrase(float(f.skin))] + (["freckles"] if f.freckles else [])
    return said + (["rosy cheeks"] if float(f.blush) > 0.5 else [])


def _features(f: Faces, names: dict[str, str]) -> list[str]:
    said = _ranges(float(f.nose_size), ["a small nose"], ["a big nose"], (-0.4, 0.4))
    said += _ranges(float(f.lips), ["thin lips"], ["full red lips", "red lips"], (0.2, 0.7))
    said += _ranges(float(f.brow_height), ["low brows"], ["raised eyebrows"], (-0.5, 0.5))
    said += _ranges(float(f.brow_angle), ["worried eyebrows"], ["stern eyebrows"], (-0.5, 0.5))
    return said + _ranges(float(f.brow_thickness), ["thin eyebrows"], ["thick eyebrows"], (-0.5, 0.5))


def _shape(f: Faces, names: dict[str, str]) -> list[str]:
    said = _ranges(float(f.face_width), ["a narrow face", "a slim face"], ["a wide face", "a round face"], (-0.4, 0.4))
    said += _ranges(float(f.face_height), ["a short face"], ["a long face"], (-0.4, 0.4))
    return said + _ranges(float(f.jaw), ["a pointed chin"], ["a square jaw"], (-0.5, 0.5))


def _pose(f: Faces, names: dict[str, str]) -> list[str]:
    yaw = float(f.yaw)
    said = _ranges(yaw, ["the head turned to the left"], ["the head turned to the right"], (-0.35, 0.35))
    said += ["the head facing forward"] if abs(yaw) < 0.12 else []
    return said + _ranges(float(f.roll), ["the head tilted to the left"], ["the head tilted to the right"], (-0.4, 0.4))


def _forehead(f: Faces, names: dict[str, str]) -> list[str]:
    return _ranges(float(f.fringe), ["a free forehead", "no fringe"], ["a fringe", "bangs"], (0.05, 0.5))


def _around(f: Faces, names: dict[str, str]) -> list[str]:
    said = [f"{names['clothes']} clothes", f"a {names['back']} background"]
    return said + (["earrings"] if f.earrings else [])


TOPICS: tuple[tuple[Callable[[Faces, dict[str, str]], list[str]], float], ...] = (  # and how often each is picked
    (_hair, 2.0),
    (_mouth, 2.5),
    (_glasses, 0.8),
    (_beard, 0.8),
    (_eyes, 2.0),
    (_skin, 1.5),
    (_features, 2.0),
    (_shape, 1.2),
    (_pose, 1.5),
    (_forehead, 0.8),
    (_around, 1.5),
)


def colour_names(faces: Faces) -> list[dict[str, str]]:
    """The nearest named colour of everything that has one, per face: {"hair": "red", "eyes": ..., ...}."""
    tables = {
        "hair": (faces.hair_colour, styles.HAIR_COLOURS),
        "eyes": (faces.eye_colour, styles.EYE_COLOURS),
        "back": (faces.background, styles.BACKGROUND_COLOURS),
        "clothes": (faces.clothes_colour, styles.CLOTHES_COLOURS),
    }
    named = {thing: nearest_name(*pair) for thing, pair in tables.items()}
    return [{thing: names[i] for thing, names in named.items()} for i in range(len(faces))]


def phrases(faces: Faces) -> list[list[list[str]]]:
    """Everything that can be said of each face: a list for each topic (hair, mouth, ...), some of them empty."""
    named = colour_names(faces)
    return [[topic(faces[i], named[i]) for topic, _ in TOPICS] for i in range(len(faces))]


def random_captions(
    sayable: Sequence[Sequence[Sequence[str]]], domains: Sequence[str], rng: torch.Generator
) -> list[str]:
    """A caption per face, of 1 to `MOST_PHRASES` things that are true of it; sometimes the kind of picture too.

    Args:
        sayable: of `phrases`.
        domains: the domain that each face is drawn in.
        rng: picks; give the next one, and other things are said.
    """
    weights = torch.tensor([weight for _, weight in TOPICS])
    lots = torch.rand(len(sayable), 4 + MOST_PHRASES, generator=rng).tolist()
    order = torch.multinomial(weights.expand(len(sayable), -1), len(weights), generator=rng).tolist()
    return [_say(*each) for each in zip(sayable, domains, lots, order, strict=True)]


def _say(topics: Sequence[Sequence[str]], domain: str, lots: list[float], order: list[int]) -> str:
    count = 1 + int(lots[0] * MOST_PHRASES)
    there = [topics[i] for i in order if topics[i]][:count]
    text = _join([_pick(said, lot) for said, lot in zip(there, lots[4:], strict=False)])
    if lots[1] < 0.35:  # a bare fragment: "red hair"
        return text
    manner = _pick(MANNERS[domain], lots[2]) + " " if lots[1] > 0.6 else ""
    return f"{manner}{_pick(WHO, lots[3])} {text}"


def _pick(options: Sequence[str], lot: float) -> str:
    return options[int(lot * len(options))]
