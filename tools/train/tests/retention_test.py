"""Retention: which tokens are kept, the gradient straight through, and the controller that makes heads keep few."""
import unittest

import torch

from train.batches import Stage
from train.config import TrainingConfig
from train.objective import MARGIN, pressure_loss
from train.pressure import FIRST, HIGHEST, LIFT, LOWEST, Pressure
from train.retention import kept, rank_in_document, straight_through
from train.rows import lay_out
from train.tests.models import tiny_model

CONFIG = TrainingConfig(steps=1, kept_target=64.0, kept_floor=8.0)


def rows_with(*starts: int, length: int = 128, **more):
    marks = torch.zeros(1, length, dtype=torch.bool)
    marks[0, list(starts)] = True
    return lay_out(marks, head_dim=8, rope_theta=100.0, dtype=torch.float64, **more)


class KeptTest(unittest.TestCase):

    def setUp(self):
        torch.manual_seed(0)
        self.score = torch.rand(1, 2, 128, dtype=torch.float64) - 0.5

    def test_without_a_limit_it_is_the_positive_scores_and_the_sinks(self):
        is_kept = kept(self.score, rows_with(0, 64), window=10, sinks=3)
        expected = self.score > 0
        expected[..., 0:3] = expected[..., 64:67] = True
        self.assertTrue(torch.equal(is_kept, expected))

    def test_with_a_limit_it_is_the_best_of_each_document_that_have_left_the_window(self):
        is_kept = kept(self.score, rows_with(0, 64, capacity=9), window=10, sinks=3)
        for head in range(2):
            for start in 0, 64:
                leaving = range(start + 3, start + 64 - 11)
                best = sorted(leaving, key=lambda j: -self.score[0, head, j])[:6]
                left = [j for j in range(start, start + 64 - 11) if is_kept[0, head, j]]
                self.assertEqual(left, sorted(list(range(start, start + 3)) + best))

    def test_a_lower_threshold_keeps_more(self):
        rows = rows_with(0, keep_above=torch.tensor([-0.1], dtype=torch.float64))
        self.assertTrue(torch.equal(kept(self.score, rows, 10, 0), self.score > -0.1))

    def test_ranks_are_within_documents(self):
        rank = rank_in_document(self.score, rows_with(0, 64))
        for head in range(2):
            for start in 0, 64:
                order = self.score[0, head, start:start + 64].argsort(descending=True)
                self.assertEqual(rank[0, head, start + order].tolist(), list(range(64)))


class StraightThroughTest(unittest.TestCase):

    def test_value_is_unchanged_and_the_score_gets_the_gradient_of_scaling_it(self):
        torch.manual_seed(0)
        v = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
        score = torch.randn(1, 2, 5, dtype=torch.float64, requires_grad=True)
        out = straight_through(v, score)
        self.assertTrue(torch.equal(out, v))
        gradient = torch.randn_like(out)
        of_v, of_score = torch.autograd.grad(out, (v, score), gradient)
        self.assertTrue(torch.equal(of_v, gradient))
        self.assertLess((of_score - (gradient * v).sum(-1)).abs().max(), 1e-12)

    def test_the_router_learns_from_what_attention_reads(self):
        model = tiny_model("lte")
        rows = lay_out(torch.arange(128)[None] == 0, head_dim=16, rope_theta=100.0, dtype=torch.float64)
        model(torch.randint(0, 53, (1, 128)), rows).hidden.square().sum().backward()
        for name, p in model.named_parameters():
            if "router" in name:
                self.assertGreater(p.grad.abs().max(), 0, name)


class PressureLossTest(unittest.TestCase):

    def test_penalty_on_what_is_kept_or_nearly_so(self):
        scores = torch.tensor([-0.2, -MARGIN / 2, 0.3]).view(1, 1, 1, 3)
        loss = pressure_loss(scores, torch.tensor([[2.0]]), torch.tensor([[0.0]]))
        self.assertAlmostEqual(float(loss), 2 * (MARGIN / 2 + 0.3 + MARGIN) / 3, places=6)

    def test_lift_raises_all_scores(self):
        scores = torch.tensor([-0.2, 0.3]).view(1, 1, 1, 2).requires_grad_()
        pressure_loss(scores, torch.tensor([[0.0]]), torch.tensor([[0.5]])).backward()
        self.assertEqual(scores.grad.flatten().tolist(), [-0.25, -0.25])


class PressureTest(unittest.TestCase):

    def updated(self, pressure: Pressure, kept: list[float], answer_loss=0.1, progress=0.5,
                stage=Stage.MEDIUM) -> list[float]:
        pressure.update(CONFIG, [kept], answer_loss, progress, stage)
        return pressure.of_heads[0]

    def begun(self, heads: int = 1) -> Pressure:
        pressure = Pressure(1, heads)
        self.updated(pressure, [100.0] * heads)
        self.assertTrue(pressure.begun)
        return pressure

    def test_begins_when_answers_are_possible_or_half_the_time_is_over(self):
        cases = (0.2, 0.05, False), (0.5, 0.3, False), (0.2, 0.2, True), (2.0, 0.5, True)
        for answer_loss, progress, begins in cases:
            pressure = Pressure(1, 1)
            self.assertEqual(self.updated(pressure, [9.0], answer_loss, progress), [FIRST] if begins else [0.0])

    def test_rises_above_the_target_and_falls_below_head_by_head(self):
        pressure = self.begun(3)
        high, exact, low = self.updated(pressure, [200.0, 64.0, 20.0])
        self.assertGreater(high, FIRST)
        self.assertAlmostEqual(exact, FIRST)
        self.assertLess(low, FIRST)

    def test_short_documents_have_three_times_the_target(self):
        self.assertAlmostEqual(self.updated(self.begun(), [192.0], stage=Stage.SHORT)[0], FIRST)

    def test_stays_within_its_bounds(self):
        pressure = self.begun(2)
        for _ in range(200):
            self.updated(pressure, [2000.0, 0.0])
        self.assertEqual(pressure.of_heads[0], [HIGHEST, LOWEST])

    def test_lets_go_when_answers_get_worse(self):
        pressure = self.begun()
        self.assertLess(self.updated(pressure, [2000.0], answer_loss=0.5)[0], FIRST)

    def test_is_frozen_at_its_mean_for_the_last_fifth(self):
        pressure = self.begun()
        for _ in range(20):
            self.updated(pressure, [2000.0])
        before = pressure.of_heads[0][0]
        frozen = self.updated(pressure, [2000.0], progress=0.81)[0]
        self.assertTrue(FIRST < frozen < before)
        self.assertEqual(self.updated(pressure, [1.0], progress=0.9), [frozen])

    def test_lifts_heads_that_keep_nearly_nothing_until_documents_are_long(self):
        pressure = Pressure(1, 2)
        self.assertEqual(pressure.lift, [[LIFT, LIFT]])
        self.updated(pressure, [7.0, 9.0])
        self.assertEqual(pressure.lift, [[LIFT, 0.0]])
        self.updated(pressure, [7.0, 9.0], stage=Stage.LONG)
        self.assertEqual(pressure.lift, [[0.0, 0.0]])

    def test_drives_a_head_to_its_target(self):
        """A head that keeps fewer the harder it is pressed: 1 / (100 pressure + 1) of 2,048."""
        pressure, count = self.begun(), 2048.0
        for _ in range(300):
            count = 2048 / (100 * self.updated(pressure, [count])[0] + 1)
        self.assertAlmostEqual(count / CONFIG.kept_target, 1, delta=0.1)


if __name__ == "__main__":
    unittest.main()
