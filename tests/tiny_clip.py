"""A CLIP of OpenAI's class, small enough for the tests: 32-pixel images, one block of each kind, random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from stylegan2.pocket.nets.clip_training import write_deflated
from stylegan2.published.clip_model import ClipModel

SIDE = 32
SIZES = {
    "embed_dim": 16,
    "image_resolution": SIDE,
    "vision_layers": 1,
    "vision_width": 64,  # OpenAI's loader counts heads by 64
    "vision_patch_size": 8,
    "context_length": 77,
    "vocab_size": 49_408,  # the tokenizer's
    "transformer_width": 64,
    "transformer_heads": 1,
    "transformer_layers": 1,
}


RESNET = {"vision_layers": (1, 1, 1, 1), "vision_width": 16, "vision_patch_size": None}


def tiny_clip(seed: int = 0, resnet: bool = False) -> ClipModel:
    """The same for a seed; weights as they come back from a float16 file."""
    from clip.model import CLIP

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIP(**SIZES | (RESNET if resnet else {}))
    return ClipModel(model.half())


def keep_words(clip: ClipModel, text: str) -> None:
    """Forget all words but those of a text, as if no other had been trained on."""
    import clip as openai

    table, known = clip.model.token_embedding.weight, set(openai.tokenize(text)[0].tolist())
    with torch.no_grad():
        table[[k for k in range(len(table)) if k not in known]] = 0


def save_clip(clip: ClipModel, path: Path) -> Path:
    """Its weights, as a training writes them."""
    write_deflated(path, {name: value.half() for name, value in clip.model.state_dict().items()})
    return path
