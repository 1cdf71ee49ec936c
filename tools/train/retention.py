"""Sliding window + learnable token eviction (LTE, arXiv 2510.20787), and the pressure that makes it keep little.

A router scores each token and head from the keys and values of the tokens around it. A query sees the window_size
tokens before it and, of those further back, the ones whose score is positive: at most `capacity` a document and head,
the best ones, and the document's first sink_size always. (A server decides at the moment a token leaves the window; a
token that is among the document's best at its end was never evicted, so training sees what a question at the end sees.)

Whether a token is kept has no gradient. The published recipe gives the score one straight through: the value that
attention reads is v + (s - stop(s)) stop(v), so the score moves as if it scaled the value.
"""
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import AttentionLayer, Blocks, attend, rope
from .config import ROUTER_CONVS, ROUTER_DILATION, ROUTER_TAPS, ModelConfig
from .layers import product_type, sum_type
from .rows import Rows


class HeadConv(nn.Module):
    """A convolution over tokens for each head: weight [heads * out, in, 1, taps], bias [heads * out]."""

    def __init__(self, heads: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(heads * outputs, inputs, 1, ROUTER_TAPS) *
                                   (2 / (inputs * ROUTER_TAPS))**0.5)
        self.bias = nn.Parameter(torch.zeros(heads * outputs))

    def forward(self, x: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """x [h, B, T, in] to [h, B, T, out], then SiLU. before, after [B, T, 1]: 1 where the outer taps are inside the
        document. The product takes all taps at once; then their results are shifted into place."""
        heads, batch, length, inputs = x.shape
        outputs = self.bias.shape[0] // heads
        weight = self.weight.view(heads, outputs, inputs, ROUTER_TAPS).permute(0, 2, 3, 1)
        taps = torch.bmm(x.reshape(heads, batch * length, inputs),
                         weight.reshape(heads, inputs, ROUTER_TAPS * outputs).to(x.dtype))
        left, here, right = taps.view(heads, batch, length, ROUTER_TAPS, outputs).to(sum_type(x)).unbind(3)
        shift = ROUTER_DILATION
        y = here + F.pad(left[:, :, :-shift], (0, 0, shift, 0)) * before
        y = y + F.pad(right[:, :, shift:], (0, 0, 0, shift)) * after
        return F.silu(y + self.bias.view(heads, 1, 1, outputs)).to(x.dtype)


class HeadScore(nn.Module):
    """A linear function for each head: weight [heads, in, 1, 1], bias [heads]."""

    def __init__(self, heads: int, inputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(heads, inputs, 1, 1) * 0.05)
        self.bias = nn.Parameter(torch.ones(heads))  # keeps nearly all at first

    def forward(self, x: Tensor) -> Tensor:
        """x [h, B, T, in] to [B, h, T], before the sigmoid."""
        heads = self.bias.shape[0]
        z = (x.to(sum_type(x)) * self.weight.view(heads, 1, 1, -1)).sum(-1) + self.bias.view(heads, 1, 1)
        return z.transpose(0, 1)


class ConvStack(nn.Module):

    def __init__(self, heads: int, channels: int):
        super().__init__()
        sizes = [channels >> i for i in range(ROUTER_CONVS + 1)]
        self.convs = nn.ModuleList(HeadConv(heads, i, o) for i, o in zip(sizes, sizes[1:]))
        self.proj = HeadScore(heads, sizes[-1])


class Router(nn.Module):

    def __init__(self, heads: int, head_dim: int):
        super().__init__()
        self.conv_stack = ConvStack(heads, 2 * head_dim)

    def forward(self, k: Tensor, v: Tensor, rows: Rows) -> Tensor:
        """Scores [B, h, T] in (-1/2, 1/2) of k, v [B, h, T, d] before the rotary embedding."""
        x = torch.cat([k, v], -1).transpose(0, 1).to(product_type(k))
        dtype = sum_type(x)
        before = (rows.position >= ROUTER_DILATION)[..., None].to(dtype)
        after = (rows.index + ROUTER_DILATION < rows.end)[..., None].to(dtype)
        for conv in self.conv_stack.convs:
            x = conv(x, before, after)
        return self.conv_stack.proj(x).sigmoid() - 0.5


def rank_in_document(score: Tensor, rows: Rows) -> Tensor:
    """Of each token among its document's, 0 for the highest score; score [B, h, T] in [-1, 1]."""
    start = (rows.index - rows.position)[:, None].long()
    key = (start << 26) + ((1 - score) * (1 << 24)).long()  # by document, then by falling score
    order = key.argsort(dim=-1, stable=True)
    places = torch.arange(score.shape[-1], device=score.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places) - start


def kept(score: Tensor, rows: Rows, window: int, sinks: int) -> Tensor:
    """Which tokens outlive the window, [B, h, T] bool. Those still in it at the document's end take no room."""
    score = score.detach()
    sink = (rows.position < sinks)[:, None]
    leaves = (rows.index + window < rows.end - 1)[:, None]
    rank = rank_in_document(torch.where(sink, 1.0, torch.where(leaves, score, -1.0)), rows)
    return ((score > rows.keep_above[:, None, None]) | sink) & (rank < rows.capacity)


class RetentionAttention(AttentionLayer):

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self.window, self.sinks = config.window_size, config.sink_size
        self.router = Router(self.heads, config.attention_dim)

    def forward(self, x: Tensor, rows: Rows, blocks: Blocks | None) -> tuple[Tensor, Tensor]:
        """The layer's output and its scores [B, h, T]."""
        q, k, v = self.project(x)
        score = self.router(k, v, rows)
        last = (rows.end - 1)[:, None]
        leaves_window = torch.minimum(rows.index + self.window, last)
        reach = torch.where(kept(score, rows, self.window, self.sinks), last, leaves_window).int()
        v = straight_through(v, score)
        return self.out(attend(rope(q, rows), rope(k, rows), v, reach.contiguous(), blocks and blocks.past)), score


def straight_through(v: Tensor, score: Tensor) -> Tensor:
    """v [B, h, T, d] itself, whose gradient also reaches the score [B, h, T]."""
    return v + (score - score.detach()).to(v.dtype)[..., None] * v.detach()
