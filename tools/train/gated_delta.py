"""Gated DeltaNet (arXiv 2412.06464), trained in chunks.

A head's state S [Dk, Dv] goes on, token by token, as

    S <- exp(g) S;  S <- S + k (beta (v - S^T k))^T;  o = S^T q

with unit k, q scaled by Dk^-1/2, g <= 0 and beta in (0, 1). chunked_gated_delta_rule() computes the same for CHUNK
tokens at a time: within a chunk by matrix products, between chunks by a scan over states.
"""
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .chunk_ops import scan_states, unit_lower_inverse
from .config import ModelConfig
from .layers import Projection, linear, product_type, rms_norm, sum_type
from .rows import CHUNK, Rows

RESET = -30.0  # log decay of a document's first token: nothing of the document before it is left


def _chunks(x: Tensor) -> Tensor:
    """[B, T, h, D] to [B, h, n, CHUNK, D]."""
    batch, length, heads, dim = x.shape
    return x.view(batch, length // CHUNK, CHUNK, heads, dim).permute(0, 3, 1, 2, 4).contiguous()


def chunked_gated_delta_rule(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, beta: Tensor) -> Tensor:
    """q, k [B, T, h, Dk] and v [B, T, h, Dv] in the product type; log_decay (g), beta [B, T, h]. Result as v.

    Of the chunk's tokens i >= j: decay_ij = exp(g_{j+1} + .. + g_i). The values that the delta rule writes solve a
    triangular system, whose inverse X gives them as u - w S for the state S before the chunk.
    """
    batch, length, heads, _ = q.shape
    low, high = v.dtype, log_decay.dtype
    q, k, v = _chunks(q), _chunks(k), _chunks(v)
    g = _chunks(log_decay[..., None])[..., 0].cumsum(-1)  # [B, h, n, C], like all below
    beta = _chunks(beta[..., None])

    causal = torch.ones(CHUNK, CHUNK, device=q.device, dtype=torch.bool).tril()
    decay = torch.where(causal, g[..., :, None] - g[..., None, :], -1e9).exp()
    from_start, to_end = g.exp()[..., None], (g[..., -1:] - g).exp()[..., None]

    x = unit_lower_inverse(((k @ k.mT).to(high) * decay * beta).tril(-1)).to(low)
    u = x @ (v * beta).to(low)
    w = x @ (k * (beta * from_start)).to(low)
    states = _states(k.to(high) * to_end, u.to(high), w.to(high), from_start[..., -1:, :]).to(low)
    within = ((q @ k.mT).to(high) * decay).to(low)
    out = (q * from_start).to(low) @ states + within @ (u - w @ states)
    return out.permute(0, 2, 3, 1, 4).reshape(batch, length, heads, -1)


def _states(k: Tensor, u: Tensor, w: Tensor, decay: Tensor) -> Tensor:
    """The state before each chunk, [B, h, n, Dk, Dv]; k decayed to the chunk's end, decay [B, h, n, 1, 1] over it.

    In the higher type (TF32 products on a GPU): errors here add up over chunks.
    """
    identity = torch.eye(k.shape[-1], device=k.device, dtype=k.dtype)
    return scan_states(decay * identity - k.mT @ w, k.mT @ u, False)


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


class ShortConv(nn.Module):
    """The weights [channels, 1, width] of a causal convolution over each channel."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels, 1, width) - 0.5)


def _before(x: Tensor, position: Tensor, tokens: int) -> Tensor:
    """x [B, T, channels] of the token so many before; 0 where that is of another document. Indexed rather than padded:
    compiled, that makes no copy."""
    index = torch.arange(x.shape[1], device=x.device)
    return torch.where((position >= tokens)[..., None], x[:, (index - tokens).clamp(min=0)], 0)


def _after(x: Tensor, position: Tensor, tokens: int) -> Tensor:
    """Of the token so many after."""
    index = torch.arange(x.shape[1], device=x.device)
    later = (index + tokens).clamp(max=x.shape[1] - 1)
    there = (index + tokens < x.shape[1]) & (position[:, later] >= tokens)
    return torch.where(there[..., None], x[:, later], 0)


class CausalConv(torch.autograd.Function):
    """A convolution over each channel that does not reach before its document: x [B, T, channels] in any type, weight
    [channels, width], position [B, T]. Result as x.

    With a derivative of its own, since all it has to keep is x: autograd would keep a product for each tap.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, position: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, position)
        out = x * weight[:, -1]
        for back in range(1, weight.shape[1]):
            out = out + _before(x, position, back) * weight[:, -1 - back]
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, position = ctx.saved_tensors
        of_x = gradient * weight[:, -1]
        of_taps = [(gradient.to(weight.dtype) * x).sum((0, 1))]
        for back in range(1, weight.shape[1]):
            of_x = of_x + _after(gradient, position, back) * weight[:, -1 - back]
            of_taps.append((gradient.to(weight.dtype) * _before(x, position, back)).sum((0, 1)))
        return of_x.to(x.dtype), torch.stack(of_taps[::-1], -1), None


def short_conv(x: Tensor, position: Tensor, *convs: ShortConv) -> Tensor:
    """Convolutions side by side over x [B, T, channels], then SiLU, in the higher type."""
    weight = torch.cat([conv.weight for conv in convs])[:, 0]
    return F.silu(CausalConv.apply(x, weight, position).to(weight.dtype))


class GatedDeltaNet(nn.Module):

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.heads, self.head_dim, self.value_dim = config.num_heads, config.head_dim, config.value_dim
        self.eps = config.norm_eps
        keys, values = self.heads * self.head_dim, self.heads * self.value_dim
        for name, size in ("q", keys), ("k", keys), ("v", values), ("a", self.heads), ("b", self.heads), ("g", values):
            self.add_module(f"{name}_proj", Projection(config.hidden_size, size))
        for name, size in ("q", keys), ("k", keys), ("v", values):
            self.add_module(f"{name}_conv1d", ShortConv(size, config.conv_size))
        self.o_proj = Projection(values, config.hidden_size, gain=0.5)
        self.o_norm = HeadNorm(self.value_dim)
        self.A_log = nn.Parameter(torch.log(torch.rand(self.heads) * 15 + 1))
        step = torch.exp(torch.rand(self.heads) * math.log(100) + math.log(0.001))  # log-uniform in 0.001 .. 0.1
        self.dt_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # its inverse softplus

    def forward(self, x: Tensor, rows: Rows, blocks: None) -> tuple[Tensor, None]:
        """x [B, T, hidden], normalized. `blocks` is for attention's layers."""
        batch, length, _ = x.shape
        keys, values = self.heads * self.head_dim, self.heads * self.value_dim
        projected = linear(x, self.q_proj, self.k_proj, self.v_proj, self.g_proj, self.a_proj, self.b_proj)
        qkv, gate, a, b = projected.split((2 * keys + values, values, self.heads, self.heads), -1)
        high = sum_type(qkv)
        qkv = short_conv(qkv, rows.position, self.q_conv1d, self.k_conv1d, self.v_conv1d)
        q, k, v = (t.view(batch, length, self.heads, -1) for t in qkv.split((keys, keys, values), -1))
        low = product_type(x)
        out = chunked_gated_delta_rule((_unit(q) * self.head_dim**-0.5).to(low), _unit(k).to(low), v.to(low),
                                       self._log_decay(a.to(high), rows.position), b.to(high).sigmoid())
        gate = F.silu(gate.to(high)).view(batch, length, self.heads, self.value_dim)
        out = rms_norm(out.to(high), self.o_norm.weight, self.eps) * gate
        return linear(out.reshape(batch, length, values), self.o_proj), None

    def _log_decay(self, a: Tensor, position: Tensor) -> Tensor:
        decay = -self.A_log.exp() * F.softplus(a + self.dt_bias)
        return torch.where((position == 0)[..., None], RESET, decay)


class HeadNorm(nn.Module):
    """The weight of a norm that is applied to each head."""

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
