"""Where OpenAI's CLIP comes from: files that are here already, OpenAI's server, and a copy on the Hugging Face hub.

The addresses that OpenAI's package names have been reported gone (openai/CLIP, issue 516), so there is a second place
for ViT-B/32. From either a file is taken by its SHA-256 only.
"""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from stylegan2 import files
from stylegan2.published.fetch import FetchError, Published, silence


def openai_clip() -> ModuleType:
    """OpenAI's package, without the warning that it imports something old."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        import clip
        import clip.model
    return clip


@dataclass(frozen=True)
class HubCopy:
    """OpenAI's numbers by OpenAI's names, as safetensors in float32, published by others on the Hugging Face hub."""

    repo: str
    file: str
    revision: str
    sha256: str

    def find(self, fetch: bool) -> Path:
        """The file in the hub's own cache, fetched if wanted. Raises ConnectionError: not here, or another one."""
        try:
            import safetensors  # noqa: F401  (or what is fetched could not be opened)
            from huggingface_hub import constants, hf_hub_download

            if fetch and silence(constants.ENDPOINT):  # its client would try for half a minute
                raise ConnectionError(f"{constants.ENDPOINT} does not answer")
            path = Path(hf_hub_download(self.repo, self.file, revision=self.revision, local_files_only=not fetch))
        except ImportError as error:
            raise ConnectionError(f"a package is missing: pip install {error.name}") from error
        except Exception as error:  # of the hub's client, and of what it speaks HTTP with, which changed
            raise ConnectionError(files.reason(error)) from error
        if files.sha256(path) != self.sha256:
            raise ConnectionError(f"'{path}' is not what was published: delete it, and it is fetched again")
        return path


COPIES = {  # its size, 605,143,284 bytes, is exactly that of OpenAI's 302 names and shapes in float32
    "ViT-B/32": HubCopy(
        "timm/vit_base_patch32_clip_224.openai",
        "open_clip_model.safetensors",
        "a6f597a30f7b82c51704746581f9a4e41421e878",
        "e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
    )
}
MEGABYTES = {"ViT-B/32": 354}  # of OpenAI's files


def published(name: str) -> Published:
    """OpenAI's own file of a CLIP that `clip.available_models()` lists; it lies where OpenAI's package looks for it."""
    url = openai_clip().clip._MODELS[name]  # .../SHA-256/FILE
    sha256, file = url.split("/")[-2:]
    return Published(file, url, MEGABYTES.get(name, 0), sha256, "--clip", Path("~/.cache/clip").expanduser())


def find(name: str, folder: Path | None = None) -> Path:
    """A file with the weights of one of OpenAI's CLIPs, fetched if need be.

    Args:
        name: such as "ViT-B/32".
        folder: where OpenAI's file is put if it is fetched; None: where their package looks for it.

    Raises ConnectionError: it is not here and cannot be fetched; says what to put where.
    """
    own, copy, reasons = published(name), COPIES.get(name), {}
    if own.cached.is_file():
        if files.sha256(own.cached) == own.sha256:
            return own.cached
        reasons[f"'{own.cached}'"] = "another file, by its SHA-256"
    if copy is not None:
        with suppress(ConnectionError):
            return copy.find(fetch=False)
    own = replace(own, folder=folder or own.folder)
    try:
        return own.fetch()
    except FetchError as error:
        reasons["OpenAI's server"] = error.why
    if copy is not None:
        print(f"fetching {copy.file}, 605 MB, from the Hugging Face hub, once", file=sys.stderr)
        try:
            return copy.find(fetch=True)
        except ConnectionError as error:
            reasons["the Hugging Face hub"] = error
    why = "; ".join(f"{place}: {reason}" for place, reason in reasons.items())
    other = f", or {copy.file} of huggingface.co/{copy.repo}," if copy is not None else ""
    raise ConnectionError(
        f"CLIP {name} cannot be fetched ({why}): put OpenAI's {own.name} (SHA-256 {own.sha256[:16]}...) at "
        f"'{own.cached}', or give that file{other} by its path (--clip FILE)"
    )
