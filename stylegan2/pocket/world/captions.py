"""Pocket faces in words: one full sentence, or a few true phrases chosen at random.

`captions` is for people and for measuring retrieval, `random_captions` for training the tiny CLIP: people who type
"red hair" or "a smile, no glasses" into an edit write phrases, so the model must know phrases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stylegan2.pocket.world import styles
from stylegan2.pocket.world.faces import ATTRIBUTES, Faces


def nearest_name(colours: Tensor, palette: styles.Palette) -> list[str]:
    """Name of the nearest colour of a palette for each of [N, 3] colours."""
    distance = torch.cdist(colours.sqrt(), torch.tensor(list(palette.values())).sqrt())
    names = tuple(palette)
    return [names[k] for k in distance.argmin(1).tolist()]


def _readable(faces: Faces) -> list[dict[str, Any]]:
    """Each face as attribute -> number, name of the choice, or name of the nearest colour."""
    columns = {a.name: faces.values[a.name].tolist() for a in ATTRIBUTES if a.kind != "colour"}
    columns |= {a.name: [a.choices[k] for k in columns[a.name]] for a in ATTRIBUTES if a.kind == "categorical"}
    columns |= {name: nearest_name(faces.values[name], palette) for name, palette in styles.PALETTES.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


_HAIR = {  # hair style -> what hair is called; {} takes the colour
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


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _skin_phrase(skin: float) -> str:
    return f"{('dark', 'brown', 'tan', 'fair', 'pale')[min(int(skin * 5), 4)]} skin"


# ---------------------------------------------------------------------------------------------------- full sentences

_OPENINGS = (
    "a face with", "a person with", "someone with",
    "a picture of a person with", "the head of a person with", "a portrait of someone with",
)  # fmt: skip
_HAIR_IN_SENTENCES = {  # where it is not the first phrase of _HAIR
    "shaved": "a shaved head with {} stubble",
    "crop": "short cropped {} hair",
    "wavy": "long wavy {} hair",
}
_WITH_FRINGE = ("bob", "long", "wavy", "curly", "side part")


def captions(faces: Faces) -> list[str]:
    """One English sentence per face; the wording varies with the attributes and their texture, not at random."""
    wording = (faces.texture * 9973).long().tolist()
    return [_caption(face, number) for face, number in zip(_readable(faces), wording, strict=True)]


def _caption(face: dict[str, Any], wording: int) -> str:
    hair = _HAIR_IN_SENTENCES.get(face["hair_style"], _HAIR[face["hair_style"]][0]).format(face["hair_colour"])
    fringed = face["fringe"] > 0.5 and face["hair_style"] in _WITH_FRINGE
    parts = [f"{hair} and a fringe" if fringed else hair]
    if face["beard"] != "none":
        parts.append(face["beard"] if face["beard"] == "stubble" else f"a {face['beard']}")
    if face["glasses"] != "none":
        parts.append(f"{face['glasses']} glasses" if wording % 2 else "glasses")
    extras = [f"{face['eye_colour']} eyes", f"{face['clothes_colour']} clothes", _skin_phrase(face["skin"])]
    extras += [name for name in ("freckles", "earrings") if face[name]]
    parts += [extras[wording % len(extras)]] if wording % 3 else []
    mouth = _smile_phrase(face["smile"], face["mouth_open"])
    parts += [mouth] if mouth else []
    text = f"{_OPENINGS[(wording // 7) % len(_OPENINGS)]} {_join(parts)}"
    if abs(face["yaw"]) > 0.5:
        text += f", turned to the {'right' if face['yaw'] > 0 else 'left'}"
    return text + (f", on a {face['background']} background" if wording % 5 == 0 else "")


def _smile_phrase(smile: float, opened: float) -> str:
    if smile > 0.6:
        return "a big smile"
    if smile > 0.25:
        return "a smile" if opened < 0.2 else "an open smile"
    if smile < -0.25:
        return "a frown"
    return "an open mouth" if opened > 0.4 else ""


# ------------------------------------------------------------------------------------------- phrases, for training

MANNERS = {  # domain -> what its pictures are called
    "photo": ("a photo of", "a photograph of"),
    "webtoon": ("a webtoon drawing of", "a cartoon of", "a comic drawing of"),
    "storybook": ("a storybook picture of", "a children's book illustration of"),
    "portrait": ("a painted portrait of", "an oil painting of", "a painting of"),
}
WHO = ("a person with", "a face with", "someone with", "a man or woman with")
MOST_PHRASES = 6
TOPICS = (  # and how often each is chosen
    ("hair", 2.0), ("mouth", 2.5), ("glasses", 0.8), ("beard", 0.8), ("eyes", 2.0), ("skin", 1.5),
    ("features", 2.0), ("shape", 1.2), ("pose", 1.5), ("forehead", 0.8), ("surroundings", 1.5),
)  # fmt: skip
_SYNONYMS = {"blond": "blonde", "red": "ginger", "dark blond": "dirty blonde"}
_RANGES = {  # attribute -> lower limit, phrases below it, upper limit, phrases above it
    "smile": (-0.25, ["a frown", "a sad face"], 0.25, ["a smile", "a happy face"]),
    "eye_size": (-0.35, ["small eyes"], 0.35, ["large eyes", "big eyes"]),
    "eye_tilt": (-0.5, ["drooping eyes"], 0.5, ["slanted eyes"]),
    "eye_open": (0.55, ["half closed eyes"], 0.93, ["wide open eyes"]),
    "nose_size": (-0.4, ["a small nose"], 0.4, ["a big nose"]),
    "lips": (0.2, ["thin lips"], 0.7, ["full red lips", "red lips"]),
    "brow_height": (-0.5, ["low brows"], 0.5, ["raised eyebrows"]),
    "brow_angle": (-0.5, ["worried eyebrows"], 0.5, ["stern eyebrows"]),
    "brow_thickness": (-0.5, ["thin eyebrows"], 0.5, ["thick eyebrows"]),
    "face_width": (-0.4, ["a narrow face", "a slim face"], 0.4, ["a wide face", "a round face"]),
    "face_height": (-0.4, ["a short face"], 0.4, ["a long face"]),
    "jaw": (-0.5, ["a pointed chin"], 0.5, ["a square jaw"]),
    "yaw": (-0.35, ["the head turned to the left"], 0.35, ["the head turned to the right"]),
    "roll": (-0.4, ["the head tilted to the left"], 0.4, ["the head tilted to the right"]),
    "fringe": (0.05, ["a free forehead", "no fringe"], 0.5, ["a fringe", "bangs"]),
}


def phrases(faces: Faces) -> list[list[list[str]]]:
    """All true phrases for each face: a list for each of TOPICS, some of them empty."""
    return [_phrases(face) for face in _readable(faces)]


def _phrases(face: dict[str, Any]) -> list[list[str]]:
    def ranges(*names: str) -> list[str]:
        true = []
        for name in names:
            low, below, high, above = _RANGES[name]
            true += below if face[name] < low else above if face[name] > high else []
        return true

    def when(condition: bool, phrase: str) -> list[str]:
        return [phrase] if condition else []

    colour, style, kind, smile = face["hair_colour"], _HAIR[face["hair_style"]], face["glasses"], face["smile"]
    coloured = [phrase.format(colour) for phrase in style]
    uncoloured = [" ".join(phrase.format("").split()) for phrase in style]
    expression = when(smile > 0.6, "a big smile") + when(abs(smile) < 0.15, "a neutral expression")
    opened = when(face["mouth_open"] > 0.3, "an open mouth") + when(face["mouth_open"] == 0, "a closed mouth")
    beards = {"none": ["no beard"], "stubble": ["stubble"], "moustache": ["a moustache"]}
    return [
        [f"{colour} hair", f"{_SYNONYMS.get(colour, colour)} hair", *coloured, *uncoloured],
        ranges("smile") + expression + opened,
        ["no glasses"] if kind == "none" else ["glasses", "glasses", f"{kind} glasses"],
        beards.get(face["beard"], [f"a {face['beard']}", "a beard"]),
        [f"{face['eye_colour']} eyes", *ranges("eye_size", "eye_tilt", "eye_open")],
        [_skin_phrase(face["skin"]), *when(face["freckles"], "freckles"), *when(face["blush"] > 0.5, "rosy cheeks")],
        ranges("nose_size", "lips", "brow_height", "brow_angle", "brow_thickness"),
        ranges("face_width", "face_height", "jaw"),
        ranges("yaw") + when(abs(face["yaw"]) < 0.12, "the head facing forward") + ranges("roll"),
        ranges("fringe"),
        [f"{face['clothes_colour']} clothes", f"a {face['background']} background"]
        + when(face["earrings"], "earrings"),
    ]


def only_of(sayable: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> list[str]:
    """The phrases of one face that are not true of another, each once."""
    others = {phrase for topic in other for phrase in topic}
    return list(dict.fromkeys(phrase for topic in sayable for phrase in topic if phrase not in others))


def random_captions(
    sayable: Sequence[Sequence[Sequence[str]]],
    domains: Sequence[str],
    rng: torch.Generator,
    first: Sequence[Sequence[str]] | None = None,
) -> tuple[list[str], list[set[str]]]:
    """A caption per face, of 1 to `MOST_PHRASES` of its `phrases`; sometimes the kind of picture (its domain's) too.

    -> texts, and what each of them says: phrases, and the domain where it names the kind of picture. `first`: for each
    face phrases of which one must be said, such as `only_of`; none where the list is empty.
    """
    first = [()] * len(sayable) if first is None else first
    weights = torch.tensor([weight for _, weight in TOPICS])
    uniform = torch.rand(len(sayable), 5 + MOST_PHRASES, generator=rng).tolist()
    order = torch.multinomial(weights.expand(len(sayable), -1), len(weights), generator=rng).tolist()
    said = [_random_caption(*each) for each in zip(sayable, domains, first, uniform, order, strict=True)]
    return [text for text, _ in said], [facts for _, facts in said]


def _random_caption(
    topics: Sequence[Sequence[str]], domain: str, first: Sequence[str], uniform: list[float], order: list[int]
) -> tuple[str, set[str]]:
    begin = [_choose(first, uniform[4])] if first else []
    rest = [topics[i] for i in order if topics[i] and not set(begin) & set(topics[i])]
    rest = rest[: 1 + int(uniform[0] * MOST_PHRASES) - len(begin)]
    said = begin + [_choose(options, u) for options, u in zip(rest, uniform[5:], strict=False)]
    if uniform[1] < 0.35:  # phrases alone: "red hair"
        return _join(said), set(said)
    text = f"{_choose(WHO, uniform[3])} {_join(said)}"
    if uniform[1] < 0.6:
        return text, set(said)
    return f"{_choose(MANNERS[domain], uniform[2])} {text}", {*said, domain}


def _choose(options: Sequence[str], u: float) -> str:
    return options[int(u * len(options))]
