"""What attention on a GPU may skip is what the whole mask leaves out."""
import unittest

import torch
from torch.nn.attention.flex_attention import flex_attention

from train.attention import BLOCK, attend, block_mask
from train.rows import Rows, lay_out


def rows_with(*starts: int, length: int = 512) -> Rows:
    marks = torch.zeros(1, length, dtype=torch.bool)
    marks[0, list(starts)] = True
    return lay_out(marks, head_dim=16, rope_theta=100.0, dtype=torch.float32)


def reach_of(rows: Rows, window: int | None) -> torch.Tensor:
    """Of two heads, [1, 2, T]."""
    last = rows.end - 1
    reach = last if window is None else torch.minimum(rows.index + window, last)
    return reach.int()[:, None].expand(-1, 2, -1).contiguous()


class BlocksTest(unittest.TestCase):

    def skipped(self, mask) -> torch.Tensor:
        """Blocks that are not looked at, [queries, keys]."""
        count = 512 // BLOCK
        looked = torch.zeros(count, count, dtype=torch.bool)
        parts = (mask.kv_num_blocks, mask.kv_indices), (mask.full_kv_num_blocks, mask.full_kv_indices)
        for numbers, indices in parts:
            for query in range(count):
                looked[query, indices[0, 0, query, :numbers[0, 0, query]].long()] = True
        return ~looked

    def test_nothing_that_is_seen_is_skipped(self):
        for starts in (0,), (0, 64, 192), (0, 128, 320), (0, 448):
            rows = rows_with(*starts)
            for window in None, 64:
                with self.subTest(starts=starts, window=window):
                    mask = block_mask(rows, window)
                    i = torch.arange(512)[:, None]
                    seen = (i.T <= i) & (i <= reach_of(rows, window)[0, 0])
                    in_blocks = seen.view(512 // BLOCK, BLOCK, -1, BLOCK).any(3).any(1)
                    self.assertFalse((self.skipped(mask) & in_blocks).any())

    def test_blocks_of_other_documents_and_outside_of_windows_are_skipped(self):
        self.assertEqual(int((~self.skipped(block_mask(rows_with(0, 256), None))).sum()), 3 + 3)
        self.assertEqual(int((~self.skipped(block_mask(rows_with(0), 64))).sum()), 1 + 2 + 2 + 2)

    def test_flex_attention_equals_the_whole_mask(self):
        torch.manual_seed(0)
        q, k, v = torch.randn(3, 1, 2, 512, 16)
        rows = rows_with(0, 64, 320)
        for window in None, 64:
            mask, reach = block_mask(rows, window), reach_of(rows, window)

            def only_reached(score, b, h, i, j):
                return torch.where(i <= reach[b, h, j], score, -float("inf"))

            flex = flex_attention(q, k, v, score_mod=only_reached, block_mask=mask)
            self.assertLess((flex - attend(q, k, v, reach, None)).abs().max(), 1e-5)


if __name__ == "__main__":
    unittest.main()
