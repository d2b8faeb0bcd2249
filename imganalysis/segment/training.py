"""Training a network on annotated images, with checkpoints that can be continued."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from imganalysis.errors import ModelError
from imganalysis.segment.beginning import (
    CHECKPOINT,
    CHECKPOINT_FORMAT,
    architecture_of,
    check_architecture,
    check_mark,
    origin_of,
    read_checkpoint,
    with_origin,
)
from imganalysis.segment.examples import chances_of, data_hash, draw_batch
from imganalysis.segment.network import (
    Network,
    build,
    load_weights,
    save_atomic,
    save_weights,
)
from imganalysis.segment.widening import widened
from imganalysis.settings import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.segment.augment import Example
    from imganalysis.segment.training_settings import TrainingSettings

WEIGHTS, LOG = "weights.pt", "log.csv"
_LOG_EVERY = 20  # steps


@dataclass(frozen=True)
class Trained:
    """How far a training went.

    Parameters
    ----------
    step
        Steps done in all.
    finished
        Whether these are all of the recipe's.
    loss
        Mean of the last steps.
    weights
        The file of weights: means over the last steps.
    """

    step: int
    finished: bool
    loss: float
    weights: Path


def train(
    examples: Sequence[Example],
    settings: TrainingSettings,
    out: Path,
    *,
    shares: Mapping[str, float] | None = None,
    about: Mapping[str, Any] | None = None,
    start: Path | None = None,
    resume: bool = False,
    threads: int = 2,
    device: str = "cpu",
    checkpoint_minutes: float = 5.0,
    stop: Callable[[], bool] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Trained:
    """Train a network.

    Parameters
    ----------
    examples
        As `make_example` gives them.
    settings
        Of the network, the augmentation and the learning.
    out
        Folder, for ``checkpoint.pt``, ``weights.pt`` and ``log.csv``.
    shares
        Weight of each source of the examples; equal if not given.
    about
        Goes into the file of weights; name, hash and credits of ``start`` are added.
    start
        Weights to begin with, of this network or a narrower one, in place of random ones.
    resume
        Go on from the checkpoint in ``out``. The result is that of a run that was never
        stopped, to the last bit with the same number of threads on the same machine: what is
        drawn in a step depends on the seed and the step's number only.
    threads
        Of torch, while this runs.
    device
        Of torch.
    checkpoint_minutes
        Time between checkpoints.
    stop
        Asked after each step whether to stop; a checkpoint is then written.
    progress
        Called with (word, step, steps).

    Raises
    ------
    SettingsError
        No examples, or a source without a share.
    ModelError
        The checkpoint or the first weights are damaged or belong to another training.
    OutputError
        A file cannot be written.
    """
    chances = chances_of(examples, shares)
    marks = {"settings": fingerprint(settings), "data": data_hash(examples, chances)}
    run = _Run(settings, out, marks, device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        run.prepare(start, resume)
        run.go(
            lambda step: draw_batch(examples, chances, settings, step),
            dict(about or {}),
            checkpoint_minutes * 60,
            stop or (lambda: False),
            progress or (lambda *_: None),
        )
    finally:
        torch.set_num_threads(before)
    return Trained(run.step, run.step >= settings.steps, run.mean_loss(), out / WEIGHTS)


def loss_of(
    out: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, flow_weight: float
) -> torch.Tensor:
    """Mean square error of the flows and cross entropy of the outline, weighed pixel by pixel."""
    total = weight.sum().clamp(min=1.0)
    square = (out[:, :2] - target[:, :2]).square().mean(dim=1, keepdim=True)
    entropy = functional.binary_cross_entropy_with_logits(
        out[:, 2:], target[:, 2:], reduction="none"
    )
    return ((flow_weight * square + entropy) * weight).sum() / total


def rate_at(step: int, settings: TrainingSettings) -> float:
    """Learning rate: a linear rise, then half a cosine down to the final rate."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    span = max(1, settings.steps - settings.warmup_steps)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, (step - settings.warmup_steps) / span)))
    return settings.learning_rate * (settings.final_rate + (1 - settings.final_rate) * fall)


class _Run:
    """State of a training."""

    def __init__(
        self, settings: TrainingSettings, out: Path, marks: dict[str, str], device: str
    ) -> None:
        self.settings, self.out, self.marks, self.device = settings, out, marks, device
        self.step = 0
        self.losses: list[float] = []
        self.architecture = architecture_of(settings)
        self.origin: dict[str, Any] | None = None

    def prepare(self, start: Path | None, resume: bool) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            network = Network(self.architecture)
        content: dict[str, Any] | None = None
        if resume:
            path = self.out / CHECKPOINT
            content = read_checkpoint(path)
            for name, mark in self.marks.items():
                check_mark(content, name, mark, path)
            self.origin = content.get("start")
            network, mean = build(content, path), build(content, path, entry="mean")
        else:
            if start is not None:
                network, about = load_weights(start)
                check_architecture(network, self.settings, start)
                network = widened(network, self.architecture, self.settings.seed)
                self.origin = origin_of(start, about)
            mean = Network(self.architecture)
            mean.load_state_dict(network.state_dict())
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean = mean.to(self.device)
        self.optimiser = self._optimiser()
        if content is not None:
            try:
                self.optimiser.load_state_dict(content["optimiser"])
                self.step, self.losses = int(content["step"]), list(content["losses"])
            except (KeyError, ValueError, TypeError) as error:
                raise ModelError(f"{self.out / CHECKPOINT}: damaged ({error})") from None
        self._cut_log()

    def _optimiser(self) -> torch.optim.AdamW:
        weights = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": self.settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.settings.learning_rate)

    def go(
        self,
        draw: Callable[[int], tuple[NDArray[np.float32], ...]],
        about: dict[str, Any],
        checkpoint_s: float,
        stop: Callable[[], bool],
        progress: Callable[[str, int, int], None],
    ) -> None:
        saved, began, first = time.monotonic(), time.monotonic(), self.step
        if self.step == 0:
            self.save(about)
        # The next batch is drawn while the network learns from this one.
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(draw, self.step)
            while self.step < self.settings.steps:
                batch = waiting.result()
                if self.step + 1 < self.settings.steps:
                    waiting = pool.submit(draw, self.step + 1)
                loss = self.learn(*batch)
                self.step += 1
                self.losses = [*self.losses[-99:], loss]
                if self.step % _LOG_EVERY == 0 or self.step == self.settings.steps:
                    self._log((time.monotonic() - began) / (self.step - first))
                progress("train", self.step, self.settings.steps)
                if stop():
                    break
                if time.monotonic() - saved > checkpoint_s:
                    self.save(about)
                    saved = time.monotonic()
            waiting.cancel()
        self.save(about)

    def learn(
        self,
        images: NDArray[np.float32],
        targets: NDArray[np.float32],
        weights: NDArray[np.float32],
    ) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.step, self.settings)
        self.network.train()
        x = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
        low = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=low):
            out = self.network(x)
        loss = loss_of(
            out.float(),
            torch.from_numpy(targets).to(self.device),
            torch.from_numpy(weights).to(self.device),
            self.settings.flow_weight,
        )
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ModelError(
                f"the loss of step {self.step} is {value}: take a smaller learning_rate, or "
                "precision float32"
            )
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip_norm)
        self.optimiser.step()
        # In the first steps the mean follows quickly, so that it forgets the random start.
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            now = self.network.state_dict()
            for name, value_of in self.mean.state_dict().items():
                if value_of.is_floating_point():
                    value_of.lerp_(now[name], 1 - decay)
                else:
                    value_of.copy_(now[name])
        return value

    def save(self, about: dict[str, Any]) -> None:
        save_atomic(
            {
                "format": CHECKPOINT_FORMAT,
                "marks": self.marks,
                "architecture": self.architecture.model_dump(mode="json"),
                "network": self.settings.network.model_dump(mode="json"),
                "start": self.origin,
                "step": self.step,
                "losses": self.losses,
                "state": self.network.state_dict(),
                "mean": self.mean.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            },
            self.out / CHECKPOINT,
        )
        facts = {
            **with_origin(about, self.origin),
            "diameter_px": self.settings.network.diameter_px,
            "step": self.step,
            "steps": self.settings.steps,
            "seed": self.settings.seed,
            "settings": self.marks["settings"],
            "data_sha256": self.marks["data"],
        }
        save_weights(self.mean, self.out / WEIGHTS, facts)

    def mean_loss(self) -> float:
        return float(np.mean(self.losses)) if self.losses else math.nan

    def _log(self, seconds: float) -> None:
        rate = rate_at(self.step - 1, self.settings)
        recent = float(np.mean(self.losses[-_LOG_EVERY:]))
        with (self.out / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{self.step},{recent:.5f},{rate:.3e},{seconds:.4f}\n")

    def _cut_log(self) -> None:
        """Drop the lines after the checkpoint; those steps come again."""
        path = self.out / LOG
        lines = path.read_text(encoding="utf-8").splitlines()[1:] if path.is_file() else []
        kept = [line for line in lines if 0 < int(line.split(",")[0]) <= self.step]
        text = "\n".join(["step,loss,learning_rate,seconds_per_step", *kept]) + "\n"
        path.write_text(text, encoding="utf-8")
