"""Native sparse attention (NSA, arXiv 2502.11089): three branches, weighed by a gate for each query and head.

    compressed   the means of keys and of values (after the rotary embedding) of the document's complete blocks
    selected     whole blocks: the document's first, the previous and the current one, then those with most mass in the
                 compressed branch, block_counts in all
    sliding      the last `window` tokens, the current one included

Which blocks are selected has no gradient; the compressed branch learns through its own output. Training pays for full
attention: the selection is a mask.
"""
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from .attention import KERNEL_OPTIONS, AttentionLayer, Blocks, attend, rope
from .config import ModelConfig
from .layers import Projection, linear, sum_type
from .rows import CHUNK, Rows

OBLIGATORY = 3  # selected blocks: the first, the previous and the current one


def compressed(q: Tensor, k: Tensor, v: Tensor, rows: Rows, size: int) -> tuple[Tensor, Tensor]:
    """q, k, v [B, h, T, d]: the branch's output [B, h, T, d] and the mass of each block, [B, h, T, T / size].

    Where no block of the document is complete, both are 0.
    """
    means_k, means_v = (t.unflatten(2, (-1, size)).mean(3) for t in (k, v))
    score = (q @ means_k.mT).to(sum_type(q)) * q.shape[-1]**-0.5
    block = rows.index[::size]  # where each begins
    start = (rows.index - rows.position)[:, :, None]
    complete = ((block >= start) & (block + (size - 1) <= rows.index[:, None]))[:, None]
    score = score.masked_fill(~complete, -1e9)
    mass = score.softmax(-1) * complete
    return mass.to(v.dtype) @ means_v, mass


def select(mass: Tensor, rows: Rows, size: int, count: int) -> Tensor:
    """Which blocks each query reads in full: bool like mass [B, h, T, blocks]; `count`, or all if there are fewer.

    The best ones one after the other: compiled, that is one kernel that reads the mass once.
    """
    block = torch.arange(mass.shape[-1], device=mass.device)
    own = (rows.index // size)[:, None]
    first = (rows.index - rows.position)[:, :, None] // size
    there = ((block >= first) & (block <= own))[:, None]
    always = ((block == first) | (block == own) | (block == own - 1))[:, None] & there
    selected = always.expand_as(mass)
    worth = torch.where(there & ~always, mass.detach(), -1.0)
    for _ in range(count - OBLIGATORY):
        best = (block == worth.argmax(-1, keepdim=True)) & there
        selected, worth = selected | best, torch.where(best, -1.0, worth)
    return selected


def attend_selected(q: Tensor, k: Tensor, v: Tensor, selected: Tensor, size: int, blocks: BlockMask | None) -> Tensor:
    """Softmax attention over the tokens before each query that lie in its selected blocks."""
    if blocks is None:
        i = torch.arange(q.shape[2], device=q.device)[:, None]
        mask = selected.repeat_interleave(size, -1) & (i.mT <= i)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def only_selected(score, b, h, i, j):
        return torch.where(selected[b, h, i, j // size], score, -float("inf"))

    return flex_attention(q, k, v, score_mod=only_selected, block_mask=blocks, kernel_options=KERNEL_OPTIONS)


class SparseAttention(AttentionLayer):

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self.window, self.size, self.count = config.window_size + 1, config.block_size, config.block_counts
        assert CHUNK % self.size == 0, "documents must begin with a block"
        assert self.count >= OBLIGATORY
        self.g_proj = Projection(config.hidden_size, 3 * self.heads)

    def forward(self, x: Tensor, rows: Rows, blocks: Blocks | None) -> tuple[Tensor, None]:
        q, k, v = self.project(x)
        q, k = rope(q, rows), rope(k, rows)
        gates = linear(x, self.g_proj).sigmoid().unflatten(-1, (self.heads, 3)).transpose(1, 2)  # [B, h, T, 3]
        from_means, mass = compressed(q, k, v, rows, self.size)
        selected = select(mass, rows, self.size, self.count)
        reach = torch.minimum(rows.index + (self.window - 1), rows.end - 1).int()
        reach = reach[:, None].expand(-1, self.heads, -1).contiguous()
        out = (gates[..., 0:1] * from_means
               + gates[..., 1:2] * attend_selected(q, k, v, selected, self.size, blocks and blocks.past)
               + gates[..., 2:3] * attend(q, k, v, reach, blocks and blocks.window))
        return self.out(out), None
