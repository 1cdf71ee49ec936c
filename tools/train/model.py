"""The model of a variant. Parameters are called as in the checkpoints that Winnow loads, less the leading "model."."""
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import Attention, Blocks, block_mask
from .config import ModelConfig
from .gated_delta import GatedDeltaNet
from .layers import Mlp, Norm, linear, sum_type
from .retention import RetentionAttention
from .rows import Rows
from .sparse import SparseAttention


def _mixer(config: ModelConfig, layer: int) -> nn.Module:
    if not config.is_attention(layer):
        return GatedDeltaNet(config)
    if config.variant == "lte":
        return RetentionAttention(config)
    if config.variant == "nsa":
        return SparseAttention(config)
    return Attention(config, config.window_size + 1 if config.variant == "swa" else None)


class Block(nn.Module):
    """x += mixer(norm(x)); x += mlp(norm(x))."""

    def __init__(self, config: ModelConfig, mixer: nn.Module):
        super().__init__()
        self.attn_norm = Norm(config.hidden_size, config.norm_eps)
        self.attn = mixer
        self.mlp_norm = Norm(config.hidden_size, config.norm_eps)
        self.mlp = Mlp(config.hidden_size, config.intermediate_size)

    def forward(self, x: Tensor, rows: Rows, blocks: Blocks | None) -> tuple[Tensor, Tensor | None]:
        """x [B, T, hidden], and the scores [B, h, T] of a layer with retention."""
        out, score = self.attn(self.attn_norm(x), rows, blocks)
        x = x + out.to(x.dtype)
        return x + self.mlp(self.mlp_norm(x)).to(x.dtype), score


class Embeddings(nn.Module):

    def __init__(self, vocab: int, hidden: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab, hidden) * 0.02)


class Output(NamedTuple):
    hidden: Tensor  # [B, T, hidden], before the final norm
    scores: list[Tensor]  # of each layer with retention, [B, h, T]


class Model(nn.Module):

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, _mixer(config, layer)) for layer in range(config.num_layers))
        self.norm = Norm(config.hidden_size, config.norm_eps)

    def blocks(self, rows: Rows) -> Blocks | None:
        """What attention on a GPU may skip."""
        variant = self.config.variant
        if variant == "gdn":
            return None
        return Blocks(past=block_mask(rows, None) if variant != "swa" else None,
                      window=block_mask(rows, self.config.window_size) if variant in ("swa", "nsa") else None)

    def forward(self, tokens: Tensor, rows: Rows, blocks: Blocks | None = None) -> Output:
        """tokens [B, T] int64. Without `blocks`, attention's masks are built whole."""
        x, scores = F.embedding(tokens, self.embeddings.weight), []
        for block in self.layers:
            x, score = block(x, rows, blocks)
            if score is not None:
                scores.append(score)
        return Output(x, scores)

    def logits(self, hidden: Tensor) -> Tensor:
        """[.., vocab] of hidden [.., hidden]."""
        out = linear(self.norm(hidden), self.embeddings)
        return out.to(sum_type(out))

    def compile_blocks(self) -> None:
        """Layer by layer: layers of a kind share their compiled code, so it takes less time than a whole model's."""
        for block in self.layers:
            block.compile(dynamic=False)
