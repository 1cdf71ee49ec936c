"""Trains one variant: steps, the controller of retention, the log, and states to resume from."""
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from . import checkpoint
from .batches import Batch, Batches, BatchKey, Stage, load_batches
from .config import ModelConfig, TrainingConfig, as_dict
from .log import Log
from .model import Model
from .objective import Stats, cross_entropy, kind_weights, objective
from .pressure import CAPACITY_FROM, Pressure
from .rows import UNLIMITED, Rows, lay_out
from .schedule import Progress, draw_jumps, learning_rate, stage_at
from .sentences import STARTS_DOCUMENT

MODES = ("flex", "dense", "eager")
ADAPT_EVERY = 16  # steps; also how often the device is waited for
SMOOTHING = 0.04  # weight of a new batch in running means
JUMPS_BELOW = 0.12  # loss of answers from which rotary positions may jump, if documents are not longer by then


class Trainer:
    """How it runs, `mode`: "flex", the fast way, needs a GPU: layers are compiled and attention skips blocks; "dense":
    compiled, attention with whole masks; "eager": as it is written, for a CPU."""

    def __init__(self, model_config: ModelConfig, config: TrainingConfig, device: torch.device, batches: Batches,
                 folder: Path, log: Log, workers: int, mode: str):
        torch.manual_seed(config.seed)
        self.config, self.device, self.batches, self.folder, self.log = config, device, batches, folder, log
        self.workers, self.mode = workers, mode
        self.model = Model(model_config).to(device)
        self.optimizer = _optimizer(self.model, config)
        self.generator = torch.Generator(device=device).manual_seed(config.seed)
        self.weights = kind_weights(device, torch.get_default_dtype())
        layers = model_config.num_attention_layers if model_config.variant == "lte" else 0
        self.pressure = Pressure(layers, model_config.attention_heads)
        self._send_pressure()
        self.step, self.jumps, self.stopped = 0, False, False
        self.running: Tensor | None = None  # means of Stats, flat
        self.progress = Progress(config, started=log.started)
        self._objective = self._loss
        if mode != "eager":
            self.model.compile_blocks()
            self._objective = torch.compile(self._loss, dynamic=False)

    # --- The loop ---

    def run(self, when_ready: Callable[[], None] = lambda: None) -> None:
        """Trains until the end, or until SIGTERM or Ctrl-C: then a state is saved too. when_ready is called when the
        first step is done and programs are compiled."""
        for number in signal.SIGTERM, signal.SIGINT:
            signal.signal(number, self._stop)
        first = self.step
        for batch in load_batches(self.batches, self._keys(), self.workers, pin=self.device.type == "cuda"):
            if self.stopped or self.progress.at(self.step) >= 1:
                break
            self._train_step(batch)
            self.step += 1
            if self.step == first + 1:
                self._wait()
                when_ready()
                self.log.first_step(self.step)
                self.progress.begin()
            if self.step % ADAPT_EVERY == 0:
                self._adapt()
            if self.log.state_is_due():
                self.save()
        self._wait()
        self.save()

    def _stop(self, number, frame) -> None:
        self.stopped = True

    def _keys(self) -> Iterator[BatchKey]:
        """Drawn ahead of training by the loader."""
        step = self.step
        while (progress := self.progress.at(step)) < 1:
            yield BatchKey(step, stage_at(progress))
            step += 1

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _train_step(self, batch: Batch) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step, self.progress.at(self.step))
        tokens = batch.tokens.to(self.device, non_blocking=True).long()
        kinds = batch.kinds.to(self.device, non_blocking=True)
        rows = self._rows(kinds)
        blocks = self.model.blocks(rows) if self.mode == "flex" else None
        output = self.model(tokens, rows, blocks)
        loss, stats = self._objective(output.hidden, output.scores, tokens, kinds, *self.on_device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._add(stats)

    def _rows(self, kinds: Tensor) -> Rows:
        model, progress = self.model.config, self.progress.at(self.step)
        drawn = draw_jumps(self.generator, *kinds.shape, self.device, self.jumps)
        return lay_out(kinds >= STARTS_DOCUMENT, head_dim=model.attention_dim, rope_theta=model.rope_theta,
                       dtype=self.weights.dtype, capacity=model.buffer_size if progress >= CAPACITY_FROM else UNLIMITED,
                       **drawn)

    def _loss(self, hidden: Tensor, scores: list[Tensor], tokens: Tensor, kinds: Tensor, pressure: Tensor,
              lift: Tensor) -> tuple[Tensor, Stats]:
        losses = cross_entropy(self.model.logits(hidden), tokens)
        return objective(losses, kinds, scores, pressure, lift, self.weights)

    # --- Running means, and what is adapted to them ---

    def _add(self, stats: Stats) -> None:
        new = torch.cat([torch.stack(stats[:3]), stats.kept.flatten()])
        self.running = new if self.running is None else self.running.lerp(new, SMOOTHING)

    def means(self) -> Stats:
        """As Python numbers; waits for the device."""
        loss, answer_loss, right, *kept = self.running.tolist()
        heads = self.pressure.heads
        return Stats(loss, answer_loss, right, [kept[i:i + heads] for i in range(0, len(kept), heads)])

    def _adapt(self) -> None:
        means, progress = self.means(), self.progress.at(self.step)
        stage = stage_at(progress)
        self.jumps = self.jumps or stage != Stage.SHORT or means.answer_loss < JUMPS_BELOW
        if self.pressure.layers:
            self.pressure.update(self.config, means.kept, means.answer_loss, progress, stage)
            self._send_pressure()
        if self.log.is_due(self.step):
            rate = learning_rate(self.config, self.step, progress)
            self.log.progress(self.step, progress, stage, rate, means, self.pressure)

    def _send_pressure(self) -> None:
        """Pressure and lift [layers, heads] to the device."""
        shape = self.pressure.layers, self.pressure.heads
        self.on_device = [torch.tensor(values, dtype=self.weights.dtype).view(shape).to(self.device)
                          for values in (self.pressure.of_heads, self.pressure.lift)]

    # --- States ---

    @property
    def state_path(self) -> Path:
        return self.folder / "state.pt"

    def save(self) -> None:
        checkpoint.save_state(self.state_path, {
            "model_config": as_dict(self.model.config), "config": as_dict(self.config),
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(), "pressure": self.pressure.state(), "running": self.running,
            "step": self.step, "jumps": self.jumps, "progress": self.progress.at(self.step)})

    def resume(self) -> None:
        """From the state in `folder`, which must be of the same model and seed."""
        state = checkpoint.load_state(self.state_path, self.device)
        for name, old, new in (("model", state["model_config"], as_dict(self.model.config)),
                               ("seed", state["config"]["seed"], self.config.seed)):
            if old != new:
                raise ValueError(f"{self.state_path} has another {name}: {old}, not {new}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        self.pressure = Pressure(**state["pressure"])
        self._send_pressure()
        self.running, self.step, self.jumps = state["running"], state["step"], state["jumps"]
        self.progress = Progress(self.config, resumed_at=state["progress"], started=self.log.started)


def _optimizer(model: Model, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only."""
    parameters = list(model.parameters())
    matrices, others = [p for p in parameters if p.dim() >= 2], [p for p in parameters if p.dim() < 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": config.weight_decay},
                              {"params": others, "weight_decay": 0.0}],
                             lr=config.peak_learning_rate, betas=(0.9, 0.95), fused=parameters[0].is_cuda)
