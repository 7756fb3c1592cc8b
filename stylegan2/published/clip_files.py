"""Where OpenAI's CLIP comes from: files that are here already, OpenAI's server, and a copy on the Hugging Face hub.

OpenAI's addresses have been reported gone (openai/CLIP, issue 516). Files are taken by their SHA-256 only.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from stylegan2 import files
from stylegan2.published.fetch import FetchError, Published

OPENAI, HUB = "OpenAI's server", "the Hugging Face hub"
MEGABYTES = {"ViT-B/32": 354}  # of OpenAI's files
REPOSITORY = "timm/vit_base_patch32_clip_224.openai"  # on the hub
REVISION = "a6f597a30f7b82c51704746581f9a4e41421e878"
COPIES = {  # OpenAI's 302 tensors by OpenAI's names, in float32
    "ViT-B/32": Published(
        "open_clip_model.safetensors",
        f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}/{REPOSITORY}/resolve/{REVISION}/"
        "open_clip_model.safetensors",
        megabytes=605,
        sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
        option="--clip",
    )
}


def openai_clip() -> ModuleType:
    """OpenAI's package, without its warning of a deprecated import."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        import clip
        import clip.model
    return clip


def published(name: str, folder: Path | None = None) -> dict[str, Published]:
    """The files of a CLIP that `clip.available_models()` lists, by where they come from.

    They are kept in `folder`; None: where OpenAI's package looks for its own.
    """
    url = openai_clip().clip._MODELS[name]  # .../SHA-256/FILE
    sha256, file = url.split("/")[-2:]
    folder = folder or Path("~/.cache/clip").expanduser()
    found = {OPENAI: Published(file, url, MEGABYTES.get(name, 0), sha256, "--clip", folder)}
    return found | ({HUB: replace(COPIES[name], folder=folder)} if name in COPIES else {})


def find(name: str, folder: Path | None = None) -> Path:
    """A file with the weights of one of OpenAI's CLIPs ("ViT-B/32"), fetched to `folder` if need be, see `published`.

    Raises ConnectionError: it is not here and cannot be fetched; says what to put where.
    """
    sources, reasons = published(name, folder), {}
    for file in (*published(name).values(), *sources.values()):
        if file.cached.is_file():
            if files.sha256(file.cached) == file.sha256:
                return file.cached
            reasons[f"'{file.cached}'"] = "another file, by its SHA-256"
    for place, file in sources.items():
        if place == HUB and find_spec("safetensors") is None:
            reasons[HUB] = "a package is missing: pip install safetensors"
            continue
        try:
            return file.fetch()
        except FetchError as error:
            reasons[place] = error.why
    own, why = sources[OPENAI], "; ".join(f"{place}: {reason}" for place, reason in reasons.items())
    other = f", or {sources[HUB].name} of huggingface.co/{REPOSITORY}," if HUB in sources else ""
    raise ConnectionError(
        f"CLIP {name} cannot be fetched ({why}): put OpenAI's {own.name} (SHA-256 {own.sha256[:16]}...) at "
        f"'{own.cached}', or give that file{other} by its path (--clip FILE)"
    )
