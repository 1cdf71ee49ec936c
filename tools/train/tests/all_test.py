"""The driver: GPUs, steps, and a run of two variants on the CPU."""
import io
import json
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

from train.all import COSTS, assign, events, main, steps_that_fit, visible_gpus, wait_for
from train.config import VARIANTS
from train.meeting import meet


class AssignTest(unittest.TestCase):

    def test_every_variant_has_a_gpu_and_loads_are_even(self):
        for count in 1, 2, 4, 8:
            gpus = [str(i) for i in range(count)]
            placed = assign(list(VARIANTS), gpus)
            self.assertEqual(set(placed), set(VARIANTS))
            loads = [sum(COSTS[v] for v in placed if placed[v] == gpu) for gpu in gpus]
            self.assertLessEqual(max(loads), max(max(COSTS.values()), 1.1 * sum(COSTS.values()) / count))

    def test_without_gpus(self):
        self.assertEqual(assign(["gdn"], []), {"gdn": None})

    def test_visible_gpus_are_the_environments(self):
        with mock.patch.dict("os.environ", {"CUDA_VISIBLE_DEVICES": "3,5"}):
            self.assertEqual(visible_gpus(), ["3", "5"])


class StepsTest(unittest.TestCase):

    def test_one_process_a_gpu_is_as_fast_as_the_slowest(self):
        self.assertEqual(steps_that_fit({"gdn": 20.0, "lte": 10.0}, {"gdn": "0", "lte": "1"}, 130), 950)

    def test_processes_of_a_gpu_share_it(self):
        """Alone they would do 40 and 20 steps a second: a step of both takes 75 ms."""
        self.assertEqual(steps_that_fit({"gdn": 20.0, "lte": 10.0}, {"gdn": "0", "lte": "0"}, 130),
                         int(100 / 0.075 * 0.95))


class MeetingTest(unittest.TestCase):

    def test_waits_for_all_or_gives_up(self):
        with tempfile.TemporaryDirectory() as name:
            folder, seconds = Path(name), [0.0]

            def sleep(_: float) -> None:
                seconds[0] += 100
                if seconds[0] == 200:
                    (folder / "other").touch()

            self.assertTrue(meet(folder, "one", 2, now=lambda: seconds[0], sleep=sleep))
            self.assertEqual(seconds, [200])
            self.assertTrue(meet(folder, "one", 2, now=lambda: seconds[0], sleep=self.fail))
            self.assertFalse(meet(folder, "one", 3, now=lambda: seconds[0], sleep=sleep))


class WaitTest(unittest.TestCase):

    def waited(self, all_or_none: bool, *programs: str) -> list[str]:
        processes = {str(i): subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
                     for i, program in enumerate(programs)}
        failed = wait_for(processes, all_or_none)
        for process in processes.values():
            process.stdin.close()
        return failed

    def test_those_that_fail(self):
        self.assertEqual(self.waited(False, "exit(0)", "exit(3)", "exit(0)"), ["1"])

    def test_all_or_none(self):
        """The first one waits for input that does not come."""
        self.assertEqual(sorted(self.waited(True, "input()", "exit(1)")), ["0", "1"])


class RunTest(unittest.TestCase):

    def test_two_variants_train_equally_and_are_compared(self):
        with tempfile.TemporaryDirectory() as name:
            out, printed = Path(name), io.StringIO()
            with redirect_stdout(printed):
                code = main(["--variants=gdn,swa", "--steps=3", f"--out={out}", "--rows=1", "--row_tokens=256",
                             "--workers=0", "--quick_evaluation", "--texts=1"])
            self.assertEqual(code, 0)
            self.assertIn("training gdn, swa: 3 steps each", printed.getvalue())
            self.assertRegex(printed.getvalue(), r"task +tokens facts +n +gdn +swa\nsingle +512 +1 +1 +0\.0 +0\.0\n")
            for variant in "gdn", "swa":
                self.assertEqual(events(out / variant, "trained")[0]["step"], 3)
                model_type = json.loads((out / variant / "config.json").read_text())["model_type"]
                self.assertEqual(model_type, "gated_deltanet")


if __name__ == "__main__":
    unittest.main()
