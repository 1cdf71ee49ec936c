"""The models of the family written plainly: one token in, one row of logits out, in float64.

What the tests hold the training code to. Nothing here is shared with it but the names of weights.
"""
import math

import torch
from torch import Tensor

from train.config import ROUTER_DILATION, ModelConfig


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def norm(x: Tensor, weight: Tensor) -> Tensor:
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * weight


def turned(x: Tensor, place: float, theta: float) -> Tensor:
    """Rotary embedding of x [heads, d]."""
    half = x.shape[-1] // 2
    out = x.clone()
    for i in range(half):
        angle = place * theta**(-i / half)
        out[:, i] = x[:, i] * math.cos(angle) - x[:, half + i] * math.sin(angle)
        out[:, half + i] = x[:, i] * math.sin(angle) + x[:, half + i] * math.cos(angle)
    return out


def attended(q: Tensor, keys: list[Tensor], values: list[Tensor]) -> Tensor:
    """One head's query [d] over keys and values [d] each."""
    scores = torch.stack(keys) @ q / math.sqrt(len(q))
    return torch.softmax(scores, 0) @ torch.stack(values)


class GatedDelta:

    def __init__(self, config: ModelConfig, weights: dict[str, Tensor]):
        self.config, self.w = config, weights
        self.state = torch.zeros(config.num_heads, config.head_dim, config.value_dim, dtype=torch.float64)
        self.inputs: dict[str, list[Tensor]] = {"q": [], "k": [], "v": []}

    def conv(self, name: str, x: Tensor) -> Tensor:
        """[heads, size] from the last inputs, the present one last."""
        self.inputs[name].append(self.w[f"{name}_proj.weight"] @ x)
        taps = self.w[f"{name}_conv1d.weight"][:, 0]
        recent = self.inputs[name][-taps.shape[1]:][::-1]
        return silu(sum(old * taps[:, -1 - back] for back, old in enumerate(recent))).view(self.config.num_heads, -1)

    def step(self, x: Tensor, position: int) -> Tensor:
        q, k, v = (self.conv(name, x) for name in "qkv")
        beta = torch.sigmoid(self.w["b_proj.weight"] @ x)
        g = -torch.exp(self.w["A_log"]) * torch.log1p(torch.exp(self.w["a_proj.weight"] @ x + self.w["dt_bias"]))
        gate = silu(self.w["g_proj.weight"] @ x).view(v.shape)
        out = []
        for h in range(self.config.num_heads):
            unit_k = k[h] / torch.sqrt((k[h]**2).sum() + 1e-6)
            unit_q = q[h] / torch.sqrt((q[h]**2).sum() + 1e-6) / math.sqrt(self.config.head_dim)
            state = torch.exp(g[h]) * self.state[h]
            self.state[h] = state + torch.outer(unit_k, beta[h] * (v[h] - state.T @ unit_k))
            out.append(norm(self.state[h].T @ unit_q, self.w["o_norm.weight"]) * gate[h])
        return self.w["o_proj.weight"] @ torch.cat(out)


class AnyAttention:
    """All kinds: keeps all keys and values, and says for each head which a query sees."""

    def __init__(self, config: ModelConfig, weights: dict[str, Tensor]):
        self.config, self.w = config, weights
        self.keys: list[Tensor] = []  # [heads, d] after the rotary embedding
        self.values: list[Tensor] = []
        self.raw: list[Tensor] = []  # [heads, 2 d]; keys before it, and values

    def step(self, x: Tensor, position: int) -> Tensor:
        heads = self.config.attention_heads
        q, k, v = ((self.w[f"{name}_proj.weight"] @ x).view(heads, -1) for name in "qkv")
        self.keys.append(turned(k, position, self.config.rope_theta))
        self.values.append(v)
        self.raw.append(torch.cat([k, v], -1))
        q = turned(q, position, self.config.rope_theta)
        return self.w["o_proj.weight"] @ torch.cat([self.head(x, q[h], h, position) for h in range(heads)])

    def head(self, x: Tensor, q: Tensor, h: int, position: int) -> Tensor:
        return self.over(q, h, [j for j in range(position + 1) if self.sees(h, position, j)])

    def over(self, q: Tensor, h: int, tokens: list[int]) -> Tensor:
        return attended(q, [self.keys[j][h] for j in tokens], [self.values[j][h] for j in tokens])

    def sees(self, h: int, position: int, j: int) -> bool:
        return self.config.variant == "attn" or position - j <= self.config.window_size


class Retention(AnyAttention):
    """With room for all that the score keeps."""

    def __init__(self, config: ModelConfig, weights: dict[str, Tensor]):
        super().__init__(config, weights)
        self.known: dict[tuple[int, int], bool] = {}  # is token j of head h kept: final once it leaves the window

    def sees(self, h: int, position: int, j: int) -> bool:
        if position - j <= self.config.window_size or j < self.config.sink_size:
            return True
        if (h, j) not in self.known:
            self.known[h, j] = float(torch.sigmoid(self.logit(h, j)) - 0.5) > 0
        return self.known[h, j]

    def logit(self, h: int, j: int) -> Tensor:
        weight = self.w["router.conv_stack.proj.weight"][h, :, 0, 0]
        return self.feature(h, j, 3) @ weight + self.w["router.conv_stack.proj.bias"][h]

    def feature(self, h: int, j: int, level: int) -> Tensor:
        """Of token j after `level` convolutions; nothing is before the first token."""
        if level == 0:
            return self.raw[j][h]
        weight = self.w[f"router.conv_stack.convs.{level - 1}.weight"]
        size = len(weight) // self.config.attention_heads
        weight = weight[h * size:(h + 1) * size, :, 0]
        out = self.w[f"router.conv_stack.convs.{level - 1}.bias"][h * size:(h + 1) * size].clone()
        for tap in range(3):
            source = j + (tap - 1) * ROUTER_DILATION
            if source >= 0:
                out += weight[:, :, tap] @ self.feature(h, source, level - 1)
        return silu(out)


class Sparse(AnyAttention):

    def head(self, x: Tensor, q: Tensor, h: int, position: int) -> Tensor:
        gate = torch.sigmoid(self.w["g_proj.weight"] @ x)[3 * h:3 * h + 3]
        size, own = self.config.block_size, position // self.config.block_size
        blocks = [range(b * size, (b + 1) * size) for b in range((position + 1) // size)]
        from_means, mass = torch.zeros_like(q), {b: 0.0 for b in range(own + 1)}
        if blocks:
            keys = torch.stack([torch.stack([self.keys[j][h] for j in block]).mean(0) for block in blocks])
            values = torch.stack([torch.stack([self.values[j][h] for j in block]).mean(0) for block in blocks])
            share = torch.softmax(keys @ q / math.sqrt(len(q)), 0)
            from_means = share @ values
            mass.update({b: float(share[b]) for b in range(len(blocks))})
        chosen = sorted(mass, key=lambda b: (b not in (0, own - 1, own), -mass[b], b))[:self.config.block_counts]
        selected = [j for j in range(position + 1) if j // size in chosen]
        window = [j for j in range(position + 1) if position - j <= self.config.window_size]
        return gate[0] * from_means + gate[1] * self.over(q, h, selected) + gate[2] * self.over(q, h, window)


class Reference:

    def __init__(self, config: ModelConfig, weights: dict[str, Tensor]):
        """weights: Model.state_dict(), float64."""
        self.config, self.w, self.position = config, weights, 0
        kind = {"lte": Retention, "nsa": Sparse}.get(config.variant, AnyAttention)
        self.mixers = [(kind if config.is_attention(i) else GatedDelta)(config, self.under(f"layers.{i}.attn."))
                       for i in range(config.num_layers)]

    def under(self, prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): w for name, w in self.w.items() if name.startswith(prefix)}

    def step(self, token: int) -> Tensor:
        """Logits [vocab] of the token after this one."""
        x = self.w["embeddings.weight"][token]
        for i, mixer in enumerate(self.mixers):
            w = self.under(f"layers.{i}.")
            x = x + mixer.step(norm(x, w["attn_norm.weight"]), self.position)
            inner = norm(x, w["mlp_norm.weight"])
            gated = silu(w["mlp.gate_proj.weight"] @ inner) * (w["mlp.up_proj.weight"] @ inner)
            x = x + w["mlp.down_proj.weight"] @ gated
        self.position += 1
        return self.w["embeddings.weight"] @ norm(x, self.w["norm.weight"])
