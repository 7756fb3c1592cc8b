"""Structure distance: is a face composed as before, whatever its colours and its style?

Keys of a ViT say what a patch shows; how similar the keys of all patches are to each other says how the image is put
together (Tumanyan et al. 2022, arXiv 2201.00424). The ViT is timm's: the one maintained package with DINO's ViT-B/8.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2.display import to_uint8
from stylegan2.metrics.image_sets import GeneratedImages, Images, batches
from stylegan2.metrics.measure import Measure
from stylegan2.networks import Generator

PAIRS = 1000
IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB, of values in [0, 1]


@torch.no_grad()
def vit_keys(model: nn.Module, images: Tensor) -> Tensor:
    """Keys of the last block, all heads side by side: images [N, 3, H, W] -> [N, 1 + patches, D], class token first.

    Of a timm `VisionTransformer`. Images (uint8, or float in [-1, 1]) are resized to the side it was built for.
    """
    side = model.patch_embed.img_size[0]
    pixels = to_uint8(images).to(next(model.parameters())) / 255
    pixels = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
    mean, sd = (pixels.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_SD))
    outputs: list[Tensor] = []
    hook = model.blocks[-1].attn.qkv.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        model.forward_features((pixels - mean) / sd)
    finally:
        hook.remove()
    return outputs[0].chunk(3, dim=-1)[1]  # queries, keys, values: [N, T, D] each


def self_similarity(keys: Tensor) -> Tensor:
    """S_ij = cos(k_i, k_j): keys [N, T, D] -> [N, T, T]."""
    keys = F.normalize(keys, dim=-1)
    return keys @ keys.transpose(1, 2)


def structure_distances(source: Images, targets: Sequence[Images], model: nn.Module, batch: int = 8) -> Tensor:
    """How differently the two images of a pair are composed, whatever their colours: [K, N], 0 for the same image.

    The mean square of the difference between the two self-similarities, as the authors' code has it. N images of any
    size, and K sets of N; a timm `VisionTransformer`. Raises ValueError for sets of different length.
    """
    for images in targets:
        if len(images) != len(source):
            raise ValueError(f"images must be pairs: got {len(source)} of the source, {len(images)} others")
    device, distances = next(model.parameters()).device, []
    others = (batches(images, batch, None) for images in targets)
    for chunks in zip(batches(source, batch, "structure"), *others, strict=True):
        first, *rest = (self_similarity(vit_keys(model, chunk.to(device))) for chunk in chunks)
        distances.append(torch.stack([(first - other).square().mean((1, 2)) for other in rest]).cpu())
    return torch.cat(distances, dim=1)


def measure_structure(
    source: Generator, target: Generator, pairs: int, model: nn.Module, batch: int = 8
) -> dict[str, Measure]:
    """Mean structure distance of a fine-tuned generator's images to its source's, between 0 and unrelated faces.

    {"same_w": one code through both, made by the source's mapping, "same_z": each through its own mapping}. Raises
    ValueError for generators whose codes differ in shape, and as `structure_distances`.
    """
    same_w = GeneratedImages(target, pairs, mapping=source.mapping)
    same_z, other = (GeneratedImages(target, pairs, first_seed=first) for first in (0, pairs))
    distances = structure_distances(GeneratedImages(source, pairs), [same_w, same_z, other], model, batch)
    *values, ceiling = distances.mean(1).tolist()
    kinds = "an image against itself", "another face"
    names = [("same_w", "structure distance, same w"), ("same_z", "structure distance, same z")]
    return {
        key: Measure(name, value, 0.0, ceiling, *kinds, pairs) for (key, name), value in zip(names, values, strict=True)
    }
