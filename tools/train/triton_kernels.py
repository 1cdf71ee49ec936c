"""The Triton kernels of chunk_ops.py: float32, a program for each matrix.

Written without matrix-unit products of several warps' operands in a loop-carried accumulator but for one small exact
product, since backward kernels of other libraries are known to be miscompiled for Hopper by Triton 3.4 to 3.7.
"""
import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _unit_lower_inverse(a, x, C: tl.constexpr):
    """Row i of X = (I + A)^-1 is e_i - sum over j < i of A_ij X_j. A program for one [C, C] matrix."""
    start = tl.program_id(0).to(tl.int64) * C * C
    r = tl.arange(0, C)
    rows = tl.where(r[:, None] == r[None, :], 1.0, 0.0)
    for i in range(1, C):
        weights = tl.load(a + start + i * C + r)
        below = tl.sum(weights[:, None] * rows, 0)
        rows = tl.where(r[:, None] == i, rows - below[None, :], rows)
    tl.store(x + start + r[:, None] * C + r[None, :], rows)


def unit_lower_inverse(a: Tensor) -> Tensor:
    """a [..., C, C], float32, contiguous; reads and writes 4 C^2 bytes each a matrix."""
    assert a.dtype == torch.float32, a.dtype
    size = a.shape[-1]
    x = torch.empty_like(a)
    _unit_lower_inverse[(a.numel() // (size * size),)](a, x, size, num_warps=4)
    return x


@triton.jit
def _scan_states(transition, update, states, n, D: tl.constexpr, V: tl.constexpr, BV: tl.constexpr,
                 REVERSE: tl.constexpr):
    """A program for BV columns of one sequence's states; the state stays in registers over its n chunks."""
    sequence = tl.program_id(0).to(tl.int64)
    d = tl.arange(0, D)
    offsets = d[:, None] * V + (tl.program_id(1) * BV + tl.arange(0, BV))[None, :]
    state = tl.zeros([D, BV], dtype=tl.float32)
    for step in range(n):
        chunk = sequence * n + step
        if REVERSE:
            chunk = sequence * n + n - 1 - step
        tl.store(states + chunk * D * V + offsets, state)
        if REVERSE:
            t = tl.load(transition + chunk * D * D + d[None, :] * D + d[:, None])
        else:
            t = tl.load(transition + chunk * D * D + d[:, None] * D + d[None, :])
        state = tl.dot(t, state, input_precision="ieee") + tl.load(update + chunk * D * V + offsets)


def scan_states(transition: Tensor, update: Tensor, reverse: bool) -> Tensor:
    """transition [..., n, D, D], update [..., n, D, V], float32, contiguous; D and V powers of 2, at least 16.

    Bound by the latency of n dependent steps, so columns are spread over as many programs as a product allows.
    """
    assert transition.dtype == update.dtype == torch.float32, (transition.dtype, update.dtype)
    n, d, v = update.shape[-3:]
    states = torch.empty_like(update)
    columns = 16
    grid = (update.numel() // (n * d * v), v // columns)
    _scan_states[grid](transition, update, states, n, d, v, columns, reverse, num_warps=4)
    return states
