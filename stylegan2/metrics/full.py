"""The measures of papers, at full scale: FID, KID, precision and recall, perceptual path length, structure distance.

    real = image_sets.open_images("data/webtoon.lmdb", g.resolution)
    print(format_results(measure_generator(g, MEASURES, real, source)))

Networks and formulas of the first three are torch-fidelity's. The loop over the images is ours, so that an image is
rendered once for all networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylegan2.metrics import path_length, structure
from stylegan2.metrics.image_sets import GeneratedImages, Images, batches
from stylegan2.metrics.measure import Measure
from stylegan2.networks import Generator
from stylegan2.published import pretrained
from stylegan2.published.pretrained import FIDELITY, Extractor, Where, need
from stylegan2.runtime import pick_device

MEASURES = {"fid": "inception", "kid": "inception", "pr": "vgg", "ppl": "lpips", "structure": "dino"}  # -> its network
COMPARED = ("fid", "kid", "pr")  # measures that need real images
LOADERS = {  # network -> what loads it
    "inception": pretrained.inception,
    "vgg": pretrained.vgg,
    "lpips": pretrained.lpips_distance,
    "dino": pretrained.dino,
}
KID_SUBSET = 1000  # images of each of the 100 subsets, as usual
NEIGHBOURS = 3  # k of precision and recall, as in their paper
FEW = 10_000  # images, below which FID says more about their number than about the generator


# --------------------------------------------------------------------------------- FID, KID, precision and recall
@torch.no_grad()
def extract_features(
    images: Images, extractors: Mapping[str, Extractor], batch: int = 32, device="auto", what: str | None = "images"
) -> dict[str, Tensor]:
    """Every network's features of every image, in one pass over the images: {network: [N, F] on the CPU}."""
    device, features = pick_device(device), {name: [] for name in extractors}
    for chunk in batches(images, batch, what):
        chunk = chunk.to(device)
        for name, extractor in extractors.items():
            features[name].append(extractor(chunk).cpu())
    return {name: torch.cat(parts) for name, parts in features.items()}


def fid(generated: Tensor, real: Tensor) -> dict[str, float]:
    """Fréchet Inception Distance (arXiv 1706.08500, eq. 6) of features [N, F] and [M, F].

    Few images make it larger, the same images or not: compare numbers only for equal N and M.
    """
    module = need("torch_fidelity.metric_fid", FIDELITY)
    statistics = [module.fid_features_to_statistics(features) for features in (generated, real)]
    return {"fid": module.fid_statistics_to_metric(*statistics, verbose=False)[module.KEY_METRIC_FID]}


def kid(generated: Tensor, real: Tensor) -> dict[str, float]:
    """Kernel Inception Distance (arXiv 1801.01401) of features [N, F] and [M, F]: mean and sd over 100 subsets.

    Unbiased: about 0 (also below) for equal distributions, however few the images. Not multiplied by 1000.
    """
    module = need("torch_fidelity.metric_kid", FIDELITY)
    subset = min(KID_SUBSET, len(generated), len(real))
    result = module.kid_features_to_metric(generated, real, kid_subset_size=subset, verbose=False)
    return {"kid": result[module.KEY_METRIC_KID_MEAN], "kid_sd": result[module.KEY_METRIC_KID_STD]}


def precision_recall(generated: Tensor, real: Tensor) -> dict[str, float]:
    """Improved precision and recall (arXiv 1904.06991, k = 3) of features [N, F] and [M, F], each in 0..1.

    Precision: the share of generated images among the real ones; recall: of real images among the generated ones.
    """
    module = need("torch_fidelity.metric_prc", FIDELITY)
    options = {"prc_neighborhood": NEIGHBOURS, "prc_batch_size": 2500, "save_cpu_ram": True}  # all pairs at once: 30 GB
    result = module.prc_features_to_metric(generated, real, **options, verbose=False)
    return {"precision": result[module.KEY_METRIC_PRECISION], "recall": result[module.KEY_METRIC_RECALL]}


FORMULAS = {"fid": fid, "kid": kid, "pr": precision_recall}


def load_networks(measures: Sequence[str], weights: Where = None, device="auto") -> dict[str, Callable]:
    """The networks that measures need: {name: network}.

    weights: a folder with the files of all networks; the file of Inception, or of the one network that is needed; None:
    PyTorch's cache, filled from the network. Raises ImportError, FileNotFoundError, ConnectionError or ValueError for a
    missing package or file; says what to do.
    """
    wanted = list(dict.fromkeys(MEASURES[measure] for measure in measures))
    if weights is not None and not Path(weights).exists():
        raise FileNotFoundError(f"no weights at '{weights}': expected a folder with the files of {', '.join(wanted)}")
    places = dict.fromkeys(wanted, weights)
    if weights is not None and Path(weights).is_file():
        places = {"inception" if "inception" in wanted else wanted[0]: weights}
    return {name: LOADERS[name](places.get(name), device) for name in wanted}


def image_distances(
    generated: Images,
    real: Images,
    networks: Mapping[str, Extractor],
    measures: Sequence[str] = COMPARED,
    batch: int = 32,
    device: torch.device | str = "auto",
) -> dict[str, float]:
    """How far generated images are from real ones: {"fid", "kid", "kid_sd", "precision", "recall"}, as asked for.

    `networks` has an "inception" and a "vgg", as far as `measures` (of `COMPARED`) need them. Raises ValueError for
    fewer than 4 images.
    """
    if min(len(generated), len(real)) <= NEIGHBOURS:
        raise ValueError(f"{len(generated)} generated and {len(real)} real images: expected at least {NEIGHBOURS + 1}")
    device = pick_device(device)
    extractors = {name: networks[name] for name in {MEASURES[measure] for measure in measures}}
    sets = [
        extract_features(images, extractors, batch, device, what)
        for what, images in (("generated", generated), ("real", real))
    ]
    distances: dict[str, float] = {}
    for measure in measures:
        pair = [features[MEASURES[measure]] for features in sets]
        distances |= FORMULAS[measure](*(p.to(device) for p in pair) if measure == "pr" else pair)
    return distances


# ---------------------------------------------------------------------------------------------------------- everything
def measure_generator(
    g: Generator,
    measures: Sequence[str] = COMPARED,
    real: Dataset | None = None,
    source: Generator | None = None,
    count: int = 50_000,
    weights: Where = None,
    batch: int = 32,
) -> dict:
    """Measures of one generator as plain values, ready for JSON. Networks are loaded before anything is rendered.

    `real`: images of its resolution, for `COMPARED`. `source`: what it was fine-tuned from, for "structure". `count`:
    generated images (at most 5,000 pairs for "ppl" and 1,000 for "structure").
    Raises ValueError for an unknown measure, or one whose real images or source are not given; and as `load_networks`.
    """
    if not measures or set(measures) - set(MEASURES):
        raise ValueError(f"measures {list(measures)}: expected some of {', '.join(MEASURES)}")
    compared = [measure for measure in measures if measure in COMPARED]
    if compared and real is None:
        raise ValueError(f"{', '.join(compared)} compare with real images: give a dataset or folder of them (--data)")
    if "structure" in measures and source is None:
        raise ValueError("structure compares with the model that this one was fine-tuned from: give it (--source)")
    device = g.mapping.w_mean.device
    networks = load_networks(measures, weights, device)
    results: dict = {"resolution": g.resolution}
    if compared:
        results |= {"images": count, "real_images": len(real)}
        results |= image_distances(GeneratedImages(g, count), real, networks, compared, batch, device)
    if "ppl" in measures:
        pairs = min(count, path_length.PAIRS)
        ppl = path_length.perceptual_path_length(g, pairs, networks["lpips"], batch=max(1, batch // 2))
        results |= {"ppl": ppl, "ppl_pairs": pairs}
    if "structure" in measures:
        pairs = min(count, structure.PAIRS)
        by_code = structure.measure_structure(source, g, pairs, networks["dino"], max(1, batch // 4))
        results |= {f"structure_{key}": asdict(measure) for key, measure in by_code.items()}
    return results


LINES = {  # a result: how it is written
    "fid": "FID {fid:.4g}",
    "kid": "KID {kid:.4g} (sd {kid_sd:.2g} over 100 subsets)",
    "precision": "precision {precision:.3f}, recall {recall:.3f}",
    "ppl": "PPL {ppl:.4g} ({ppl_pairs:,} pairs in W, steps at the end)",
}


def format_results(results: Mapping) -> str:
    """The result of `measure_generator`, one measure a line."""
    lines = []
    if "images" in results:
        few = min(results["images"], results["real_images"]) < FEW
        note = " (few images make FID larger: compare it only with FID of as many)" if few and "fid" in results else ""
        lines.append(f"{results['images']:,} generated against {results['real_images']:,} real images{note}")
    lines += [text.format(**results) for name, text in LINES.items() if name in results]
    lines += [str(Measure(**value)) for key, value in results.items() if key.startswith("structure_")]
    return "\n".join(lines)
