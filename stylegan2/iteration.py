"""One iteration of StyleGAN2-ADA: D, lazy R1, G, lazy path length, the averaged generator. Read `train_step` first.

Every random number of an iteration (latents, crossover, noise, augmentations) is a function of (seed, step), sampled
for the whole batch; a process takes its share of it (see `distributed`), in `config.accumulate` parts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylegan2 import checkpoints, losses, transfer
from stylegan2.augment import AdaptiveP, AugmentPipe
from stylegan2.batches import check_batch
from stylegan2.config import TrainConfig
from stylegan2.distributed import World
from stylegan2.inputs import Fakes, Inputs, step_generator
from stylegan2.networks import Discriminator, Generator
from stylegan2.runs import Averages
from stylegan2.runtime import pick_dtype


def lazy_adam(parameters: list[Tensor], lr: float, interval: int) -> torch.optim.Adam:
    """Adam whose lr and betas are corrected for one extra, regularising step every `interval` iterations.

    StyleGAN2, appendix B, "Lazy regularization": c = k / (k + 1), lr -> c lr, beta -> beta^c.
    """
    c = interval / (interval + 1)
    return torch.optim.Adam(parameters, lr=lr * c, betas=(0.0, 0.99**c), eps=1e-8, fused=True)


class Iteration:
    """Networks in training, their optimisers and controllers, and what one iteration does; see `Trainer`."""

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        g: Generator,
        d: Discriminator,
        g_ema: Generator | None = None,
        methods: Sequence[transfer.Method] = (),
        device: torch.device | str | None = None,
    ):
        self.config, self.dataset, self.methods, self.world = config, dataset, tuple(methods), World.here()
        self.device = torch.device(device) if device else next(g.parameters()).device
        self._check(g, d)
        self.g, self.d = g.to(self.device).train(), d.to(self.device).train()
        self.g_ema = copy.deepcopy(g_ema or g).to(self.device).eval().requires_grad_(False)
        self._apply_methods()
        self.g_parameters = [p for p in self.g.parameters() if p.requires_grad]
        self.d_parameters = [p for p in self.d.parameters() if p.requires_grad]
        if not self.g_parameters or not self.d_parameters:
            whole = "generator" if not self.g_parameters else "discriminator"
            raise ValueError(f"{', '.join(map(str, self.methods))}: nothing of the {whole} is left to train")
        self.g_optimiser = lazy_adam(self.g_parameters, config.lr, config.pl_interval)
        self.d_optimiser = lazy_adam(self.d_parameters, config.lr, config.r1_interval)
        self.path_length = losses.PathLengthRegulariser(config.pl_decay, self.device, self.world.mean)
        self.augment = AugmentPipe(config.augment_pipe if config.augment != "none" else "none")
        self.ada = AdaptiveP(
            p=config.augment_p,
            target=config.augment_target,
            interval=config.augment_interval,
            length_images=config.augment_length,
            fixed=config.augment != "adaptive",
            over_all=self.world.sum,
        )
        self.method_names = [str(method) for method in methods]
        self.step, self.begun_as = 0, config.images
        self._averages = Averages()

    def _check(self, g: Generator, d: Discriminator) -> None:
        """Sizes agree, and every process gets as much of every batch, and every part of its share as well."""
        c, size = self.config, self.world.size
        if c.batch % (size * c.accumulate) or (c.pl_weight and c.path_length_batch % size):
            raise ValueError(
                f"batch is {c.batch}, for path length {c.path_length_batch}: expected multiples of the number of "
                f"processes ({size}), the former times accumulate ({c.accumulate})"
            )
        if c.reuse_fakes and c.accumulate > 1:
            raise ValueError("reuse_fakes keeps what accumulate frees: use one of them")
        sizes = {"generator": g.resolution, "discriminator": d.resolution}
        sizes["dataset"] = getattr(self.dataset, "resolution", g.resolution)
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {side} px" for name, side in sizes.items())
            raise ValueError(f"resolutions differ: {listed}; prepare the dataset at {g.resolution} px")
        check_batch(len(self.dataset), c.batch)

    def _apply_methods(self) -> None:
        self.source = copy.deepcopy(self.g).eval().requires_grad_(False)
        for method in self.methods:
            method.prepare(self.g, self.source)
            method.prepare(self.g_ema, self.source)
        self.g_ema.requires_grad_(False)
        self.g.requires_grad_(True)  # an earlier trainer may have frozen parts of the same networks
        self.d.requires_grad_(True)
        self.frozen = transfer.freeze(self.methods, self.g, self.d)
        self.loss_names = [name for method in self.methods for name in method.loss_names]
        keeps = self.loss_names or any(name.startswith("G.") for name in self.frozen)
        self._origin = checkpoints.fingerprint(self.source) if keeps else None  # a run goes on from its own source
        dtype = pick_dtype(self.config.precision, self.device)
        self.g.synthesis.compute_dtype = self.d.compute_dtype = self.source.synthesis.compute_dtype = dtype
        if len(set(self.loss_names)) < len(self.loss_names):
            raise ValueError(f"two methods add a loss of the same name ({', '.join(self.loss_names)}): use one of them")
        if not self.loss_names:
            self.source = None

    @property
    def images_seen(self) -> int:
        """Real images shown to the discriminator so far."""
        return self.step * self.config.batch

    # ------------------------------------------------------------------------------------------------ one iteration
    def train_step(self, real: Tensor) -> None:
        """One iteration on real images, uint8 [N, 3, R, R]: this process's share of the batch."""
        c, rng = self.config, step_generator(self.config.seed, self.step)
        real = real.to(self.device, non_blocking=True).float().div_(127.5).sub_(1)
        reals = [real[part :: c.accumulate] for part in range(c.accumulate)]
        with torch.set_grad_enabled(c.reuse_fakes):
            fakes = self._fakes(c.batch, rng, later=not c.reuse_fakes)
            images = [fake.images.detach() for fake in fakes]  # of what is not used again, the images alone
        self._discriminator_step(reals, images, rng)
        if self.step % c.r1_interval == 0:
            self._r1_step(reals, rng)
        self._generator_step(fakes if c.reuse_fakes else None, rng)
        if c.pl_weight and self.step % c.pl_interval == 0:
            self._path_length_step(rng)
        self.step += 1
        half_life = c.ema_half_life(self.images_seen, self.begun_as)
        losses.update_average(self.g_ema, self.g, 0.5 ** (c.batch / half_life) if half_life else 0.0)
        self._averages.add(augment_p=self.ada.step(), r_t=self.ada.r_t)

    def _discriminator_step(self, reals: list[Tensor], fakes: list[Tensor], rng: torch.Generator) -> None:
        n = self.config.batch
        params = self._sample_augmentation(2 * n, rng)

        def parts() -> Iterator[Tensor]:
            for rows, real, fake in zip(self._rows(n), reals, fakes, strict=True):
                # real and fake in one pass: half as many calls, the same logits as from two passes
                images = losses.blur(torch.cat([real, fake]), self._blur)
                logits = self.d(self.augment.apply(images, params.at(torch.cat([rows, n + rows]))), batches=2)
                real_logits, fake_logits = logits.chunk(2)
                self.ada.observe(real_logits)
                loss = losses.discriminator_loss(real_logits, fake_logits)
                self._averages.add(loss_d=loss)
                yield loss

        self._update(self.d_optimiser, self.d_parameters, parts())

    def _r1_step(self, reals: list[Tensor], rng: torch.Generator) -> None:
        whole = self._sample_augmentation(self.config.batch, rng)
        weight = self.config.r1_weight(self.g.resolution) / 2 * self.config.r1_interval

        def parts() -> Iterator[Tensor]:
            for rows, real in zip(self._rows(self.config.batch), reals, strict=True):
                params = whole.at(rows)
                seen = lambda x, p=params: self.d(self.augment.apply(losses.blur(x, self._blur), p))  # noqa: E731
                penalty = losses.r1_penalty(seen, real)
                self._averages.add(r1=penalty)
                yield penalty * weight

        self._update(self.d_optimiser, self.d_parameters, parts())

    def _generator_step(self, fakes: list[Fakes] | None, rng: torch.Generator) -> None:
        """On images that D has just seen, or on new ones (None), made part by part."""
        n = self.config.batch
        fakes = fakes or self._fakes(n, rng, later=True)
        params = self._sample_augmentation(n, rng)

        def parts() -> Iterator[Tensor]:
            for rows, fake in zip(self._rows(n), fakes, strict=True):
                images = losses.blur(fake.images, self._blur)
                loss = losses.generator_loss(self.d(self.augment.apply(images, params.at(rows))))
                added = {k: v for method in self.methods for k, v in method.losses(fake, self.source).items()}
                self._averages.add(loss_g=loss, **added)
                yield sum(added.values(), start=loss)

        with _without_gradients(self.d_parameters):
            self._update(self.g_optimiser, self.g_parameters, parts())

    def _path_length_step(self, rng: torch.Generator) -> None:
        n, weight = self.config.path_length_batch, self.config.pl_weight * self.config.pl_interval
        inputs, near = self._sample_inputs(n, rng), self._near(rng)
        noise = torch.randn((n, 3, self.g.resolution, self.g.resolution), generator=near, device=near.device)
        shares = [share for share in self._shares if range(n)[share]]

        def lengths(share: slice) -> Tensor:
            fakes = self._make(inputs.part(share), for_path_length=True)
            return losses.path_lengths(fakes.images, fakes.ws, noise[share])

        def parts() -> Iterator[Tensor]:
            if len(shares) == 1:
                yield weight * self.path_length.penalty(lengths(shares[0]))
                return
            # the running mean needs all lengths before the first gradient, so they are computed twice
            each = [lengths(share).detach() for share in shares]
            whole = torch.cat(each).requires_grad_()
            (slopes,) = torch.autograd.grad(weight * self.path_length.penalty(whole), whole)
            for share, slope in zip(shares, slopes.split([len(part) for part in each]), strict=True):
                yield len(shares) * (slope * lengths(share)).sum()  # `_update` takes the mean

        self._update(self.g_optimiser, self.g_parameters, parts())
        self._averages.add(path_length=self.path_length.mean)

    def _update(self, optimiser: torch.optim.Optimizer, parameters: list[Tensor], parts: Iterable[Tensor]) -> None:
        """One step along the mean gradient of the losses of all parts, of all processes."""
        optimiser.zero_grad(set_to_none=True)
        count = 0
        for loss in parts:
            loss.backward()
            count += 1
        gradients = [p.grad for p in parameters if p.grad is not None]
        if count > 1:
            torch._foreach_div_(gradients, count)
        self.world.average_gradients(parameters)
        if self.d.compute_dtype == torch.float16:
            for gradient in gradients:  # those that grew too large become large numbers, those that got lost none
                torch.nan_to_num_(gradient, nan=0.0, posinf=1e5, neginf=-1e5)
        optimiser.step()

    # -------------------------------------------------------------------------------------------------- random numbers
    def _fakes(self, n: int, rng: torch.Generator, later: bool = False) -> list[Fakes] | Iterator[Fakes]:
        """This process's share of n new images, in parts; `later`: each made when it is asked for."""
        inputs = self._sample_inputs(n, rng)
        fakes = (self._make(inputs.part(share)) for share in self._shares)
        return fakes if later else list(fakes)

    def _make(self, inputs: Inputs, for_path_length: bool = False) -> Fakes:
        ws = inputs.ws(self.g.mapping)
        ws = losses.requires_graph(ws) if for_path_length else ws
        return Fakes(inputs, ws, {stage.resolution: stage for stage in self.g.synthesis.stages(ws, inputs.noise)})

    @property
    def _shares(self) -> list[slice]:
        """Which images of a batch are this process's, part by part."""
        return [self.world.share(part, self.config.accumulate) for part in range(self.config.accumulate)]

    def _rows(self, n: int) -> list[Tensor]:
        """The same as indices into a batch of n."""
        return [torch.arange(n)[share] for share in self._shares]

    def _sample_inputs(self, n: int, rng: torch.Generator) -> Inputs:
        """Codes to mix, and fresh noise."""
        z = torch.randn(2, n, self.g.z_dim, generator=rng).to(self.device)
        crossover = losses.sample_crossover(self.g.num_ws, self.config.style_mixing, rng)
        # under the warm-up's blur D cannot see noise, and G would learn to make edges and eyes of it afterwards
        return Inputs(z, crossover, self.g.synthesis.sample_noise(n, "none" if self._blur else self._near(rng)))

    def _near(self, rng: torch.Generator) -> torch.Generator:
        """`rng` itself on a CPU; else a generator seeded by it on the device, where noise is sampled much faster."""
        if self.device.type == "cpu":
            return rng
        return torch.Generator(self.device).manual_seed(int(torch.randint(2**62, (), generator=rng)))

    def _sample_augmentation(self, n: int, rng: torch.Generator):
        return self.augment.sample(n, self.g.resolution, self.g.resolution, self.ada.p, rng)

    @property
    def _blur(self) -> float:
        return self.config.blur_at(self.images_seen)


@contextmanager
def _without_gradients(parameters: list[Tensor]):
    """Parameters of the other network need no gradient while this one learns: half of the backward work saved."""
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)
