"""Rendered sets as a source of images: `pocket:DOMAIN?n=1000&seed=0&start=0`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

from stylegan2.data.images import Settings
from stylegan2.data.sources import Images, Source, fingerprint_of, register
from stylegan2.display import to_pil
from stylegan2.pocket import world


@dataclass(frozen=True)
class PocketSource(Source):
    """Faces rendered at each size directly, so that every size is sharp and lossless."""

    domain: str = ""
    seed: int = 0
    start: int = 0

    lossless_by_default = True
    at_once = 32

    def load(self, indices: range, settings: Settings) -> list[Images | str]:
        faces = world.sample(self.domain, len(indices), seed=self.seed, start=self.start + indices.start)
        rendered = {size: world.render(faces, self.domain, size) for size in settings.sizes}
        return [{size: to_pil(images[k]) for size, images in rendered.items()} for k in range(len(indices))]


def open_pocket(text: str, limit: int | None) -> PocketSource:
    domain = text.removeprefix("pocket:").partition("?")[0]
    if domain not in world.DOMAINS:
        raise ValueError(f"no pocket domain '{domain}' in '{text}'; there are {', '.join(world.DOMAINS)}")
    n, seed, start = numbers(text, {"n": world.TARGET_SET_SIZE, "seed": 0, "start": 0}).values()
    names = tuple(f"{domain}-{seed}-{start + k}" for k in range(n if limit is None else min(limit, n)))
    title = f"pocket {domain} (seed {seed}, from {start})"
    return PocketSource(title, names, fingerprint_of([str(world.VERSION), *names]), {}, domain, seed, start)


def numbers(text: str, defaults: dict[str, int]) -> dict[str, int]:
    """Whole numbers behind the "?" of a text, with defaults for others. Raises ValueError for all else, and for n=0."""
    given = dict(parse_qsl(text.partition("?")[2], keep_blank_values=True))
    for name, value in given.items():
        if name not in defaults or not value.isdecimal() or (name == "n" and not int(value)):
            example = "&".join(f"{key}={number}" for key, number in defaults.items())
            expected = f"whole numbers as in '{text.partition('?')[0]}?{example}', n at least 1"
            raise ValueError(f"'{name}={value}' in '{text}': expected {expected}")
    return defaults | {name: int(value) for name, value in given.items()}


register("pocket", open_pocket)
