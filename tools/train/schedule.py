"""When training ends, and what follows from how far it is: learning rate, stage of the data, exploration.

Progress goes from 0 to 1 by steps or by wall-clock time. With both limits given it goes by steps, and the time limit is
a guard: training that turns out too slow for its steps is hurried through the rest of the schedule in the last part of
its time. By steps alone data and schedule follow from the seed.
"""
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from .batches import Stage
from .config import TrainingConfig

MEDIUM_FROM, LONG_FROM = 0.25, 0.65  # progress
HURRY = 0.15  # part of the time in which too slow a run is hurried
MAX_JUMP = 6144  # of rotary positions, tokens
JUMPS, EXPLORES = 0.6, 0.15  # shares of rows
EXPLORE_ABOVE = -0.1  # the score


def stage_at(progress: float) -> Stage:
    if progress < MEDIUM_FROM:
        return Stage.SHORT
    return Stage.MEDIUM if progress < LONG_FROM else Stage.LONG


def learning_rate(config: TrainingConfig, step: int, progress: float) -> float:
    """Linear warm-up, then half a cosine."""
    warmup = min(1.0, (step + 1) / config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.peak_learning_rate * warmup * (config.final_learning_rate + (1 - config.final_learning_rate) * cosine)


class Progress:
    """Time counts from begin(), so that a slow start shortens training but keeps its schedule."""

    def __init__(self, config: TrainingConfig, resumed_at: float = 0.0,
                 started: float | None = None, now: Callable[[], float] = time.monotonic):
        """resumed_at: the progress at which an earlier run stopped. started: when the program was, by now()."""
        self.steps, self.resumed_at, self.now = config.steps, resumed_at, now
        self.deadline = None
        if config.minutes is not None:
            self.deadline = (now() if started is None else started) + 60 * config.minutes
        self.began = now()

    def begin(self) -> None:
        """Call when the first step is done: programs are compiled."""
        self.began = self.now()

    def at(self, step: int) -> float:
        by_steps = step / self.steps if self.steps else 0.0
        return max(by_steps, self._by_time())

    def _by_time(self) -> float:
        if self.deadline is None:
            return 0.0
        share = (self.now() - self.began) / max(1e-9, self.deadline - self.began)
        if self.steps:
            return 1 - (1 - share) / HURRY
        return self.resumed_at + (1 - self.resumed_at) * share


def draw_jumps(generator: torch.Generator, rows: int, row_tokens: int, device: torch.device,
               on: bool) -> dict[str, Tensor]:
    """Arguments of lay_out(): where and how far rotary positions jump, and the score above which tokens are kept."""
    u = torch.rand(4, rows, generator=generator, device=device)
    return {
        "jump_at": (u[0] * row_tokens).floor(),
        "jump": (u[1] * MAX_JUMP).floor() * (u[2] < (JUMPS if on else 0.0)),
        "keep_above": torch.where(u[3] < EXPLORES, EXPLORE_ABOVE, 0.0),
    }
