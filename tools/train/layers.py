"""What all layers are made of.

Weights and the residual stream are float32 on a GPU, and products take bfloat16; on a CPU everything has the type of
the weights (float64 in tests).
"""
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def product_type(x: Tensor) -> torch.dtype:
    """The type in which a product of x is taken."""
    return torch.bfloat16 if x.is_cuda else x.dtype


def sum_type(x: Tensor) -> torch.dtype:
    """The type in which values of x's type are summed up."""
    return torch.float32 if x.dtype == torch.bfloat16 else x.dtype


def linear(x: Tensor, *projections: "Projection") -> Tensor:
    """x [..., in] through one projection, or several side by side: [..., sum of their outputs] in the product type."""
    weights = [p.weight for p in projections]
    weight = weights[0] if len(weights) == 1 else torch.cat(weights)
    dtype = product_type(x)
    return F.linear(x.to(dtype), weight.to(dtype))


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


class Projection(nn.Module):
    """A matrix without bias. Drawn from N(0, gain^2 / in)."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * gain * inputs**-0.5)


class Norm(nn.Module):
    """RMS norm over the last dimension."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


class Mlp(nn.Module):
    """SwiGLU."""

    def __init__(self, hidden: int, intermediate: int):
        super().__init__()
        self.gate_proj = Projection(hidden, intermediate)
        self.up_proj = Projection(hidden, intermediate)
        self.down_proj = Projection(intermediate, hidden, gain=0.5)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = linear(x, self.gate_proj, self.up_proj).chunk(2, -1)
        return linear(F.silu(gate) * up, self.down_proj)
