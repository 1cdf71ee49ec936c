"""How hard each head is pressed to keep fewer tokens: adapted until it keeps the target's number.

The paper's recipe: an L1 penalty on scores whose weight, one for each head, rises while the head keeps more than its
target and falls while it keeps less. It begins when answers have become possible, is gentler while documents are short
(the target is three times as high), and is frozen for the last fifth, so that the weights settle.

Heads that keep nearly nothing are lifted until documents are long; after that they may close.
"""
import math
from dataclasses import asdict, dataclass, field

from .batches import Stage
from .config import TrainingConfig

FIRST, LOWEST = 2e-3, 5e-4
HIGHEST, HIGHEST_LATE = 0.3, 1.0  # before and after progress LATE
LATE, FROZEN_FROM = 0.6, 0.8
RATE = 0.1  # change of the logarithm, a tokens-kept ratio of e and an update
LIFT = 0.02
CAPACITY_FROM = 0.65  # progress from which training keeps no more tokens than the server's buffer holds


@dataclass
class Pressure:
    """State of the controller. `of_heads` and `lift` are [layers][heads]."""
    layers: int
    heads: int
    begun: bool = False
    of_heads: list[list[float]] = field(default_factory=list)
    mean_log: list[list[float]] | None = None  # running means of the logarithm, what is frozen
    lift: list[list[float]] = field(default_factory=list)
    frozen: bool = False
    best_answer_loss: float = math.inf

    def __post_init__(self):
        if not self.of_heads:
            self.of_heads = [[0.0] * self.heads for _ in range(self.layers)]
            self.lift = [[LIFT] * self.heads for _ in range(self.layers)]

    def update(self, config: TrainingConfig, kept: list[list[float]], answer_loss: float, progress: float,
               stage: Stage) -> None:
        """Every few steps, with running means: tokens kept of 2,048, [layers][heads]; loss of answers."""
        self.best_answer_loss = min(self.best_answer_loss, answer_loss)
        self._update_lift(config, kept, stage)
        if not self.begun:
            self.begun = (answer_loss < 0.3 and progress > 0.1) or progress > 0.45
            if self.begun:
                self.of_heads = [[FIRST] * self.heads for _ in range(self.layers)]
            return
        if not self.frozen:
            target = config.kept_target * (3.0 if stage == Stage.SHORT else 1.0)
            worse = answer_loss > self.best_answer_loss + 0.25  # answering comes first: let go
            highest = HIGHEST if progress < LATE else HIGHEST_LATE
            self._adapt(kept, target, worse, highest)
            if progress > FROZEN_FROM:
                self._freeze()

    def _update_lift(self, config: TrainingConfig, kept: list[list[float]], stage: Stage) -> None:
        lifts = stage != Stage.LONG
        self.lift = [[LIFT if lifts and count < config.kept_floor else 0.0 for count in layer] for layer in kept]

    def _adapt(self, kept: list[list[float]], target: float, worse: bool, highest: float) -> None:
        for layer, counts in enumerate(kept):
            for head, count in enumerate(counts):
                error = min(1.0, max(-1.0, math.log(max(count, 1.0) / target)))
                if worse:
                    error = min(error, -0.5)
                changed = self.of_heads[layer][head] * math.exp(RATE * error)
                self.of_heads[layer][head] = min(highest, max(LOWEST, changed))
        logs = [[math.log(value) for value in layer] for layer in self.of_heads]
        old = self.mean_log or logs
        self.mean_log = [[0.98 * o + 0.02 * n for o, n in zip(a, b)] for a, b in zip(old, logs)]

    def _freeze(self) -> None:
        self.frozen = True
        self.of_heads = [[math.exp(value) for value in layer] for layer in self.mean_log]

    def state(self) -> dict:
        return asdict(self)
