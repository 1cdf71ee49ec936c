"""Tiny random models in float64 for tests."""
import dataclasses

import torch

from train.config import VARIANTS, ModelConfig
from train.model import Model

TINY = ModelConfig(vocab_size=53, hidden_size=32, intermediate_size=48, num_layers=3, num_heads=2, head_dim=8,
                   value_dim=16, attention_layers=(1, 2), attention_heads=2, window_size=20, sink_size=2, block_size=8,
                   block_counts=4)


def tiny_model(variant: str, seed: int = 0, **changes) -> Model:
    """Weights well away from where training begins: norms that differ, heads that keep about half of the tokens."""
    torch.manual_seed(seed)
    model = Model(dataclasses.replace(TINY, variant=variant, **changes)).double()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.mul_(torch.rand_like(weight) + 0.5)
            elif "router" in name and name.endswith("bias"):
                weight.copy_(torch.randn_like(weight) * 0.3)
            elif name.endswith("conv_stack.proj.weight"):
                weight.mul_(40)
            elif name == "embeddings.weight":
                weight.mul_(50)
    return model


__all__ = ["TINY", "VARIANTS", "tiny_model"]
