"""Rows: several documents in a row, and what each of their tokens must know of its document.

Documents begin at multiples of CHUNK tokens, so that chunks of the gated delta rule, blocks of sparse attention and (of
128 tokens) of the attention kernel do not straddle more of them than necessary.
"""
from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 64


class Rows(NamedTuple):
    """[B, T] for B rows of T tokens, unless said otherwise. T is a multiple of CHUNK."""
    position: Tensor  # int32; tokens of the same document before this one
    end: Tensor  # int32; where its document ends in the row: one after the last token
    cos: Tensor  # [B, 1, T, d / 2]; of the rotary embedding
    sin: Tensor  # the same
    keep_above: Tensor  # [B]; retention keeps tokens whose score is higher: 0, or lower to explore
    capacity: Tensor  # [], int64; tokens that retention keeps in a document and head, at most

    @property
    def index(self) -> Tensor:  # [T], int32
        return torch.arange(self.position.shape[1], device=self.position.device, dtype=torch.int32)


UNLIMITED = 1 << 30  # a capacity


def lay_out(starts: Tensor, *, head_dim: int, rope_theta: float, dtype: torch.dtype, jump_at: Tensor | None = None,
            jump: Tensor | None = None, keep_above: Tensor | None = None, capacity: int = UNLIMITED) -> Rows:
    """Rows whose documents begin where `starts` [B, T] (bool) is true; its first column must be.

    From token jump_at [B] on, rotary positions are `jump` [B] higher: a short row then has long distances in it.
    """
    batch, length = starts.shape
    if length % CHUNK:
        raise ValueError(f"rows of {length} tokens: must be a multiple of {CHUNK}")
    index = torch.arange(length, device=starts.device)
    started = torch.where(starts, index, 0).cummax(1).values
    next_start = torch.where(starts, index, length)[:, 1:].flip(1).cummin(1).values.flip(1)
    end = torch.nn.functional.pad(next_start, (0, 1), value=length)
    place = index.to(dtype).expand(batch, -1)
    if jump is not None:
        place = place + jump[:, None].to(dtype) * (index >= jump_at[:, None])
    half = head_dim // 2
    frequency = rope_theta ** (-torch.arange(half, device=starts.device, dtype=dtype) / half)
    angle = (place[:, :, None] * frequency)[:, None]
    if keep_above is None:
        keep_above = torch.zeros(batch, device=starts.device, dtype=dtype)
    return Rows((index - started).int(), end.int(), angle.cos(), angle.sin(), keep_above,
                torch.full((), capacity, device=starts.device))
