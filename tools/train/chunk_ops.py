"""Two operations of the chunked gated delta rule that are recurrences: Triton on a GPU, plain torch elsewhere.

Both are custom operators with hand-written derivatives, opaque to torch.compile.
"""
import torch
from torch import Tensor


def _triton():
    from . import triton_kernels  # only where there is a GPU
    return triton_kernels


@torch.library.custom_op("winnow_train::unit_lower_inverse", mutates_args=())
def unit_lower_inverse(a: Tensor) -> Tensor:
    """(I + a)^-1 for strictly lower triangular a [..., C, C]."""
    if a.is_cuda:
        return _triton().unit_lower_inverse(a.contiguous())
    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    return torch.linalg.solve_triangular(identity + a, identity.expand_as(a), upper=False).contiguous()


@unit_lower_inverse.register_fake
def _(a: Tensor) -> Tensor:
    return a.new_empty(a.shape)


def _keep_inverse(ctx, inputs, output) -> None:
    ctx.save_for_backward(output)


def _inverse_gradient(ctx, gradient: Tensor) -> Tensor:
    """X = (I + A)^-1: dX = -X dA X. What lies above the diagonal is the caller's to mask."""
    (x,) = ctx.saved_tensors
    return -(x.mT @ gradient @ x.mT)


unit_lower_inverse.register_autograd(_inverse_gradient, setup_context=_keep_inverse)


@torch.library.custom_op("winnow_train::scan_states", mutates_args=())
def scan_states(transition: Tensor, update: Tensor, reverse: bool) -> Tensor:
    """States before each chunk: S_0 = 0, S_{i+1} = transition_i S_i + update_i.

    transition [..., n, D, D], update and result [..., n, D, V]. In reverse: from the last chunk to the first, with
    transposed transitions.
    """
    if update.is_cuda:
        return _triton().scan_states(transition.contiguous(), update.contiguous(), reverse)
    states = torch.empty_like(update)
    state = torch.zeros_like(update[..., 0, :, :])
    chunks = range(update.shape[-3])
    for i in reversed(chunks) if reverse else chunks:
        states[..., i, :, :] = state
        t = transition[..., i, :, :]
        state = (t.mT if reverse else t) @ state + update[..., i, :, :]
    return states


@scan_states.register_fake
def _(transition: Tensor, update: Tensor, reverse: bool) -> Tensor:
    return update.new_empty(update.shape)


def _keep_states(ctx, inputs, output) -> None:
    ctx.save_for_backward(inputs[0], output)


def _scan_gradient(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
    """The gradient of update_i is that of S_{i+1}: the same recurrence backwards. Only for reverse=False."""
    transition, states = ctx.saved_tensors
    of_update = scan_states(transition, gradient, True)
    return of_update @ states.mT, of_update, None


scan_states.register_autograd(_scan_gradient, setup_context=_keep_states)
