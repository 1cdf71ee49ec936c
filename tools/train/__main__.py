"""Trains one variant of the demo family: python3 -m train --variant=lte --minutes=8 --out=runs/lte"""
import argparse
import os
import sys
from pathlib import Path

import torch

from .batches import Batches
from .checkpoint import export
from .config import VARIANTS, TrainingConfig, as_dict, demo_config
from .evaluate import CELLS, QUICK_CELLS, evaluate
from .log import Log
from .meeting import meet
from .sentences import Sentences
from .trainer import MODES, Trainer

EVALUATION_SEED = 1
TOKENIZER = Path(__file__).absolute().parents[2] / "deploy" / "demo-model" / "tokenizer.json"


def add_training_flags(parser: argparse.ArgumentParser) -> None:
    """Those that train.all passes on."""
    defaults = TrainingConfig(steps=1)
    parser.add_argument("--steps", type=int, help="optimizer steps; equal steps train variants equally")
    parser.add_argument("--minutes", type=float, help="limit from the program's start, evaluation not included; the "
                        "learning rate falls in time for it. With --steps: whichever comes first")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--rows", type=int, default=defaults.rows, help="of a batch (%(default)s)")
    parser.add_argument("--row_tokens", type=int, default=defaults.row_tokens,
                        help="multiple of 128, at least 256 (%(default)s)")
    parser.add_argument("--learning_rate", type=float, default=defaults.peak_learning_rate, help="(%(default)s)")
    parser.add_argument("--kept_target", type=float, default=defaults.kept_target,
                        help="tokens that a head of lte keeps of 2,048 (%(default)s)")
    parser.add_argument("--texts", type=int, default=40, help="of each line of the final evaluation (%(default)s)")
    parser.add_argument("--quick_evaluation", action="store_true", help="two short lines only")
    parser.add_argument("--workers", type=int, default=3, help="processes that make data (%(default)s)")
    parser.add_argument("--log_every", type=int, default=200, help="steps (%(default)s)")
    parser.add_argument("--mode", choices=MODES, help="how it runs, fastest first (flex with a GPU, else eager)")
    parser.add_argument("--meet", metavar="FOLDER:COUNT", help="after the first step, wait until COUNT runs are there")
    parser.add_argument("--tokenizer", default=str(TOKENIZER), help="tokenizer.json (the demo model's)")
    parser.add_argument("--resume", action="store_true", help="go on from the state in --out, if there is one")


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m train", description=__doc__)
    parser.add_argument("--variant", required=True, choices=VARIANTS)
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint, logs and the state")
    add_training_flags(parser)
    flags = parser.parse_args(argv)
    if flags.steps is None and flags.minutes is None:
        parser.error("training needs an end: --steps, --minutes or both")
    return flags


def _training_config(flags: argparse.Namespace) -> TrainingConfig:
    return TrainingConfig(seed=flags.seed, rows=flags.rows, row_tokens=flags.row_tokens, steps=flags.steps,
                          minutes=flags.minutes, peak_learning_rate=flags.learning_rate,
                          kept_target=flags.kept_target)


def _make_trainer(flags: argparse.Namespace, log: Log) -> Trainer:
    config = _training_config(flags)
    on_gpu = torch.cuda.is_available()
    batches = Batches(flags.tokenizer, config.seed, config.rows, config.row_tokens)
    trainer = Trainer(demo_config(flags.variant), config, torch.device("cuda" if on_gpu else "cpu"), batches, flags.out,
                      log, flags.workers, flags.mode or ("flex" if on_gpu else "eager"))
    if flags.resume and trainer.state_path.exists():
        trainer.resume()
    parameters = sum(p.numel() for p in trainer.model.parameters())
    log.event("start", f"{parameters:,} parameters, from step {trainer.step}, torch {torch.__version__}, "
              f"{torch.cuda.get_device_name() if on_gpu else 'CPU'}", parameters=parameters, step=trainer.step,
              model=as_dict(trainer.model.config), training=as_dict(config), mode=trainer.mode)
    return trainer


def _meet(flags: argparse.Namespace) -> None:
    if flags.meet:
        folder, count = flags.meet.rsplit(":", 1)
        meet(Path(folder), flags.variant, int(count))


def _evaluate(flags: argparse.Namespace, trainer: Trainer) -> None:
    cells = QUICK_CELLS if flags.quick_evaluation else CELLS
    evaluate(trainer.model, Sentences(flags.tokenizer), trainer.log, flags.out / "evaluation.json", cells, flags.texts,
             EVALUATION_SEED)


def main(argv: list[str]) -> int:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # workers are forked
    torch.set_float32_matmul_precision("high")
    flags = _parse(argv)
    flags.out.mkdir(parents=True, exist_ok=True)
    log = Log(flags.variant, flags.out / "log.jsonl", flags.log_every, flags.rows * flags.row_tokens)
    trainer = _make_trainer(flags, log)
    trainer.run(when_ready=lambda: _meet(flags))
    export(trainer.model, flags.tokenizer, flags.out)
    tokens = trainer.step * log.tokens_per_step
    log.event("trained", f"{trainer.step} steps, {tokens / 1e6:.0f} million tokens; checkpoint in {flags.out}",
              step=trainer.step, tokens=tokens, stopped=trainer.stopped)
    if not trainer.stopped:
        _evaluate(flags, trainer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
