"""What is trained: the shape of the demo family, its variants, and config.json for each.

All variants have six layers. `gdn` has Gated DeltaNet in all of them; the others have attention in layers 1, 3 and 5:

    swa    sliding window: a query sees itself and window_size tokens before
    lte    the same window, and what learnable token eviction keeps: at most buffer_size tokens a head
    attn   every token before
    nsa    native sparse attention: compressed blocks, block_counts whole ones, and the same window
"""
import dataclasses
from dataclasses import dataclass

VARIANTS = ("gdn", "swa", "lte", "attn", "nsa")

ROUTER_TAPS, ROUTER_DILATION, ROUTER_CONVS = 3, 2, 3  # of the router's convolutions: 6 tokens to each side


@dataclass(frozen=True)
class ModelConfig:
    variant: str = "lte"
    vocab_size: int = 1024
    hidden_size: int = 256
    intermediate_size: int = 640
    num_layers: int = 6
    norm_eps: float = 1e-6

    # Gated DeltaNet (arXiv 2412.06464): state [num_heads, head_dim, value_dim] a layer.
    num_heads: int = 4
    head_dim: int = 32
    value_dim: int = 64
    conv_size: int = 4

    # Attention: heads of hidden_size / attention_heads.
    attention_layers: tuple[int, ...] = (1, 3, 5)
    attention_heads: int = 4
    rope_theta: float = 100_000.0
    window_size: int = 64  # tokens before the current one

    # Learnable token eviction (arXiv 2510.20787).
    buffer_size: int = 128
    sink_size: int = 4

    # Native sparse attention (arXiv 2502.11089): reads 8 * 16 tokens in full, as many as the buffer of `lte` has.
    block_size: int = 16
    block_counts: int = 8

    def __post_init__(self):
        if self.variant not in VARIANTS:
            raise ValueError(f"variant is {self.variant!r}: must be one of {', '.join(VARIANTS)}")

    @property
    def attention_dim(self) -> int:
        return self.hidden_size // self.attention_heads

    def is_attention(self, layer: int) -> bool:
        return self.variant != "gdn" and layer in self.attention_layers

    @property
    def num_attention_layers(self) -> int:
        return sum(self.is_attention(layer) for layer in range(self.num_layers))


def demo_config(variant: str) -> ModelConfig:
    """The demo family's member: 5.2 million parameters. What lte's routers have, the others have in their MLPs."""
    return ModelConfig(variant, intermediate_size=640 if variant == "lte" else 720)


def _attention_json(config: ModelConfig) -> dict:
    """The attn block of config.json. swa's and nsa's windows count the current token, lte's does not."""
    block = {
        "layers": list(config.attention_layers),
        "num_heads": config.attention_heads,
        "num_kv_heads": config.attention_heads,
        "qkv_bias": False,
        "rope_theta": config.rope_theta,
    }
    if config.variant == "attn":
        return block | {"window_size": None}
    if config.variant == "swa":
        return block | {"window_size": config.window_size + 1}
    if config.variant == "nsa":
        return block | {"attn_type": "nsa", "window_size": config.window_size + 1, "block_size": config.block_size,
                        "block_counts": config.block_counts}
    return block | {
        "attn_type": "lte",
        "window_size": config.window_size,
        "conv_size": [ROUTER_TAPS] * ROUTER_CONVS,
        "conv_dilation": [ROUTER_DILATION] * ROUTER_CONVS,
        "buffer_size": config.buffer_size,
        "sink_size": config.sink_size,
        "routing_method": "sigmoid",
        "routing_shared": "head",
    }


def config_json(config: ModelConfig) -> dict:
    """As the published model classes and Winnow read it."""
    hybrid = config.variant in ("lte", "nsa")
    return {
        "architectures": ["HybridGatedDeltaNetForCausalLM" if hybrid else "GatedDeltaNetForCausalLM"],
        "model_type": "hybrid_gated_deltanet" if hybrid else "gated_deltanet",
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_heads": config.num_heads,
        "head_dim": config.head_dim,
        "expand_v": config.value_dim / config.head_dim,
        "use_gate": True,
        "use_short_conv": True,
        "conv_size": config.conv_size,
        "hidden_act": "swish",
        "hidden_ratio": 4,
        "intermediate_size": config.intermediate_size,
        "norm_eps": config.norm_eps,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "max_position_embeddings": 8192,
        "torch_dtype": "bfloat16",
        "attn": None if config.variant == "gdn" else _attention_json(config),
    }


@dataclass(frozen=True)
class TrainingConfig:
    """How it is trained. The defaults are the recipe: README.md says what of it was measured."""
    seed: int = 0
    rows: int = 16  # of a batch
    row_tokens: int = 4096  # a multiple of 128, at least 256
    steps: int | None = None  # the schedule's end; None: only the time limit ends it
    minutes: float | None = None  # wall-clock limit from the program's start, evaluation not included

    peak_learning_rate: float = 1.5e-3
    warmup_steps: int = 300
    final_learning_rate: float = 0.02  # of the peak
    weight_decay: float = 0.05  # of matrices
    clip_norm: float = 1.0

    # Retention (lte): tokens kept a head, of 2,048.
    kept_target: float = 80.0
    kept_floor: float = 8.0

    def __post_init__(self):
        if self.steps is None and self.minutes is None:
            raise ValueError("training needs an end: --steps, --minutes or both")
        if self.row_tokens % 128 or self.row_tokens < 256:
            raise ValueError(f"row_tokens is {self.row_tokens}: must be a multiple of 128 and at least 256")


def as_dict(config: ModelConfig | TrainingConfig) -> dict:
    return dataclasses.asdict(config)
