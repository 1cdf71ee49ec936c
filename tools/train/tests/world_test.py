"""The world is that of winnow-demo and winnow-eval. Needs no PyTorch."""
import random
import re
import unittest
from pathlib import Path

from train import world

CLIENT = Path(__file__).absolute().parents[3] / "client"


def client_source() -> str:
    """Of what makes texts there."""
    return "".join((CLIENT / name).read_text() for name in ("demo_world.cc", "demo_text.cc")
                   if (CLIENT / name).exists())


def words_of(array: str, source: str) -> list[str]:
    """The strings of a C++ array."""
    return re.findall(r'"([^"]*)"', re.search(array + r"\[\] = \{(.*?)\};", source, re.S).group(1))


class WorldTest(unittest.TestCase):

    def test_words_are_the_clients(self):
        source = client_source()
        for array, words in (("kAdjectives", world.ADJECTIVES), ("kNouns", world.NOUNS), ("kVerbs", world.VERBS),
                             ("kPrepositions", world.PREPOSITIONS), ("kTimes", world.TIMES)):
            self.assertEqual(words_of(array, source), words, array)

    def test_facts_and_questions_are_the_clients(self):
        source = client_source()
        before, after = world.fact("NAME", "CODE").split("NAME")
        self.assertIn(f'"{before}"', source)
        self.assertIn(f'"{after.split("CODE")[0]}"', source)
        before, after = world.question("NAME").split("NAME")
        self.assertIn(f'" {before}"', source)
        self.assertIn(f'"{after}"', source)

    def test_filler_has_the_clients_forms(self):
        adjective, noun, verb, preposition, time = ("(?:" + "|".join(words) + ")" for words in (
            world.ADJECTIVES, world.NOUNS, world.VERBS, world.PREPOSITIONS, world.TIMES))
        capital = "(?:" + "|".join(t.capitalize() for t in world.TIMES) + ")"
        forms = [
            f"The {adjective} {noun} {verb} the {noun} {preposition} the {noun} {time}\\.",
            f"A {adjective} {noun} {verb} the {adjective} {noun}\\.",
            f"{capital}, the {noun} {verb} a {noun} and {verb} the {adjective} {noun}\\.",
            f"There were [1-9]?[0-9] {adjective} days {preposition} the {noun}\\.",
            f"The {noun} and the {noun} {verb} the {adjective} {noun} {preposition} the {noun}\\.",
        ]
        draw, counts = random.Random(0).random, [0] * len(forms)
        for _ in range(4000):
            sentence = world.filler(draw)
            matched = [bool(re.fullmatch(form, sentence)) for form in forms]
            self.assertEqual(sum(matched), 1, sentence)
            counts[matched.index(True)] += 1
        for count, (share, _) in zip(counts, world.FILLER_FORMS):
            self.assertAlmostEqual(count / 4000, share, delta=0.03)


if __name__ == "__main__":
    unittest.main()
