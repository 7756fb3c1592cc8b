"""The training loop of StyleGAN2-ADA: alternate D and G, regularise lazily, average G, adapt the augmentation.

Every random number of an iteration (latents, crossover, noise, augmentations, the order of the data) is a function of
(seed, step). So a snapshot needs no random state, and a run that was killed and resumed computes the same bits as one
that was not; and several processes can draw the same numbers and take their share of them (see `distributed`).
"""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from stylegan2 import checkpoints, display, files, losses, transfer
from stylegan2.adaptive import AdaptiveP
from stylegan2.augment import AugmentParams, AugmentPipe
from stylegan2.bars import bar
from stylegan2.batches import batches, check_batch
from stylegan2.config import TrainConfig
from stylegan2.distributed import World
from stylegan2.draws import Draws, Fakes, step_generator
from stylegan2.logs import Averages, NoLog, RunLog
from stylegan2.networks import Discriminator, Generator
from stylegan2.runtime import images_at_once, is_out_of_memory, keep_memory_warm, let_go, pick_dtype, reproducible
from stylegan2.snapshots import latest, prune, read_training_state, snapshot_files, write

BETAS = (0.0, 0.99)


class Diverged(ValueError):
    """Numbers of a run became NaN or infinite; the message says what was lost and what to do."""


def lazy_adam(parameters: list[Tensor], lr: float, interval: int) -> torch.optim.Adam:
    """Adam whose lr and betas are corrected for one extra, regularising step every `interval` iterations.

    StyleGAN2, appendix B, "Lazy regularization": c = k / (k + 1), lr -> c lr, beta -> beta^c.
    """
    c = interval / (interval + 1)
    return torch.optim.Adam(parameters, lr=lr * c, betas=(BETAS[0] ** c, BETAS[1] ** c), eps=1e-8, fused=True)


class Trainer:
    """One run, or this process's part of it.

    Args:
        config: all settings.
        dataset: yields uint8 [3, R, R] for (index, flip); see `stylegan2.data.dataset`.
        g, d: the networks to train, modified in place; for fine-tuning see `Trainer.fine_tune`.
        g_ema: averaged generator to go on with; None: a copy of `g`.
        methods: transfer methods; what they call the source is `g` as it is given here.
        device: default the networks'.

    Attributes:
        step: iterations done; images_seen: real images shown so far.
        begun_as: `config.images` of the run when it began: it may be longer now.
        g_ema: the averaged generator, which is what a run is for.
        frozen: exact names of the frozen parameters.
        source: the generator that methods compare with: a copy that never changes; None where none compares.
        last: values of the last line of the log.
        world: the processes of the run.

    Raises:
        ValueError: for a dataset smaller than a batch, or of another resolution than the networks, a method that
            does not fit the networks, or a batch that cannot be shared.
    """

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
        self._check_shares()
        self.device = torch.device(device) if device else next(g.parameters()).device
        self.g, self.d = g.to(self.device).train(), d.to(self.device).train()
        self.g_ema = copy.deepcopy(g_ema or g).to(self.device).eval().requires_grad_(False)
        self._check_sizes()
        check_batch(len(dataset), config.batch)
        self.source = copy.deepcopy(self.g).eval().requires_grad_(False)
        for method in self.methods:
            method.prepare(self.g, self.source)
            method.prepare(self.g_ema, self.source)
        self.g_ema.requires_grad_(False)
        self.g.requires_grad_(True)  # an earlier trainer may have frozen parts of the same networks
        self.d.requires_grad_(True)
        self.frozen = transfer.freeze(self.methods, self.g, self.d)
        keeps = self.loss_names or any(name.startswith("G.") for name in self.frozen)
        self._origin = checkpoints.fingerprint(self.source) if keeps else None  # a run goes on from its own source
        self.g_parameters = [p for p in self.g.parameters() if p.requires_grad]
        self.d_parameters = [p for p in self.d.parameters() if p.requires_grad]
        if not self.g_parameters or not self.d_parameters:
            whole = "generator" if not self.g_parameters else "discriminator"
            raise ValueError(f"{', '.join(self._method_names)}: nothing of the {whole} is left to train")
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
        dtype = pick_dtype(config.precision, self.device)
        self.g.synthesis.compute_dtype = self.d.compute_dtype = self.source.synthesis.compute_dtype = dtype
        if len(set(self.loss_names)) < len(self.loss_names):
            raise ValueError(f"two methods add a loss of the same name ({', '.join(self.loss_names)}): use one of them")
        if not self.loss_names:
            self.source = None
        self.step, self.begun_as = 0, config.images
        self.last: dict[str, float] = {}
        self._averages = Averages()
        self._stop = False

    @classmethod
    def fine_tune(
        cls,
        config: TrainConfig,
        dataset: Dataset,
        source: checkpoints.Checkpoint,
        methods: Sequence[transfer.Method] = (),
        device: torch.device | str | None = None,
    ) -> Trainer:
        """A run that starts from copies of a model, which itself stays as it is.

        It starts from the averaged generator, which is the one that makes the source's pictures: then what is frozen
        is exactly the source's, in the averaged generator that comes out as well.

        Raises:
            ValueError: for a source without a discriminator, and as the class does.
        """
        if source.d is None:
            raise ValueError("the source has no discriminator, which fine-tuning needs: use a checkpoint with 'd'")
        g = copy.deepcopy(source.g_ema).requires_grad_(True)
        return cls(config, dataset, g, copy.deepcopy(source.d), methods=methods, device=device)

    def _check_sizes(self) -> None:
        sizes = {"generator": self.g.resolution, "discriminator": self.d.resolution}
        sizes["dataset"] = getattr(self.dataset, "resolution", self.g.resolution)
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {size} px" for name, size in sizes.items())
            raise ValueError(f"resolutions differ: {listed}; prepare the dataset at {self.g.resolution} px")

    def _check_shares(self) -> None:
        """Every process gets as much of every batch, and every part of its share as well."""
        c, size = self.config, self.world.size
        if c.batch % (size * c.accumulate) or (c.pl_weight and self._path_length_batch % size):
            raise ValueError(
                f"batch is {c.batch}, for path length {self._path_length_batch}: expected multiples of the number of "
                f"processes ({size}), the former times accumulate ({c.accumulate})"
            )
        if c.reuse_fakes and c.accumulate > 1:
            raise ValueError("reuse_fakes keeps what accumulate frees: use one of them")

    @property
    def _path_length_batch(self) -> int:
        return max(1, self.config.batch // self.config.pl_batch_shrink)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses that the methods add."""
        return tuple(name for method in self.methods for name in method.loss_names)

    @property
    def images_seen(self) -> int:
        """Real images shown to the discriminator so far."""
        return self.step * self.config.batch

    @property
    def precision(self) -> str:
        """Type of the convolutions, "float32", "bfloat16" or "float16"."""
        return str(self.d.compute_dtype).removeprefix("torch.")

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.config.out)

    # ------------------------------------------------------------------------------------------------ one iteration

    def train_step(self, real: Tensor) -> None:
        """One iteration on real images, uint8 [N, 3, R, R]: this process's share of the batch."""
        rng, parts = step_generator(self.config.seed, self.step), self.config.accumulate
        real = real.to(self.device, non_blocking=True).float().div_(127.5).sub_(1)
        reals = [real[part::parts] for part in range(parts)]
        reuse = self.config.reuse_fakes
        with torch.set_grad_enabled(reuse):
            fakes = self._fakes(self.config.batch, rng, later=not reuse)
            seen = [made.images.detach() for made in fakes]  # of what is not used again, the images alone
        self._discriminator_step(reals, seen, rng)
        if self.step % self.config.r1_interval == 0:
            self._r1_step(reals, rng)
        self._generator_step(fakes if reuse else None, rng)
        if self.config.pl_weight and self.step % self.config.pl_interval == 0:
            self._path_length_step(rng)
        self.step += 1
        half_life = self.config.ema_half_life(self.images_seen, self.begun_as)
        beta = 0.5 ** (self.config.batch / half_life) if half_life else 0.0
        losses.update_average(self.g_ema, self.g, beta)
        self._averages.add(augment_p=self.ada.step(), r_t=self.ada.r_t)

    def _discriminator_step(self, reals: list[Tensor], fakes: list[Tensor], rng: torch.Generator) -> None:
        n = self.config.batch
        params = self._draw_augmentation(2 * n, rng)

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
        drawn = self._draw_augmentation(self.config.batch, rng)
        weight = self.config.r1_weight(self.g.resolution) / 2 * self.config.r1_interval

        def parts() -> Iterator[Tensor]:
            for rows, real in zip(self._rows(self.config.batch), reals, strict=True):
                params = drawn.at(rows)
                seen = lambda x, p=params: self.d(self.augment.apply(losses.blur(x, self._blur), p))  # noqa: E731
                penalty = losses.r1_penalty(seen, real)
                self._averages.add(r1=penalty)
                yield penalty * weight

        self._update(self.d_optimiser, self.d_parameters, parts())

    def _generator_step(self, fakes: list[Fakes] | None, rng: torch.Generator) -> None:
        """On images that D has just seen, or on new ones (None), made part by part."""
        n = self.config.batch
        fakes = fakes or self._fakes(n, rng, later=True)
        params = self._draw_augmentation(n, rng)

        def parts() -> Iterator[Tensor]:
            for rows, made in zip(self._rows(n), fakes, strict=True):
                images = losses.blur(made.images, self._blur)
                loss = losses.generator_loss(self.d(self.augment.apply(images, params.at(rows))))
                added = {k: v for method in self.methods for k, v in method.losses(made, self.source).items()}
                self._averages.add(loss_g=loss, **added)
                yield sum(added.values(), start=loss)

        with _without_gradients(self.d_parameters):
            self._update(self.g_optimiser, self.g_parameters, parts())

    def _path_length_step(self, rng: torch.Generator) -> None:
        n, weight = self._path_length_batch, self.config.pl_weight * self.config.pl_interval
        draws, near = self._draw(n, rng), self._near(rng)
        noise = torch.randn((n, 3, self.g.resolution, self.g.resolution), generator=near, device=near.device)
        shares = [share for share in self._shares if range(n)[share]]

        def lengths(share: slice) -> Tensor:
            fakes = self._make(draws.part(share), for_path_length=True)
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

    def _fakes(self, n: int, rng: torch.Generator, later: bool = False) -> list[Fakes] | Iterator[Fakes]:
        """This process's share of n new images, in parts; `later`: each made when it is asked for."""
        draws = self._draw(n, rng)
        made = (self._make(draws.part(share)) for share in self._shares)
        return made if later else list(made)

    def _make(self, draws: Draws, for_path_length: bool = False) -> Fakes:
        """Images with style mixing and fresh noise."""
        ws = draws.ws(self.g.mapping)
        ws = losses.requires_graph(ws) if for_path_length else ws
        stages = {stage.resolution: stage for stage in self.g.synthesis.stages(ws, draws.noise)}
        return Fakes(draws, ws, stages)

    @property
    def _shares(self) -> list[slice]:
        """Which images of a batch are this process's, part by part."""
        parts = self.config.accumulate
        return [self.world.share(part, parts) for part in range(parts)]

    def _rows(self, n: int) -> list[Tensor]:
        """The same as indices into a batch of n."""
        return [torch.arange(n)[share] for share in self._shares]

    def _draw(self, n: int, rng: torch.Generator) -> Draws:
        z = torch.randn(2, n, self.g.z_dim, generator=rng).to(self.device)
        crossover = losses.draw_crossover(self.g.num_ws, self.config.style_mixing, rng)
        # under the warm-up's blur D cannot see noise, and G would learn to draw edges and eyes out of it afterwards
        noise = self.g.synthesis.draw_noise(n, "none" if self._blur else self._near(rng))
        return Draws(z, crossover, noise)

    def _near(self, rng: torch.Generator) -> torch.Generator:
        """`rng` itself on a CPU; else a generator seeded by it on the device, where much noise is drawn much faster."""
        if self.device.type == "cpu":
            return rng
        return torch.Generator(self.device).manual_seed(int(torch.randint(2**62, (), generator=rng)))

    def _draw_augmentation(self, n: int, rng: torch.Generator) -> AugmentParams:
        """Transforms of a whole batch of n images."""
        return self.augment.draw(n, self.g.resolution, self.g.resolution, self.ada.p, rng)

    @property
    def _blur(self) -> float:
        return self.config.blur_at(self.images_seen)

    def _update(self, optimiser: torch.optim.Optimizer, parameters: list[Tensor], parts: Iterable[Tensor]) -> None:
        """One step along the mean gradient of the losses of all parts, of all processes."""
        optimiser.zero_grad(set_to_none=True)
        count = 0
        for loss in parts:
            loss.backward()
            count += 1
        if count > 1:
            torch._foreach_div_([p.grad for p in parameters if p.grad is not None], count)
        self.world.average_gradients(parameters)
        if self.d.compute_dtype == torch.float16:
            _without_infinities(parameters)
        optimiser.step()

    # ------------------------------------------------------------------------------------------------------ the loop

    def run(
        self, on_log: Callable | None = None, on_sample: Callable | None = None, progress: bool = True
    ) -> Generator:
        """Train until `config.images` images were shown, resuming what the run's folder holds; returns `g_ema`.

        Ctrl-C (or the notebook's stop button, SIGTERM, or `stop()`) finishes the iteration, saves and returns.

        Args:
            on_log: called with (trainer, values) after each line of the log.
            on_sample: called with (trainer, images [N, 3, R, R]) after each sample picture.
            progress: show a bar with images/s and time left.

        Raises:
            MemoryError: a batch does not fit; says which setting to change. The same run goes on with it.
            Diverged: losses or parameters became NaN or infinite. The networks are those of the newest snapshot then,
                and no snapshot holds such numbers.
        """
        if self.device.type == "cpu":
            keep_memory_warm()
        self.resume()
        self.world.copy_from_first([self.g, self.d, self.g_ema])
        if self.world.is_first:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_config()
            log = RunLog(self.folder, self.images_seen, self.config.tensorboard, self.loss_names)
        else:
            log = NoLog()
        c = self.config
        shard = {"num_shards": self.world.size, "shard": self.world.rank, "pin": self.device.type == "cuda"}
        stream = batches(self.dataset, c.batch, c.seed, self.step, c.workers, c.mirror, **shard)
        self._stop, shown = False, progress and self.world.is_first
        total = {"total": c.steps * c.batch, "initial": self.images_seen, "smoothing": 0.1}
        steps = bar(what="train", unit="img", shown=shown, **total)
        with steps, closing(log), self._stop_on_interrupt(), reproducible(self.device):
            try:
                if self.step == 0:
                    self._sample(on_sample)
                self._loop(stream, log, steps, on_log, on_sample)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                for optimiser in (self.g_optimiser, self.d_optimiser):
                    optimiser.zero_grad(set_to_none=True)
                let_go(error)
                raise MemoryError(_less_memory(c)) from None
        return self.g_ema

    @property
    def _method_names(self) -> list[str]:
        return [str(method) for method in self.methods]

    def _write_config(self) -> None:
        files.write_json(self.folder / "config.json", {**self.config.to_json(), "methods": self._method_names})

    def _loop(self, stream: Iterator[Tensor], log: RunLog, steps: tqdm, on_log, on_sample) -> None:
        start, images = time.perf_counter(), self.images_seen
        saved = self.images_seen
        while self.step < self.config.steps and not self._stop:
            before = self.images_seen
            self.train_step(next(stream))
            steps.update(self.config.batch)
            if self._crossed(before, self.config.log_images):
                now = time.perf_counter()
                speed = (self.images_seen - images) / (now - start)
                start, images = now, self.images_seen
                self.last = {**self.world.means(self._averages.pop()), "images_per_second": speed}
                if broken := [name for name, value in self.last.items() if not math.isfinite(value)]:
                    self._roll_back(broken)
                log.write(self.images_seen, self.last)
                steps.set_postfix(G=f"{self.last['loss_g']:.2f}", D=f"{self.last['loss_d']:.2f}", p=f"{self.ada.p:.2f}")
                if on_log:
                    on_log(self, self.last)
            if self._crossed(before, self.config.sample_images):
                self._sample(on_sample)
            if self._crossed(before, self.config.snapshot_images):
                saved = self.save()
            self._stop = self.world.any(self._stop)
        if saved != self.images_seen:
            self.save()

    def _crossed(self, before: int, every: int) -> bool:
        """Did the last iteration pass a multiple of `every` images, or end the run?"""
        return before // every != self.images_seen // every or self.step == self.config.steps

    def stop(self) -> None:
        """Ask a running `run` to finish its iteration, save and return."""
        self._stop = True

    @contextmanager
    def _stop_on_interrupt(self):
        """Ctrl-C or SIGTERM asks to stop, a second one ends at once. (Python allows handlers in the main thread only.)

        `torchrun` and the schedulers of clusters send SIGTERM, and kill a while later.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # None: set by code outside Python
        previous = {n: signal.getsignal(n) or signal.SIG_DFL for n in (signal.SIGINT, signal.SIGTERM)}

        def handler(number, frame):
            self.stop()
            if self.world.is_first:
                tqdm.write("stopping after this iteration and saving; interrupt again to stop at once")
            signal.signal(number, previous[number])

        for number in previous:
            signal.signal(number, handler)
        try:
            yield
        finally:
            for number, old in previous.items():
                signal.signal(number, old)

    # ------------------------------------------------------------------------------------------- samples, snapshots

    @torch.no_grad()
    def sample(self) -> Tensor:
        """The run's fixed latents through g_ema, with its fixed noise: [rows * columns, 3, R, R] in [-1, 1]."""
        count = self.config.sample_rows * self.config.sample_columns
        z = torch.randn(count, self.g.z_dim, generator=step_generator(self.config.seed, 0, stream=1)).to(self.device)
        # in small batches: a large preview must not need more memory than training does
        size = images_at_once(self.g_ema.synthesis, self.config.batch)
        return torch.cat([self.g_ema(chunk, noise="const") for chunk in z.split(size)])

    def _sample(self, on_sample: Callable | None) -> None:
        self._update_mean()  # so that `on_sample` may truncate
        if not self.world.is_first:
            return
        images = self.sample()
        picture = display.grid(images.cpu(), self.config.sample_columns)
        display.save(picture, self.folder / "samples" / f"{self.images_seen:09d}.png")
        if on_sample:
            on_sample(self, images)

    def _update_mean(self) -> None:
        """Bring the averaged generator's mean w up to date; that of a frozen mapping stays, to the last bit."""
        if any(parameter.requires_grad for parameter in self.g.mapping.layers.parameters()):
            self.g_ema.mapping.update_mean()

    def save(self) -> int:
        """Write a snapshot and drop old ones; returns `images_seen`. Raises Diverged rather than write NaN."""
        networks = {"G": self.g, "D": self.d, "averaged G": self.g_ema}
        if broken := [name for name, network in networks.items() if not _is_finite(network)]:
            self._roll_back(broken)
        self._update_mean()
        state = {
            "step": self.step,
            "begun_as": self.begun_as,
            "batch": self.config.batch,
            "g_optimiser": self.g_optimiser.state_dict(),
            "d_optimiser": self.d_optimiser.state_dict(),
            "path_length_mean": float(self.path_length.mean),
            "ada": self.ada.state_dict(),
            "averages": self._averages.state_dict(),
            "dataset_length": len(self.dataset),
        }
        meta = {"images": self.images_seen, "precision": self.precision, "frozen": self.frozen}
        meta |= {"methods": self._method_names, "origin": self._origin}
        if self.world.is_first:
            write(self.folder, self.images_seen, self.g_ema, self.g, self.d, state, meta)
            prune(self.folder, self.config.keep, self.images_seen)
        return self.images_seen

    def resume(self) -> bool:
        """Load the newest readable snapshot of the run's folder, if there is one. Returns whether.

        A finished run goes on where `config.images` is larger now, and computes what a longer run would have: with
        the half-life of the averaged generator that it began with.

        Raises:
            ValueError: when the folder holds a run with other settings, frozen parameters, networks or data, or one
                that is longer already.
            CheckpointError: when its newest readable snapshot is a model without training state.
        """
        return not self.step and self._restore()

    def _roll_back(self, broken: list[str]) -> None:
        """Go back to the newest snapshot, and say so."""
        images, self.last = self.images_seen, {}
        self._averages.pop()
        found = self._restore()  # moves `images_seen`
        back = f"the networks are those of {self.images_seen:,} images again" if found else "nothing was saved before"
        raise Diverged(
            f"{', '.join(broken)} became NaN or infinite within the last {min(images, self.config.log_images):,} of "
            f"{images:,} images; {back}. The same command would do the same again: start a new run, with --source "
            f"{self.config.out} --out ANOTHER, and a lower --lr, a higher --r1-gamma or --precision float32"
        )

    def _restore(self) -> bool:
        """Take everything from the newest snapshot. Returns whether there is one."""
        path = self.world.of_first(self._newest_snapshot() if self.world.is_first else None)
        if path is None:
            return False
        path = Path(path)
        found = read_training_state(path, self.device)
        self._check_resumable(path, found)
        for own, other in ((self.g, found.g), (self.d, found.d), (self.g_ema, found.g_ema)):
            own.load_state_dict(other.state_dict())
        state = found.training
        _load_moments(self.g_optimiser, state["g_optimiser"])
        _load_moments(self.d_optimiser, state["d_optimiser"])
        self.path_length.mean = torch.tensor(state["path_length_mean"], device=self.device)
        self.ada.load_state_dict(state["ada"], self.world.is_first)
        if "averages" in state:
            self._averages.load_state_dict(state["averages"])
        self.step, self.begun_as = state["step"], state.get("begun_as", self.config.images)
        return True

    def _newest_snapshot(self) -> str | None:
        if not snapshot_files(self.folder):
            return None
        if (self.folder / "config.json").exists():
            self.config.check_same(self.folder / "config.json")
        path = latest(self.folder)
        return None if path is None else str(path)

    def _check_resumable(self, path: Path, found: checkpoints.Checkpoint) -> None:
        """What config.json does not tell: networks, frozen parameters and data must be those of the snapshot."""
        done = found.training["step"] * self.config.batch
        if found.training["step"] > self.config.steps:
            raise ValueError(
                f"'{self.folder}' has been trained on {done:,} images already, more than images={self.config.images}: "
                f"nothing was done; to train it further, ask for more than {done:,}"
            )
        pairs = {"generator": (self.g, found.g), "discriminator": (self.d, found.d)}
        differ = [name for name, (own, other) in pairs.items() if _shapes(own) != _shapes(other)]
        if found.info.get("frozen", self.frozen) != self.frozen:
            differ.append(f"frozen parameters ({len(found.info['frozen'])} then, {len(self.frozen)} now)")
        then, now = found.info.get("methods", self._method_names), self._method_names
        if then != now:
            differ.append(f"methods ({', '.join(then) or 'none'} then, {', '.join(now) or 'none'} now)")
        if self._origin and found.info.get("origin", self._origin) != self._origin:
            differ.append("source")
        length = found.training.get("dataset_length", len(self.dataset))
        if length != len(self.dataset):
            differ.append(f"dataset ({length:,} images then, {len(self.dataset):,} now)")
        if differ:
            raise ValueError(
                f"'{path}' is of another run, with a different {' and a different '.join(differ)}: "
                "start it as before to resume it, or use another folder for a new run"
            )
        before = str(found.info.get("precision", self.precision)).removeprefix("torch.")
        if before != self.precision:
            warnings.warn(f"resuming in {self.precision} a run begun in {before}: results will differ", stacklevel=3)


def _load_moments(optimiser: torch.optim.Optimizer, state: dict) -> None:
    """Load Adam's state, its moments in the memory layout of the parameters: the fused step takes that for granted."""
    optimiser.load_state_dict(state)
    for parameter, moments in optimiser.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(value)


def _is_finite(network: torch.nn.Module) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values())


def _shapes(network: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def _less_memory(config: TrainConfig) -> str:
    """What to set where a batch does not fit."""
    now = f" in {config.accumulate} parts" if config.accumulate > 1 else ""
    return (
        f"not enough memory for a batch of {config.batch}{now}: set accumulate={2 * config.accumulate}, which computes "
        "it in more parts, with the same result, or a smaller batch"
    )


def _without_infinities(parameters: list[Tensor]) -> None:
    """float16 gradients that grew too large become large numbers, and those that got lost become none."""
    for parameter in parameters:
        if parameter.grad is not None:
            torch.nan_to_num_(parameter.grad, nan=0.0, posinf=1e5, neginf=-1e5)


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
