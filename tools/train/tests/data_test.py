"""Documents, batches and prompts: their tokens are the tokenizer's, their answers are right."""
import random
import re
import unittest

from train.__main__ import TOKENIZER
from train.batches import Batches, BatchKey, Stage, lengths_of_documents
from train.documents import document
from train.evaluate import CELLS
from train.prompts import QUERIES, QUESTION_TOKENS, Cell, make_prompts
from train.rows import CHUNK
from train.sentences import STARTS_DOCUMENT, Kind, Sentences

QUESTION = re.compile(r"Question: what is the code of the (\w+ \w+)\? Answer:( (?:\d{5}|unknown)\.)?")
FACT = re.compile(r"The code of the (\w+ \w+) is (\d{5})\.")


class DocumentTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.sentences = Sentences(str(TOKENIZER))

    def documents(self, count: int):
        r = random.Random(0)
        for _ in range(count):
            yield document(self.sentences, r, CHUNK * r.randint(4, 32))

    def test_tokens_are_those_of_the_text(self):
        for tokens in self.documents(60):
            ids = [i for i in tokens.ids if i != 1]
            again = self.sentences._tokenizer.encode(self.sentences.decode(ids), add_special_tokens=False).ids
            self.assertEqual(again[:-16], ids[:len(again[:-16])])  # the last sentence is cut off

    def test_answers_are_what_was_stated_last(self):
        asked = 0
        for tokens in self.documents(60):
            text, stated = self.sentences.decode(tokens.ids), {}
            for found in re.finditer(f"{FACT.pattern}|{QUESTION.pattern}", text):
                name, code, of, answer = found.groups()
                if name:
                    stated[name] = code
                elif answer:
                    self.assertEqual(answer, f" {stated.get(of, 'unknown')}.")
                    asked += 1
        self.assertGreater(asked, 300)

    def test_kinds_mark_the_digits(self):
        for tokens in self.documents(30):
            for kind, pattern in (Kind.CODE, r"\d*"), (Kind.ANSWER, r"\d*"), (Kind.ANSWER_SPACE, " *"):
                marked = [i for i, k in zip(*tokens) if k & (STARTS_DOCUMENT - 1) == kind]
                self.assertRegex(self.sentences.decode(marked), f"^{pattern}$")
            starts = [i for i, kind in enumerate(tokens.kinds) if kind & STARTS_DOCUMENT]
            self.assertEqual(starts, [0])


class BatchTest(unittest.TestCase):

    def test_follows_from_seed_and_step(self):
        one, other = (Batches(str(TOKENIZER), seed, 2, 1024) for seed in (0, 1))
        key = BatchKey(7, Stage.MEDIUM)
        first = one[key]
        one[BatchKey(8, Stage.MEDIUM)]
        self.assertTrue((first.tokens == one[key].tokens).all() and (first.kinds == one[key].kinds).all())
        self.assertFalse((first.tokens == other[key].tokens).all())

    def test_documents_fill_rows_in_whole_chunks(self):
        r = random.Random(0)
        for stage in Stage:
            for length in 256, 1024, 4096:
                for _ in range(200):
                    lengths = lengths_of_documents(r, stage, length)
                    self.assertEqual(sum(lengths), length)
                    self.assertTrue(all(n > 0 and n % CHUNK == 0 for n in lengths), lengths)


class PromptTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.sentences = Sentences(str(TOKENIZER))

    def test_right_codes_stand_in_the_text(self):
        r = random.Random(0)
        for cell in CELLS:
            prompts = make_prompts(self.sentences, r, cell)
            self.assertEqual(len(prompts), cell.queries)
            for prompt in prompts:
                text = self.sentences.decode(prompt.ids)
                self.assertEqual(self.sentences.encode_prompt(text), prompt.ids)
                asked = QUESTION.findall(text)[-1][0]
                self.assertTrue(text.endswith("Answer:"))
                self.assertEqual(sorted(code for name, code in FACT.findall(text) if name == asked),
                                 sorted(prompt.codes))
                self.assertAlmostEqual(len(prompt.ids), cell.tokens, delta=QUESTION_TOKENS * (1 + QUERIES))

    def test_numbers_of_statements(self):
        r = random.Random(0)
        count = lambda cell: len(FACT.findall(self.sentences.decode(make_prompts(self.sentences, r, cell)[0].ids)))
        self.assertEqual(count(Cell("single", 512)), 1)
        self.assertEqual(count(Cell("multi_key", 3072, 64)), 64)
        self.assertEqual(count(Cell("multi_value", 512, 4)), 4)
        self.assertEqual(count(Cell("distractors", 1024, 16)), 1 + 8)


if __name__ == "__main__":
    unittest.main()
