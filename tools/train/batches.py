"""Batches: rows of documents. A batch follows from the seed, its step and the stage, whoever makes it and when.

Stages go from short documents, where answering is learned soonest, to long ones:

    short    320 to 704 tokens
    medium   mostly about 2,000
    long     six of ten rows are one document; the rest as before

Workers make batches ahead of time (about 2 ms of one core for a row of 4,096 tokens).
"""
import enum
import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from .documents import document
from .rows import CHUNK
from .sentences import Sentences


class Stage(enum.IntEnum):
    SHORT = 0
    MEDIUM = 1
    LONG = 2


class Batch(NamedTuple):
    tokens: Tensor  # [rows, row_tokens] int16
    kinds: Tensor  # [rows, row_tokens] uint8, sentences.Kind; a document's first token has STARTS_DOCUMENT added


class BatchKey(NamedTuple):
    step: int
    stage: Stage


def _short_lengths(r: random.Random, room: int) -> list[int]:
    lengths: list[int] = []
    while room >= 704 + 320:
        lengths.append(CHUNK * r.randint(5, 11))
        room -= lengths[-1]
    return lengths + [room]


def _medium_lengths(r: random.Random, room: int) -> list[int]:
    if r.random() < 0.15:
        return _short_lengths(r, room)
    first = room // 2 if r.random() < 0.6 else CHUNK * r.randint(room // 4 // CHUNK, room * 3 // 4 // CHUNK)
    return [first, room - first]


def lengths_of_documents(r: random.Random, stage: Stage, row_tokens: int) -> list[int]:
    """Multiples of CHUNK that fill a row."""
    if stage == Stage.SHORT:
        return _short_lengths(r, row_tokens)
    if stage == Stage.LONG and r.random() < 0.6:
        return [row_tokens]
    return _medium_lengths(r, row_tokens)


class Batches(Dataset):
    """Makes the batch of a BatchKey."""

    def __init__(self, tokenizer_path: str, seed: int, rows: int, row_tokens: int):
        self.tokenizer_path, self.seed, self.rows, self.row_tokens = tokenizer_path, seed, rows, row_tokens
        self._sentences: Sentences | None = None  # each worker's own

    def __getitem__(self, key: BatchKey) -> Batch:
        if self._sentences is None:
            self._sentences = Sentences(self.tokenizer_path)
        r = random.Random(f"{self.seed}/{key.step}")
        tokens = np.empty((self.rows, self.row_tokens), np.int16)
        kinds = np.empty((self.rows, self.row_tokens), np.uint8)
        for row in range(self.rows):
            at = 0
            for length in lengths_of_documents(r, key.stage, self.row_tokens):
                made = document(self._sentences, r, length)
                tokens[row, at:at + length], kinds[row, at:at + length] = made
                at += length
        return Batch(torch.from_numpy(tokens), torch.from_numpy(kinds))


class Keys(Sampler):
    """Passes on the keys of the batches to make, as they are drawn."""

    def __init__(self, keys: Iterator[BatchKey]):
        self.keys = keys

    def __iter__(self) -> Iterator[BatchKey]:
        return self.keys


def load_batches(batches: Batches, keys: Iterator[BatchKey], workers: int, pin: bool) -> DataLoader:
    """Batches in the keys' order, each worker up to 4 ahead. 0 workers: made here."""
    return DataLoader(batches, batch_size=None, sampler=Keys(keys), num_workers=workers, pin_memory=pin,
                      prefetch_factor=4 if workers else None)
