"""Training itself, on a CPU with a tiny model: it learns, it resumes exactly, its checkpoints are whole."""
import dataclasses
import json
import tempfile
import unittest
from pathlib import Path

import torch
from safetensors import safe_open

from train.__main__ import TOKENIZER
from train.batches import Batches
from train.checkpoint import export
from train.config import VARIANTS, ModelConfig, TrainingConfig, config_json, demo_config
from train.evaluate import Cell, evaluate
from train.log import Log
from train.model import Model
from train.sentences import Sentences
from train.trainer import Trainer

SMALL = ModelConfig(hidden_size=32, intermediate_size=48, num_layers=2, num_heads=2, head_dim=8, value_dim=16,
                    attention_layers=(1,), attention_heads=2)


class TrainerTest(unittest.TestCase):

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.log = Log("test", self.folder / "log.jsonl", 16, 1)

    def trainer(self, variant: str, steps: int, **changes) -> Trainer:
        config = dataclasses.replace(TrainingConfig(steps=steps, rows=2, row_tokens=256, warmup_steps=10), **changes)
        batches = Batches(str(TOKENIZER), config.seed, config.rows, config.row_tokens)
        return Trainer(dataclasses.replace(SMALL, variant=variant), config, torch.device("cpu"), batches, self.folder,
                       self.log, workers=0, mode="eager")

    def test_the_loss_falls(self):
        trainer = self.trainer("lte", 160)
        trainer.run()
        progress = [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]
        self.assertEqual(len(progress), 9)
        self.assertLess(progress[-1]["loss"], 0.8 * progress[0]["loss"])
        self.assertEqual(trainer.step, 160)

    def test_resumed_training_equals_training_in_one_go(self):
        for variant in "lte", "nsa":
            with self.subTest(variant):
                whole = self.trainer(variant, 48)
                whole.run()
                first = self.trainer(variant, 48)
                first.progress.at = lambda step: 1.0 if step >= 20 else step / 48  # stopped after 20 steps
                first.run()
                self.assertEqual(first.step, 20)
                second = self.trainer(variant, 48)
                second.resume()
                second.run()
                for (name, a), (_, b) in zip(whole.model.named_parameters(), second.model.named_parameters()):
                    self.assertTrue(torch.equal(a, b), name)
                self.assertTrue(torch.equal(whole.running, second.running))
                self.assertEqual(whole.pressure, second.pressure)

    def test_resuming_another_model_is_refused(self):
        self.trainer("gdn", 1).save()
        with self.assertRaisesRegex(ValueError, "has another model"):
            self.trainer("swa", 1).resume()
        with self.assertRaisesRegex(ValueError, "has another seed: 0, not 7"):
            self.trainer("gdn", 1, seed=7).resume()

    def test_a_model_that_is_evaluated_is_the_exported_one(self):
        trainer = self.trainer("lte", 1)
        before = {name: p.clone() for name, p in trainer.model.named_parameters()}
        results = evaluate(trainer.model, Sentences(str(TOKENIZER)), self.log, self.folder / "evaluation.json",
                           [Cell("single", 128), Cell("multi_query", 704, 16), Cell("multi_value", 256, 4)], 2, 1)
        self.assertEqual([r.prompts for r in results], [2, 8, 2])
        for name, p in trainer.model.named_parameters():
            self.assertTrue(torch.equal(p, before[name]), "evaluation must not round the weights in training")


class CheckpointTest(unittest.TestCase):

    def test_files_of_every_variant(self):
        for variant in VARIANTS:
            with self.subTest(variant), tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                model = Model(dataclasses.replace(SMALL, variant=variant))
                export(model, str(TOKENIZER), folder)
                self.assertEqual(json.loads((folder / "config.json").read_text()), config_json(model.config))
                self.assertEqual((folder / "tokenizer.json").read_bytes(), TOKENIZER.read_bytes())
                with safe_open(folder / "model.safetensors", "pt") as file:
                    names = set(file.keys())
                    self.assertEqual(names, {f"model.{n}" for n, _ in model.named_parameters()})
                    self.assertIn("model.layers.0.attn.q_conv1d.weight", names)
                    for name, p in model.named_parameters():
                        stored = file.get_tensor(f"model.{name}")
                        is_decay = name.endswith(("A_log", "dt_bias"))
                        self.assertEqual(stored.dtype, torch.float32 if is_decay else torch.bfloat16)
                        self.assertTrue(torch.equal(stored, p.detach().to(stored.dtype)))

    def test_size(self):
        for variant in VARIANTS:
            count = sum(p.numel() for p in Model(demo_config(variant)).parameters())
            self.assertAlmostEqual(count / 5.18e6, 1, delta=0.005, msg=variant)


if __name__ == "__main__":
    unittest.main()
