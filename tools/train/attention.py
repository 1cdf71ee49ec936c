"""Softmax attention over rows of documents: full or with a sliding window, and what the other kinds share.

Which keys a query sees is said by `reach`: the last query (index in the row) that sees key j of a head. With it, full
attention, windows and retention are one mask, `j <= i <= reach[j]`.

On a GPU attention is PyTorch's flex attention, which must be compiled; `blocks` tells it which blocks of BLOCK x BLOCK
queries and keys need no look, because they lie in different documents or outside the window. Without `blocks` the mask
is built whole: for tests, and for prompts in evaluation.
"""
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from .config import ModelConfig
from .layers import Projection, linear
from .rows import Rows

BLOCK = 128
# The fastest of four for the forward pass on an H100, head dimension 64; the backward pass's are PyTorch's own choice.
KERNEL_OPTIONS = {"fwd_BLOCK_M": 64, "fwd_BLOCK_N": 64, "fwd_num_warps": 4, "fwd_num_stages": 2}


class Blocks(NamedTuple):
    """Which blocks a layer's attention must look at. None: of a kind that the layer does not have."""
    past: BlockMask | None  # of all tokens before a query
    window: BlockMask | None  # of those in its window


def _causal(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
    return query >= key


def block_mask(rows: Rows, window: int | None) -> BlockMask:
    """The blocks of keys that a block of queries may see: from its first document's start, or `window` tokens back,
    to its own (where causality is checked)."""
    batch, length = rows.position.shape
    first = (rows.index - rows.position)[:, ::BLOCK]  # token, [B, blocks]
    own = torch.arange(length // BLOCK, device=first.device, dtype=torch.int32)
    if window is not None:
        first = torch.maximum(first, own * BLOCK - window)
    first = (first // BLOCK)[:, None, :, None]  # block, [B, 1, blocks, 1]
    full = torch.minimum(first + own, (own[:, None] - 1).clamp(min=0)).int()  # [B, 1, blocks, blocks]
    return BlockMask.from_kv_blocks(
        torch.ones_like(first[..., 0]), own[:, None].expand_as(full).contiguous(),
        (own[:, None] - first)[..., 0].contiguous(), full, BLOCK_SIZE=BLOCK, mask_mod=_causal,
        seq_lengths=(length, length))


def rope(x: Tensor, rows: Rows) -> Tensor:
    """Rotary embedding of x [B, h, T, d]; dimension i turns with i + d / 2."""
    a, b = x.to(rows.cos.dtype).chunk(2, -1)
    return torch.cat([a * rows.cos - b * rows.sin, a * rows.sin + b * rows.cos], -1).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, reach: Tensor, blocks: BlockMask | None) -> Tensor:
    """q, k, v [B, h, T, d] after the rotary embedding, reach [B, h, T] int32: result [B, h, T, d]."""
    if blocks is None:
        i = torch.arange(q.shape[2], device=q.device)[:, None]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=(i.mT <= i) & (i <= reach[:, :, None, :]))

    def only_reached(score, b, h, i, j):
        return torch.where(i <= reach[b, h, j], score, -float("inf"))

    return flex_attention(q, k, v, score_mod=only_reached, block_mask=blocks, kernel_options=KERNEL_OPTIONS)


class AttentionLayer(nn.Module):
    """The projections of a layer with heads of equal number for queries, keys and values."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.heads, hidden = config.attention_heads, config.hidden_size
        self.q_proj, self.k_proj, self.v_proj = (Projection(hidden, hidden) for _ in range(3))
        self.o_proj = Projection(hidden, hidden, gain=0.5)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v [B, h, T, d] of x [B, T, hidden], before the rotary embedding."""
        batch, length, _ = x.shape
        projected = linear(x, self.q_proj, self.k_proj, self.v_proj).view(batch, length, 3, self.heads, -1)
        return projected.permute(2, 0, 3, 1, 4).unbind(0)

    def out(self, o: Tensor) -> Tensor:
        return linear(o.transpose(1, 2).flatten(2), self.o_proj)


class Attention(AttentionLayer):
    """Every token of the document before the query, or the last `window` ones, the query's own included."""

    def __init__(self, config: ModelConfig, window: int | None):
        super().__init__(config)
        self.window = window

    def forward(self, x: Tensor, rows: Rows, blocks: Blocks | None) -> tuple[Tensor, None]:
        q, k, v = self.project(x)
        reach = rows.end - 1
        if self.window is not None:
            reach = torch.minimum(rows.index + (self.window - 1), reach)
        reach = reach.int()[:, None].expand(-1, self.heads, -1).contiguous()
        looked_at = blocks and (blocks.past if self.window is None else blocks.window)
        return self.out(attend(rope(q, rows), rope(k, rows), v, reach, looked_at)), None
