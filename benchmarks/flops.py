"""How many floating-point operations the networks need at least: two per multiplication with its addition.

The cheapest direct formulation is counted: an up-convolution multiplies each *input* pixel with its 9 weights (no
zeros), a down-convolution makes each output pixel from 9 inputs, modulation is free. Filters, noise, activations and
augmentation are not counted: they are passes over memory. Winograd's algorithm needs fewer multiplications than this
count, so its share of the limit can pass 100%.
"""

from __future__ import annotations

from collections.abc import Mapping


def convolution(inputs: int, outputs: int, pixels: int, taps: int = 9) -> int:
    """`pixels` times a matrix of outputs x (inputs * taps)."""
    return 2 * inputs * outputs * taps * pixels


def generator(channels: Mapping[int, int], w_dim: int, z_dim: int = 0, mapping_layers: int = 0) -> int:
    """One image through synthesis, and through the mapping if its sizes are given.

    channels: width per resolution, {4: 512, 8: 512, ...}.
    """
    mapping = [z_dim, *[w_dim] * mapping_layers]
    total = sum(convolution(a, b, 1, 1) for a, b in zip(mapping, mapping[1:], strict=False))
    below = None
    for r, width in sorted(channels.items()):
        styled = [width, width]  # inputs of the layers that have a style: convolution, tRGB
        if below is not None:
            total += convolution(below, width, (r // 2) ** 2)  # up
            styled.append(below)
        total += convolution(width, width, r**2) + convolution(width, 3, r**2, taps=1)
        total += sum(convolution(w_dim, inputs, 1, taps=1) for inputs in styled)
        below = width
    return total


def discriminator(channels: Mapping[int, int]) -> int:
    """One image through the discriminator."""
    sizes = sorted(channels, reverse=True)
    total = convolution(3, channels[sizes[0]], sizes[0] ** 2, taps=1)
    for r in sizes[:-1]:
        width, next_width = channels[r], channels[r // 2]
        total += convolution(width, width, r**2) + convolution(width, next_width, (r // 2) ** 2)
        total += convolution(width, next_width, (r // 2) ** 2, taps=1)  # skip
    last = channels[4]
    return total + convolution(last + 1, last, 16) + convolution(16 * last, last, 1, 1) + convolution(last, 1, 1, 1)


def latent_step(channels: Mapping[int, int], w_dim: int) -> int:
    """Forward, and backward to the codes alone: the gradient towards each layer's input costs as much as the layer."""
    return 2 * generator(channels, w_dim)


def training_image(g: int, d: int, r1_interval: int = 16, pl_interval: int = 4, pl_shrink: int = 2) -> float:
    """One image of a training iteration, from the forward costs g and d of one image.

    D's step: G forward, D forward and both gradients on a real and a fake image. G's step: G forward and both
    gradients, D forward and the gradient to its input. R1 and path length: forward, gradient to the input, and both
    gradients of each of these two.
    """
    return (g + 6 * d) + (3 * g + 2 * d) + 6 * d / r1_interval + 6 * g / pl_interval / pl_shrink
