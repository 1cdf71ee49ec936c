"""Several runs wait for each other, so that they are timed side by side and not while others still compile."""
import time
from collections.abc import Callable
from pathlib import Path

SECONDS = 300  # after which a run goes on alone: another one may have failed


def meet(folder: Path, name: str, count: int, now: Callable[[], float] = time.monotonic,
         sleep: Callable[[float], None] = time.sleep) -> bool:
    """Waits until `count` runs, with different names, have come to the folder; false if not all did in time."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()
    deadline = now() + SECONDS
    while len(list(folder.iterdir())) < count:
        if now() > deadline:
            return False
        sleep(0.05)
    return True
