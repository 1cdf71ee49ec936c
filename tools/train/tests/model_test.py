"""The training code computes what the plain recurrence does."""
import unittest

import torch

from train.gated_delta import CausalConv, chunked_gated_delta_rule
from train.rows import lay_out
from train.tests.models import VARIANTS, tiny_model
from train.tests.token_by_token import Reference


def rows_of(model, starts: torch.Tensor, **more):
    config = model.config
    return lay_out(starts, head_dim=config.attention_dim, rope_theta=config.rope_theta, dtype=torch.float64, **more)


def starts_at(length: int, *places: int) -> torch.Tensor:
    starts = torch.zeros(1, length, dtype=torch.bool)
    starts[0, list(places)] = True
    return starts


def logits_of(model, tokens: torch.Tensor, starts: torch.Tensor, **more) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(model(tokens, rows_of(model, starts, **more)).hidden)


class ModelTest(unittest.TestCase):

    def test_rows_equal_the_recurrence_token_by_token(self):
        for variant in VARIANTS:
            with self.subTest(variant):
                model = tiny_model(variant)
                tokens = torch.randint(0, 53, (1, 192))
                reference = Reference(model.config, {n: p.detach() for n, p in model.named_parameters()})
                expected = torch.stack([reference.step(int(token)) for token in tokens[0]])
                actual = logits_of(model, tokens, starts_at(192, 0))[0]
                self.assertLess((actual - expected).abs().max(), 1e-9 * expected.abs().max())

    def test_documents_of_a_row_do_not_see_each_other(self):
        for variant in VARIANTS:
            with self.subTest(variant):
                model = tiny_model(variant)
                tokens = torch.randint(0, 53, (1, 320))
                together = logits_of(model, tokens, starts_at(320, 0, 64, 192))
                for start, end in (0, 64), (64, 192), (192, 320):
                    alone = logits_of(model, tokens[:, start:end], starts_at(end - start, 0))
                    self.assertLess((together[:, start:end] - alone).abs().max(), 1e-9 * alone.abs().max())

    def test_jumps_change_only_distances_across_them(self):
        model = tiny_model("attn")
        tokens = torch.randint(0, 53, (1, 128))
        plain = logits_of(model, tokens, starts_at(128, 0))
        jumped = logits_of(model, tokens, starts_at(128, 0), jump_at=torch.tensor([100.0]), jump=torch.tensor([500.0]))
        self.assertLess((plain - jumped)[:, :100].abs().max(), 1e-12)
        self.assertGreater((plain - jumped)[:, 100:].abs().max(), 1e-3)
        all_moved = logits_of(model, tokens, starts_at(128, 0), jump_at=torch.tensor([0.0]), jump=torch.tensor([500.0]))
        self.assertLess((plain - all_moved).abs().max(), 1e-9)

    def test_rows_of_other_lengths_are_refused(self):
        with self.assertRaisesRegex(ValueError, "rows of 100 tokens: must be a multiple of 64"):
            rows_of(tiny_model("gdn"), starts_at(100, 0))


class GatedDeltaRuleTest(unittest.TestCase):

    def inputs(self):
        torch.manual_seed(1)
        unit = lambda x: torch.nn.functional.normalize(x, dim=-1)
        shape = 2, 128, 3
        q, k, v = unit(torch.randn(*shape, 8)), unit(torch.randn(*shape, 8)), torch.randn(*shape, 16)
        return [x.double().requires_grad_() for x in
                (q, k, v, -torch.rand(shape) * 0.3, torch.rand(shape))]

    def recurrence(self, q, k, v, g, beta):
        state, out = torch.zeros(2, 3, 8, 16, dtype=torch.float64), []
        for t in range(q.shape[1]):
            state = g[:, t, :, None, None].exp() * state
            delta = beta[:, t, :, None] * (v[:, t] - torch.einsum("bhkv,bhk->bhv", state, k[:, t]))
            state = state + torch.einsum("bhk,bhv->bhkv", k[:, t], delta)
            out.append(torch.einsum("bhkv,bhk->bhv", state, q[:, t]))
        return torch.stack(out, 1)

    def test_values_and_gradients_equal_the_recurrence(self):
        inputs = self.inputs()
        weights = torch.randn(2, 128, 3, 16, dtype=torch.float64)
        expected, actual = self.recurrence(*inputs), chunked_gated_delta_rule(*inputs)
        self.assertLess((expected - actual).abs().max(), 1e-12)
        of_expected = torch.autograd.grad((expected * weights).sum(), inputs)
        of_actual = torch.autograd.grad((actual * weights).sum(), inputs)
        for a, b in zip(of_expected, of_actual):
            self.assertLess((a - b).abs().max(), 1e-10 * a.abs().max())


class CausalConvTest(unittest.TestCase):
    """Its derivative is written by hand."""

    def plain(self, x, weight, position):
        return torch.stack([sum(weight[:, -1 - back] * x[0, t - back]
                                for back in range(min(3, int(position[0, t])) + 1)) for t in range(x.shape[1])])[None]

    def test_values_and_gradients_within_documents(self):
        torch.manual_seed(0)
        position = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 0, 1, 2]], dtype=torch.int32)
        x = torch.randn(1, 10, 3, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
        self.assertLess((CausalConv.apply(x, weight, position) - self.plain(x, weight, position)).abs().max(), 1e-12)
        self.assertTrue(torch.autograd.gradcheck(lambda x, w: CausalConv.apply(x, w, position), (x, weight)))


if __name__ == "__main__":
    unittest.main()
