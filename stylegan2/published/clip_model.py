"""CLIP for generated faces (arXiv 2103.00020): how well does a text describe an image? Differentiable by the image.

    clip = ClipModel.load("checkpoints/pocket/clip.pt")    # or ClipModel.load("ViT-B/32"), OpenAI's, downloaded
    similarity = clip.encode_images(g.synthesis(ws)) @ clip.encode_texts(["red hair", "a big smile"]).T  # [N, 2]

The pocket model (:mod:`stylegan2.pocket.nets.clip_training`) has OpenAI's architecture and token table, a thousandth of
the size, and was trained on rendered faces. OpenAI's `clip.load` opens its file too.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2 import files
from stylegan2.files import CheckpointError
from stylegan2.published import clip_files, torchscript
from stylegan2.published.clip_files import openai_clip
from stylegan2.runtime import pick_device

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the colours that CLIP was trained on, in 0..1
SD = (0.26862954, 0.26130258, 0.27577711)
TOKENS = 77  # of a text, two of them its beginning and end
NEEDED = ("token_embedding.weight", "positional_embedding", "text_projection", "visual.conv1.weight", "logit_scale")

EMPTY = {*("a", "an", "the", "and", "or", "of", "with", "in", "on", "to", "no"), *("face", "person", "someone")}
ENDINGS = {"atee", "bble", "book", "ding", "ing", "line", "mber", "ted", "toon"}  # goatee, stubble: tokens, not words
EXAMPLES = ("red hair", "a big smile", "glasses", "blue eyes")  # of texts; those of EMPTY say nothing of a face


class ClipModel(nn.Module):
    """A CLIP that takes images as a generator makes them; `size` is the side in pixels to which it resizes them.

    `model`, of `clip.load` or `clip.model.build_model`, is made float32 and frozen.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model.float().requires_grad_(False)
        self.size = int(model.visual.input_resolution)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("sd", torch.tensor(SD)[:, None, None], persistent=False)
        self.eval()

    @staticmethod
    def load(name: str | os.PathLike, device: torch.device | str = "auto") -> ClipModel:
        """Open a file with a CLIP's weights, or one of OpenAI's by name ("ViT-B/32"; downloaded and hash-checked).

        A file may be OpenAI's own (a TorchScript archive, of which nothing is run), a saved state dict, or safetensors,
        with OpenAI's names of the parameters. Raises CheckpointError: a file that is no CLIP; ValueError: no file, nor
        a name of `clip.available_models()`; ConnectionError: it cannot be downloaded; says what to put where.
        """
        device = pick_device(device)
        path, names = Path(name), openai_clip().available_models()
        if not path.is_file():
            if str(name) not in names:
                raise ValueError(
                    f"no CLIP '{name}': expected a file (`make pocket` makes one) or one of {', '.join(names)}"
                )
            path = clip_files.find(str(name))
        state = _state(path)
        if missing := _missing(state):
            raise CheckpointError(f"'{path}' is no CLIP of OpenAI's architecture: it lacks {', '.join(missing)}")
        try:
            model = openai_clip().model.build_model(state)
        except (KeyError, RuntimeError) as error:  # entries that are missing, or do not fit each other
            reason = str(error).splitlines()[-1].strip()
            raise CheckpointError(f"'{path}' is no CLIP of OpenAI's architecture: {reason}") from error
        return ClipModel(model).to(device)

    def encode_images(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W], about [-1, 1] -> unit vectors [N, E], differentiable by the images.

        Values outside of [-1, 1] are clamped, as when a picture is shown. Raises ValueError for any other batch.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"images must be float [N, 3, H, W] in [-1, 1], got {images.dtype} {list(images.shape)}")
        x = images.float().mul(0.5).add(0.5).clamp(0, 1)
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode="bicubic", antialias=True, align_corners=False)
        return F.normalize(self.model.encode_image((x - self.mean) / self.sd), dim=1)

    @torch.no_grad()
    def encode_texts(self, texts: str | Sequence[str]) -> Tensor:
        """Texts -> unit vectors [N, E]. Raises ValueError: an empty text, or more than 75 tokens (about 50 words)."""
        return F.normalize(self.model.encode_text(tokenize(texts).to(self.mean.device)), dim=1)

    def unknown_words(self, text: str) -> list[str]:
        """Words of a text that were not in the training (their rows of the token table are zero); OpenAI's know all."""
        clip = openai_clip()
        table = self.model.token_embedding.weight
        tokens = {word: clip.tokenize(word)[0] for word in _words(text)}
        return [word for word, row in tokens.items() if not table[row[1 : int(row.argmax())]].any(1).all()]

    def known_words(self) -> list[str]:
        """Words of one token that the model was trained on, by the alphabet."""
        decoder = openai_clip().clip._tokenizer.decoder  # there is no public way from a token to its text
        texts = [decoder[k] for k in self.model.token_embedding.weight.any(1).nonzero().flatten().tolist()]
        whole = (text.removesuffix("</w>") for text in texts if text.endswith("</w>"))
        return sorted(word for word in whole if len(word) > 2 and word.isalpha() and word not in EMPTY | ENDINGS)

    def check_text(self, text: str) -> None:
        """Raises ValueError for a text without a word that this model knows; names similar ones that it knows."""
        unknown = set(self.unknown_words(text))
        if {word.lower() for word in _words(text) if word not in unknown} - EMPTY:
            return
        if self.model.token_embedding.weight.any(1).all() or (_words(text) and not unknown):
            return
        known = self.known_words()
        near = [n for word in sorted(unknown) for n in difflib.get_close_matches(word.lower(), known, 3)]
        examples = [example for example in EXAMPLES if not self.unknown_words(example)]
        raise ValueError(
            f"{text!r} says nothing to this CLIP, which was trained on about {len(known)} English words"
            + f"; near are {', '.join(dict.fromkeys(near))}" * bool(near)
            + f"; it knows for example {', '.join(examples)}" * bool(examples)
            + " (all: `python -m stylegan2 describe checkpoints/pocket/clip.pt`)"
        )


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text).split()


def is_clip(path: Path) -> bool:
    """Does a file hold a CLIP's weights? Raises CheckpointError for one that cannot be read."""
    return not _missing(_state(path))


def _missing(state: object) -> list[str]:
    return [name for name in NEEDED if not isinstance(state, dict) or name not in state]


def tokenize(texts: str | Sequence[str]) -> Tensor:
    """Texts -> tokens, long [N, 77]. Raises ValueError as `ClipModel.encode_texts`."""
    clip = openai_clip()
    texts = [texts] if isinstance(texts, str) else list(texts)
    if not texts or not all(text.strip() for text in texts):
        raise ValueError("the text is empty: expected a description such as 'red hair'")
    try:
        return clip.tokenize(texts).long()
    except RuntimeError as error:
        raise ValueError(f"a text is too long ({error}): CLIP reads at most {TOKENS - 2} tokens") from error


def _state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ImportError as error:
            raise CheckpointError(f"'{path}' needs a package to be read: pip install safetensors") from error
        try:
            return load_file(path)
        except SafetensorError as error:
            raise CheckpointError(f"'{path}' is damaged or truncated ({error}): fetch it again") from error
    if torchscript.looks_like(path):
        # without a mask that OpenAI's class makes anew: an attribute of its modules, neither parameter nor buffer
        return {name: value for name, value in torchscript.read(path).items() if not name.endswith(".attn_mask")}
    return files.read(path)
