"""The schedule: by steps, by time, and by steps with a limit of time."""
import unittest

from train.batches import Stage
from train.config import TrainingConfig
from train.schedule import Progress, learning_rate, stage_at


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class ProgressTest(unittest.TestCase):

    def progress(self, resumed_at: float = 0.0, **limits) -> Progress:
        self.clock = Clock()
        return Progress(TrainingConfig(**limits), resumed_at, started=self.clock(), now=self.clock)

    def test_by_steps(self):
        progress = self.progress(steps=200)
        self.clock.seconds += 1e6
        self.assertEqual([progress.at(step) for step in (0, 50, 200)], [0, 0.25, 1])

    def test_by_time_from_the_first_step_to_the_limit(self):
        progress = self.progress(minutes=2)
        self.clock.seconds += 20
        progress.begin()
        self.assertEqual(progress.at(1), 0)
        self.clock.seconds += 50
        self.assertEqual(progress.at(7), 0.5)
        self.clock.seconds += 50
        self.assertEqual(progress.at(9), 1)

    def test_resumed_by_time_goes_on_from_where_it_was(self):
        progress = self.progress(minutes=1, resumed_at=0.6)
        self.assertEqual(progress.at(500), 0.6)
        self.clock.seconds += 30
        self.assertAlmostEqual(progress.at(900), 0.8)

    def test_by_steps_a_limit_of_time_counts_only_when_it_is_near(self):
        progress = self.progress(steps=1000, minutes=100 / 60)
        self.clock.seconds += 85
        self.assertEqual(progress.at(100), 0.1)
        self.clock.seconds += 7.5
        self.assertAlmostEqual(progress.at(100), 0.5)
        self.assertEqual(progress.at(920), 0.92)
        self.clock.seconds += 7.5
        self.assertAlmostEqual(progress.at(120), 1)

    def test_an_end_is_needed(self):
        with self.assertRaisesRegex(ValueError, "training needs an end"):
            TrainingConfig()

    def test_rows_must_fit_documents_and_blocks(self):
        for row_tokens in 128, 300:
            with self.assertRaisesRegex(ValueError, f"row_tokens is {row_tokens}: must be a multiple of 128"):
                TrainingConfig(steps=1, row_tokens=row_tokens)


class ScheduleTest(unittest.TestCase):

    def test_learning_rate(self):
        config = TrainingConfig(steps=1000, peak_learning_rate=1.0, warmup_steps=10, final_learning_rate=0.1)
        self.assertAlmostEqual(learning_rate(config, 0, 0), 0.1)
        self.assertAlmostEqual(learning_rate(config, 9, 0), 1.0)
        self.assertAlmostEqual(learning_rate(config, 500, 0.5), 0.55)
        self.assertAlmostEqual(learning_rate(config, 1000, 1), 0.1)

    def test_stages(self):
        self.assertEqual([stage_at(p) for p in (0, 0.24, 0.25, 0.64, 0.65, 1)],
                         [Stage.SHORT, Stage.SHORT, Stage.MEDIUM, Stage.MEDIUM, Stage.LONG, Stage.LONG])


if __name__ == "__main__":
    unittest.main()
