"""The loss of a batch: cross-entropy weighed by what a token is, and the pressure on retention."""
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .sentences import STARTS_DOCUMENT, Kind

# Filler is there to be ignored, stated codes cannot be foreseen, answers are what counts.
WEIGHTS = {Kind.NOTHING: 0.0, Kind.TEXT: 0.1, Kind.CODE: 0.0, Kind.QUESTION: 0.05, Kind.ANSWER: 2.0,
           Kind.ANSWER_SPACE: 1.0, Kind.UNKNOWN: 1.0}
MARGIN = 0.05  # pressure begins this far below the score at which a token is kept


class Stats(NamedTuple):
    """Of one batch, on the device."""
    loss: Tensor  # []
    answer_loss: Tensor  # []; mean over digits of answers
    answer_right: Tensor  # []; share of those digits with more than half of the probability
    kept: Tensor  # [layers, heads]; tokens kept, of 2,048; [0, 0] without retention


def kinds_of(batch_kinds: Tensor) -> Tensor:
    return (batch_kinds & (STARTS_DOCUMENT - 1)).long()


def cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    """Of each token but the first, given those before it: [B, T - 1]."""
    batch, length, vocab = logits.shape
    losses = F.cross_entropy(logits[:, :-1].reshape(-1, vocab), tokens[:, 1:].reshape(-1), reduction="none")
    return losses.view(batch, length - 1)


def pressure_loss(scores: Tensor, pressure: Tensor, lift: Tensor) -> Tensor:
    """scores [layers, B, heads, T]; pressure, lift [layers, heads], not negative.

    Pressure is an L1 penalty on what is kept or nearly so. Lift raises all scores of a head that keeps too little: a
    token that is dropped has no other gradient to come back by.
    """
    penalty = pressure[:, None, :, None] * F.relu(scores + MARGIN) - lift[:, None, :, None] * scores
    return penalty.mean()


def objective(losses: Tensor, kinds: Tensor, scores: list[Tensor], pressure: Tensor, lift: Tensor,
              weights: Tensor) -> tuple[Tensor, Stats]:
    """losses [B, T - 1] of cross_entropy(), kinds [B, T] as in a Batch; weights [kinds] are WEIGHTS' values."""
    is_first, kinds = kinds[:, 1:] >= STARTS_DOCUMENT, kinds_of(kinds[:, 1:])
    weight = weights[kinds] * ~is_first  # which cannot be foreseen from the document before
    loss = (losses * weight).sum() / weight.sum()
    kept = losses.new_zeros(0, 0)
    if scores:
        stacked = torch.stack(scores)
        loss = loss + pressure_loss(stacked, pressure, lift)
        kept = 2048 * (stacked.detach() > 0).to(losses.dtype).mean((1, 3))
    answers = kinds == Kind.ANSWER
    count = answers.sum().clamp(min=1)
    answer_loss = torch.where(answers, losses, 0).detach().sum() / count
    right = (answers & (losses.detach() < 0.6931)).sum() / count
    return loss, Stats(loss.detach(), answer_loss, right, kept)


def kind_weights(device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor([WEIGHTS[kind] for kind in Kind], device=device, dtype=dtype)
