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
    domain, _, query = text.removeprefix("pocket:").partition("?")
    if domain not in world.DOMAINS:
        raise ValueError(f"no pocket domain '{domain}' in '{text}'; there are {', '.join(world.DOMAINS)}")
    options = {"n": world.TARGET_SET_SIZE, "seed": 0, "start": 0}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in options or not value.isdecimal():
            expected = f"expected whole numbers n, seed and start, as in 'pocket:{domain}?n=1000&seed=0&start=0'"
            raise ValueError(f"'{key}={value}' in '{text}': {expected}")
        options[key] = int(value)
    count = options["n"] if limit is None else min(limit, options["n"])
    if count < 1:
        raise ValueError(f"n=0 in '{text}': expected at least one face")
    names = tuple(f"{domain}-{options['seed']}-{options['start'] + k}" for k in range(count))
    title = f"pocket {domain} (seed {options['seed']}, from {options['start']})"
    fingerprint = fingerprint_of([str(world.VERSION), *names])
    return PocketSource(title, names, fingerprint, {}, domain, options["seed"], options["start"])


register("pocket", open_pocket)
