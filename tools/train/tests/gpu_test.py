"""On a GPU: the compiled model in mixed precision against float64 on the CPU, values and gradients.

Tokens are kept and blocks selected without regard to the score here: what lies at a threshold falls to either side of
it in bfloat16, which is no error. The bounds are two to three times what bfloat16 products cost when they are emulated
on a CPU (README.md).
"""
import copy
import unittest

import torch

from train.chunk_ops import scan_states, unit_lower_inverse
from train.config import VARIANTS, ModelConfig
from train.model import Model
from train.rows import lay_out
from train.tests.models import tiny_model

SHAPE = ModelConfig(num_layers=2, attention_layers=(1,), block_counts=32)
LENGTH = 512


def rows_on(device: str, dtype: torch.dtype):
    starts = torch.zeros(2, LENGTH, dtype=torch.bool)
    starts[:, 0] = starts[0, 192] = starts[1, 448] = True
    return lay_out(starts.to(device), head_dim=SHAPE.attention_dim, rope_theta=SHAPE.rope_theta, dtype=dtype)


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.double().cpu() - expected).norm() / expected.norm())


@unittest.skipUnless(torch.cuda.is_available(), "there is no GPU")
class GpuTest(unittest.TestCase):

    def setUp(self):
        torch.manual_seed(0)
        torch.set_float32_matmul_precision("high")

    def model(self, variant: str) -> Model:
        model = tiny_model(variant, **{field: getattr(SHAPE, field) for field in SHAPE.__dataclass_fields__
                                       if field != "variant"})
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name.endswith("conv_stack.proj.bias"):
                    weight.fill_(20.0)  # keeps all
                elif name == "embeddings.weight":
                    weight.copy_(torch.randn_like(weight))
        return model

    def test_values_and_gradients(self):
        tokens = torch.randint(0, SHAPE.vocab_size, (2, LENGTH))
        target = torch.randn(2, LENGTH, SHAPE.hidden_size, dtype=torch.float64)
        for variant in VARIANTS:
            with self.subTest(variant):
                exact = self.model(variant)
                fast = copy.deepcopy(exact).float().cuda()
                fast.compile_blocks()
                expected = exact(tokens, rows_on("cpu", torch.float64)).hidden
                rows = rows_on("cuda", torch.float32)
                actual = fast(tokens.cuda(), rows, fast.blocks(rows)).hidden
                self.assertLess(relative(actual.detach(), expected.detach()), 0.015)
                (expected * target).sum().backward()
                (actual * target.float().cuda()).sum().backward()
                for (name, p), q in zip(exact.named_parameters(), fast.parameters()):
                    if "router" not in name:  # saturated: it keeps all
                        self.assertLess(relative(q.grad, p.grad), 0.08, name)

    def test_chunk_operations(self):
        a = (torch.rand(300, 64, 64, dtype=torch.float64) * 0.3).tril(-1)
        self.assertLess(relative(unit_lower_inverse(a.float().cuda()), unit_lower_inverse(a)), 1e-5)
        transition = torch.eye(32) * 0.9 + torch.randn(30, 9, 32, 32, dtype=torch.float64) * 0.02
        update = torch.randn(30, 9, 32, 64, dtype=torch.float64)
        for reverse in False, True:
            actual = scan_states(transition.float().cuda(), update.float().cuda(), reverse)
            self.assertLess(relative(actual, scan_states(transition, update, reverse)), 1e-5)


if __name__ == "__main__":
    unittest.main()
