"""Evaluation at the end of training: how many codes a model finds, by task, length and number of facts.

Greedy answers, found without decoding: an answer is exact if, given the prompt and the code so far, every next token of
the code is the likeliest. Retention keeps the buffer_size best tokens of each prompt and head.
"""
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .checkpoint import round_weights
from .log import Log
from .model import Model
from .prompts import Cell, Prompt, make_prompts
from .rows import CHUNK, lay_out
from .sentences import Kind, Sentences, Tokens

CELLS = ([Cell("single", tokens) for tokens in (512, 1024, 2048, 4096, 8192)]
         + [Cell("multi_key", 3072, facts) for facts in (8, 16, 32, 64)]
         + [Cell("multi_query", 2048, 16), Cell("multi_value", 2048, 4), Cell("distractors", 2048, 16)])
QUICK_CELLS = [Cell("single", 512), Cell("multi_key", 512, 8)]
TOKENS_AT_ONCE = 32768
EXACT = 2.0  # the score of an answer that is right; of others it is the share of right digits


class Result(NamedTuple):
    cell: Cell
    prompts: int
    exact: float  # share of prompts
    digits: float  # share of digits at their places
    kept_mean: float  # tokens that retention keeps a head; 0 without retention
    kept_most: float  # by any head and prompt


def wilson95(share: float, n: int) -> tuple[float, float]:
    """95% confidence interval of a share measured in n trials (Wilson 1927)."""
    z = 1.96
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


class _Try(NamedTuple):
    """A prompt with one of its right codes."""
    prompt: int
    ids: list[int]
    answer: list[int]  # the last tokens of ids


def _tries(sentences: Sentences, prompts: list[Prompt]) -> Iterator[_Try]:
    for number, prompt in enumerate(prompts):
        for code in prompt.codes:
            tokens = Tokens([], [])
            sentences.answer(tokens, code, "")
            answer = [i for i, kind in zip(*tokens) if kind in (Kind.ANSWER_SPACE, Kind.ANSWER)]
            yield _Try(number, prompt.ids + answer, answer)


def _run(model: Model, tries: list[_Try]) -> tuple[list[list[bool]], Tensor]:
    """For each, which tokens of the answer are the likeliest; and tokens kept, [tries, layers, heads]."""
    device = model.norm.weight.device
    longest = max(len(t.ids) for t in tries)
    width = -(-longest // CHUNK) * CHUNK
    ids = torch.zeros(len(tries), width, dtype=torch.long)
    starts = torch.zeros(len(tries), width, dtype=torch.bool)
    for row, t in enumerate(tries):
        ids[row, :len(t.ids)] = torch.tensor(t.ids)
        starts[row, 0] = True
        starts[row, -(-len(t.ids) // CHUNK) * CHUNK:][:1] = True  # what fills the row is no part of the prompt
    config = model.config
    rows = lay_out(starts.to(device), head_dim=config.attention_dim, rope_theta=config.rope_theta,
                   dtype=model.norm.weight.dtype, capacity=config.buffer_size)
    out = model(ids.to(device), rows)
    right = []
    for row, t in enumerate(tries):
        places = slice(len(t.ids) - len(t.answer) - 1, len(t.ids) - 1)
        right.append((model.logits(out.hidden[row, places]).argmax(-1).cpu() == torch.tensor(t.answer)).tolist())
    return right, _kept(out.scores, [len(t.ids) for t in tries])


def _kept(scores: list[Tensor], lengths: list[int]) -> Tensor:
    if not scores:
        return torch.zeros(len(lengths), 0, 0)
    positive = (torch.stack(scores, 1) > 0).cpu()  # [rows, layers, heads, T]
    inside = torch.arange(positive.shape[-1]) < torch.tensor(lengths)[:, None]
    return (positive & inside[:, None, None]).sum(-1).float()


@torch.no_grad()
def evaluate_cell(model: Model, sentences: Sentences, cell: Cell, texts: int, seed: int) -> Result:
    r = random.Random(f"evaluation/{seed}/{cell}")
    prompts = [prompt for _ in range(texts) for prompt in make_prompts(sentences, r, cell)]
    tries = list(_tries(sentences, prompts))
    best = [0.0] * len(prompts)
    kept = []
    at_once = max(1, TOKENS_AT_ONCE // (cell.tokens + CHUNK))
    for i in range(0, len(tries), at_once):
        some = tries[i:i + at_once]
        right, counts = _run(model, some)
        kept.append(counts)
        for t, places in zip(some, right):
            score = EXACT if all(places) else sum(places[1:]) / (len(places) - 1)
            best[t.prompt] = max(best[t.prompt], score)
    counts = torch.cat(kept)
    mean_and_most = (float(counts.mean()), float(counts.max())) if counts.numel() else (0.0, 0.0)
    return Result(cell, len(prompts), sum(b == EXACT for b in best) / len(best),
                  sum(min(b, 1.0) for b in best) / len(best), *mean_and_most)


def evaluate(trained: Model, sentences: Sentences, log: Log, path: Path, cells: list[Cell], texts: int,
             seed: int) -> list[Result]:
    """Of the weights as export() rounds them. Logs a line a cell and writes them to `path`, JSON."""
    model = Model(trained.config).to(trained.norm.weight.device)
    model.load_state_dict(trained.state_dict())
    round_weights(model)
    results = []
    for cell in cells:
        result = evaluate_cell(model, sentences, cell, texts, seed)
        results.append(result)
        low, high = wilson95(result.exact, result.prompts)
        text = (f"{cell.task:11s} {cell.tokens:5d} tokens {cell.facts:3d} facts  exact {100 * result.exact:5.1f}% "
                f"({100 * low:.0f} to {100 * high:.0f})  digits {100 * result.digits:5.1f}%")
        if result.kept_most:
            text += f"  kept {result.kept_mean:.0f}, at most {result.kept_most:.0f}"
        log.event("evaluation", text, **as_json(result))
    path.write_text(json.dumps([as_json(result) for result in results], indent=1) + "\n")
    return results


def as_json(result: Result) -> dict:
    return result.cell._asdict() | {k: v for k, v in result._asdict().items() if k != "cell"}
