"""The recurrences of chunk_ops.py: plain ones against definitions, Triton's (in its interpreter) against plain ones."""
import importlib.util
import os
import subprocess
import sys
import unittest

import torch

from train.chunk_ops import scan_states, unit_lower_inverse

# Run by a process of its own: Triton decides when it is imported whether it interprets.
INTERPRETED = """
import torch
from train import chunk_ops, triton_kernels
torch.manual_seed(0)
a = (torch.rand(5, 64, 64) * 0.3).tril(-1)
error = (triton_kernels.unit_lower_inverse(a) - chunk_ops.unit_lower_inverse(a)).abs().max()
assert error < 1e-4, error
transition, update = torch.eye(32) * 0.9 + torch.randn(2, 3, 7, 32, 32) * 0.02, torch.randn(2, 3, 7, 32, 64)
for reverse in False, True:
    plain = chunk_ops.scan_states(transition, update, reverse)
    error = (triton_kernels.scan_states(transition, update, reverse) - plain).abs().max()
    assert error < 1e-4, error
"""


class ChunkOpsTest(unittest.TestCase):

    def setUp(self):
        torch.manual_seed(0)

    def test_inverse_and_its_gradient(self):
        a = (torch.rand(2, 3, 8, 8, dtype=torch.float64)).tril(-1).requires_grad_()
        identity = torch.eye(8, dtype=torch.float64)
        self.assertLess(((identity + a) @ unit_lower_inverse(a) - identity).abs().max(), 1e-12)
        self.assertTrue(torch.autograd.gradcheck(lambda a: unit_lower_inverse(a.tril(-1)), a))

    def test_scan_and_its_gradient(self):
        transition = torch.randn(2, 4, 3, 3, dtype=torch.float64).requires_grad_()
        update = torch.randn(2, 4, 3, 5, dtype=torch.float64).requires_grad_()
        states = scan_states(transition, update, False)
        self.assertEqual(states[:, 0].abs().max(), 0)
        for i in range(3):
            expected = transition[:, i] @ states[:, i] + update[:, i]
            self.assertLess((states[:, i + 1] - expected).abs().max(), 1e-12)
        self.assertTrue(torch.autograd.gradcheck(lambda t, u: scan_states(t, u, False), (transition, update)))

    @unittest.skipUnless(importlib.util.find_spec("triton"), "Triton is not installed")
    def test_triton_kernels(self):
        done = subprocess.run([sys.executable, "-c", INTERPRETED], env=os.environ | {"TRITON_INTERPRET": "1"},
                              capture_output=True, text=True)
        if "only 0-dimensional arrays can be converted" in done.stderr:
            self.skipTest("Triton's interpreter does not work with this version of numpy")
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
