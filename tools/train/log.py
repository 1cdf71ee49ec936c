"""What a run says: readable lines on standard output, the same as JSON lines in a file."""
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .batches import Stage
    from .objective import Stats
    from .pressure import Pressure

STATE_SECONDS = 120  # between saved states


class Log:
    """`name` begins every line: several runs may share a terminal. `every`: steps between lines of progress."""

    def __init__(self, name: str, path: Path, every: int, tokens_per_step: int, now=time.monotonic):
        self.name, self.every, self.tokens_per_step, self.now = name, every, tokens_per_step, now
        self.started = self.saved = now()
        self.last: tuple[int, float] | None = None  # step and time of the last line of progress
        self._file = path.open("a", buffering=1)

    def event(self, what: str, text: str, **fields) -> None:
        """One line, and an object {"event": what, "seconds": since the start, ...}."""
        seconds = self.now() - self.started
        print(f"{self.name:5s} {seconds:7.1f} s  {text}", flush=True)
        self._file.write(json.dumps({"event": what, "seconds": round(seconds, 2), **fields}) + "\n")

    def first_step(self, step: int) -> None:
        """Speed counts from here, when programs are compiled."""
        self.last = (step, self.now())

    def is_due(self, step: int) -> bool:
        return step - self.last[0] >= self.every

    def state_is_due(self) -> bool:
        if self.now() - self.saved < STATE_SECONDS:
            return False
        self.saved = self.now()
        return True

    def progress(self, step: int, progress: float, stage: "Stage", rate: float, means: "Stats",
                 pressure: "Pressure") -> None:
        steps_per_second = (step - self.last[0]) / max(1e-9, self.now() - self.last[1])
        self.last = (step, self.now())
        text = (f"{100 * progress:5.1f}%  step {step}  {stage.name.lower():6s}  {steps_per_second:5.1f} steps/s  "
                f"lr {rate:.1e}  loss {means.loss:.3f}  answers {means.answer_loss:.4f}  "
                f"right {means.answer_right:.4f}")
        if means.kept:
            text += "  kept " + " ".join("/".join(f"{count:.0f}" for count in layer) for layer in means.kept)
        self.event("progress", text, step=step, progress=round(progress, 4), stage=stage.name.lower(),
                   steps_per_second=steps_per_second, tokens_per_second=steps_per_second * self.tokens_per_step,
                   learning_rate=rate, loss=means.loss, answer_loss=means.answer_loss,
                   answer_right=means.answer_right, kept=means.kept, pressure=pressure.of_heads, lift=pressure.lift)
