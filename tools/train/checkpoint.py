"""Checkpoints: the model as Winnow and Hugging Face's libraries read it, and the training state to resume from."""
import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from .config import config_json
from .model import Model

FLOAT32_ENDINGS = (".A_log", ".dt_bias")  # what decays over thousands of tokens are computed from


def rounded(name: str, weight: Tensor) -> Tensor:
    """The weight as it is stored: bfloat16, but for the parameters of decays."""
    return weight.detach().to(torch.float32 if name.endswith(FLOAT32_ENDINGS) else torch.bfloat16)


def export(model: Model, tokenizer_path: str, folder: Path) -> None:
    """Writes config.json, model.safetensors and tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": rounded(name, weight).cpu().contiguous() for name, weight in model.named_parameters()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(config_json(model.config), indent=1) + "\n")
    if Path(tokenizer_path).resolve() != (folder / "tokenizer.json").resolve():
        shutil.copyfile(tokenizer_path, folder / "tokenizer.json")


def round_weights(model: Model) -> None:
    """Makes the model the one that export() writes."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(rounded(name, weight))


def save_state(path: Path, state: dict) -> None:
    """Replaces the file in one go: a run that is stopped meanwhile leaves the old one."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_state(path: Path, device: torch.device) -> dict:
    return torch.load(path, map_location=device, weights_only=True)
