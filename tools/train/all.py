"""Trains variants side by side, equally: python3 -m train.all --minutes=12 --out=runs

Starts a process for each variant, spread over the visible GPUs, and waits for all. The number of steps is the same
for each: --steps, or what fits into --minutes, which a few steps of all at once find out first (they also fill the
compilers' caches). Prints a table of the results in the end.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from .config import VARIANTS

# The second line of progress tells the speed: at later ones, some neighbours may have ended.
SANITY_STEPS, SANITY_LINES = 160, 32
RESERVE = 0.95  # of the remaining time; clocks and neighbours vary
START_SECONDS = 30  # of a process whose programs are in the compilers' caches
IMPORT_SECONDS = 12  # of these before its own clock starts


def visible_gpus() -> list[str]:
    """Names for CUDA_VISIBLE_DEVICES; none without GPUs."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [gpu for gpu in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu]
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return []
    return [str(i) for i in range(len(listed.splitlines()))]


# About how long a step takes, relative to each other: for spreading them over GPUs.
COSTS = {"gdn": 1.0, "swa": 0.9, "lte": 1.4, "attn": 1.1, "nsa": 2.2}


def assign(variants: list[str], gpus: list[str]) -> dict[str, str | None]:
    """Which GPU each variant gets: the costliest first, each to the GPU with least to do."""
    load = {gpu: 0.0 for gpu in gpus}
    placed: dict[str, str | None] = {}
    for variant in sorted(variants, key=lambda v: -COSTS[v]):
        placed[variant] = min(load, key=load.get) if load else None
        if load:
            load[placed[variant]] += COSTS[variant]
    return placed


def wait_for(processes: dict[str, subprocess.Popen], all_or_none: bool) -> list[str]:
    """The variants whose processes fail. all_or_none: once one has failed, the others are killed, and fail too."""
    running, failed = dict(processes), []
    while running:
        for variant, process in list(running.items()):
            try:
                code = process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            del running[variant]
            failed += [variant] if code else []
            for other in running.values() if code and all_or_none else ():
                other.kill()
    return failed


def run_all(variants: list[str], out: Path, flags: list[str], all_or_none: bool = False) -> bool:
    """Runs `python3 -m train` for each and passes on what they print; true if all succeed."""
    processes = {}
    for variant, gpu in assign(variants, visible_gpus()).items():
        environment = dict(os.environ) if gpu is None else os.environ | {"CUDA_VISIBLE_DEVICES": gpu}
        environment.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(max(2, (os.cpu_count() or 1) // len(variants))))
        command = [sys.executable, "-m", "train", f"--variant={variant}", f"--out={out / variant}", *flags]
        processes[variant] = subprocess.Popen(command, env=environment)
    # They save their states and end.
    signal.signal(signal.SIGTERM, lambda number, frame: [process.terminate() for process in processes.values()])
    failed = wait_for(processes, all_or_none)
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
    return not failed


def events(folder: Path, what: str) -> list[dict]:
    """The log's, of the last run in it."""
    path = folder / "log.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    starts = [i for i, line in enumerate(lines) if line["event"] == "start"]
    return [line for line in lines[starts[-1] if starts else 0:] if line["event"] == what]


def steps_per_second(folder: Path) -> float:
    """Of a sanity run, side by side with others."""
    return events(folder, "progress")[1]["steps_per_second"]


def steps_that_fit(speeds: dict[str, float], placed: dict[str, str | None], seconds: float) -> int:
    """How many steps each variant can train, given steps per second side by side.

    The n processes of a GPU have equal shares of it, so together they do a step each in the mean of their times a step.
    """
    slowest = min(len(times) / sum(times) for times in
                  ([1 / speeds[v] for v in placed if placed[v] == gpu] for gpu in set(placed.values())))
    return max(1, int(slowest * max(0.0, seconds - START_SECONDS) * RESERVE))


def sanity(variants: list[str], out: Path, flags: list[str]) -> dict[str, float]:
    """A few steps of all at once and a short evaluation; returns steps per second, prints them."""
    meeting = out / "sanity" / "meeting"
    shutil.rmtree(meeting, ignore_errors=True)
    quick = [f"--steps={SANITY_STEPS}", f"--log_every={SANITY_LINES}", f"--meet={meeting}:{len(variants)}",
             "--quick_evaluation", "--texts=4"]
    if not run_all(variants, out / "sanity", flags + quick, all_or_none=True):  # they wait for each other
        sys.exit("the sanity run failed")
    speeds = {variant: steps_per_second(out / "sanity" / variant) for variant in variants}
    print("sanity: steps per second, side by side: " + ", ".join(f"{v} {s:.1f}" for v, s in speeds.items()), flush=True)
    return speeds


def table(variants: list[str], out: Path) -> str:
    """Exact answers in percent: a line for each cell of the evaluation."""
    results = {v: json.loads((out / v / "evaluation.json").read_text()) for v in variants
               if (out / v / "evaluation.json").exists()}
    if not results:
        return "no evaluation was finished"
    lines = [f"{'task':12s} {'tokens':>6s} {'facts':>5s} {'n':>4s} " + " ".join(f"{v:>6s}" for v in results)]
    for rows in zip(*results.values()):
        cell = rows[0]
        shares = " ".join(f"{100 * row['exact']:6.1f}" for row in rows)
        lines.append(f"{cell['task']:12s} {cell['tokens']:6d} {cell['facts']:5d} {cell['prompts']:4d} {shares}")
    return "\n".join(lines)


def _parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python3 -m train.all", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Other flags go to python3 -m train.")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="(%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder; a folder for each variant is made in it")
    parser.add_argument("--minutes", type=float, help="for all of it but the final evaluation (about half a minute)")
    parser.add_argument("--steps", type=int, help="of each variant; absent: as many as fit into --minutes")
    parser.add_argument("--sanity", action="store_true",
                        help="only check that all variants train, how fast, and how many steps would fit")
    flags, others = parser.parse_known_args(argv)
    unknown = [v for v in flags.variants.split(",") if v not in VARIANTS]
    if unknown:
        parser.error(f"--variants: {', '.join(unknown)}: must be of {', '.join(VARIANTS)}")
    if not flags.sanity and flags.steps is None and flags.minutes is None:
        parser.error("training needs an end: --steps, --minutes or both")
    return flags, others


def main(argv: list[str]) -> int:
    started = time.monotonic()
    flags, others = _parse(argv)
    variants = flags.variants.split(",")
    steps, limit = flags.steps, []
    if flags.sanity or steps is None:
        speeds = sanity(variants, flags.out, [f for f in others if f != "--resume"])
    if flags.minutes is not None:
        seconds = 60 * flags.minutes - (0 if flags.sanity else time.monotonic() - started)
        limit = [f"--minutes={(seconds - IMPORT_SECONDS) / 60:.3f}"]
        steps = steps or steps_that_fit(speeds, assign(variants, visible_gpus()), seconds)
        if flags.steps is None:
            print(f"{steps} steps of each fit into {seconds / 60:.1f} minutes", flush=True)
    if flags.sanity:
        return 0
    print(f"training {', '.join(variants)}: {steps} steps each", flush=True)
    succeeded = run_all(variants, flags.out, [f"--steps={steps}", *limit, *others])
    print(table(variants, flags.out), flush=True)
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
