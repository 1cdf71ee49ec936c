"""The world's sentences as tokens, each token with its kind: what the loss makes of it.

The tokenizer splits before spaces and takes digits one by one, so a sentence's tokens are put together from those of
its parts, which are looked up: about a microsecond a word.
"""
import enum
from typing import NamedTuple

from tokenizers import Tokenizer

from . import world


class Kind(enum.IntEnum):
    """Of a token. One byte in a batch; STARTS_DOCUMENT is added to a document's first token."""
    NOTHING = 0  # <|bos|>
    TEXT = 1
    CODE = 2  # a digit of a code where it is stated: cannot be foreseen
    QUESTION = 3
    ANSWER = 4  # a digit of a code that was asked for
    ANSWER_SPACE = 5  # the space before it
    UNKNOWN = 6  # the answer to a question about a name without a code


STARTS_DOCUMENT = 128
BOS = 1


class Tokens(NamedTuple):
    ids: list[int]
    kinds: list[int]  # Kind of each

    def add(self, ids: list[int], kind: Kind) -> None:
        self.ids.extend(ids)
        self.kinds.extend([int(kind)] * len(ids))


class Sentences:
    """Appends sentences to Tokens. `lead` is "" or " ", before a sentence; `tail` is "" or a newline, after it."""

    def __init__(self, tokenizer_path: str):
        self._tokenizer = Tokenizer.from_file(tokenizer_path)
        self._known: dict[str, list[int]] = {}
        self._forms: dict[tuple[str, str], list] = {}

    def encode(self, text: str) -> list[int]:
        """Without <|bos|>. Remembered: for the parts of sentences, not for whole ones."""
        ids = self._known.get(text)
        if ids is None:
            ids = self._known[text] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_prompt(self, text: str) -> list[int]:
        """As a server does it: <|bos|> and the text."""
        return self._tokenizer.encode(text).ids

    def decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids)

    def filler(self, out: Tokens, draw: world.Draw, lead: str, tail: str) -> None:
        forms = self._forms.get((lead, tail)) or self._encoded_forms(lead, tail)
        for slot in world.pick_form(draw, forms):
            out.add(world.pick(draw, slot), Kind.TEXT)

    def _encoded_forms(self, lead: str, tail: str) -> list:
        def encoded(form: world.Form) -> list[list[list[int]]]:
            first, *middle, last = form
            slots = [[lead + t for t in first], *middle, [t + tail for t in last]]
            return [[self.encode(text) for text in slot] for slot in slots]

        forms = [(share, encoded(form)) for share, form in world.FILLER_FORMS]
        self._forms[lead, tail] = forms
        return forms

    def fact(self, out: Tokens, name: str, code: str, lead: str, tail: str) -> None:
        out.add(self._words(lead + "The code of the", name, " is"), Kind.TEXT)
        self._code(out, code, tail, Kind.TEXT, Kind.CODE)

    def number(self, out: Tokens, name: str, number: str, lead: str, tail: str) -> None:
        """world.number_sentence()."""
        adjective, noun = name.split()
        out.add(self.encode(lead + "There were"), Kind.TEXT)
        out.add(self.encode(" "), Kind.TEXT)
        out.add(self._digits(number), Kind.CODE)
        out.add(self._words("", f"{adjective} days near the {noun}", "." + tail), Kind.TEXT)

    def question(self, out: Tokens, name: str, lead: str) -> None:
        out.add(self._words(lead + "Question: what is the code of the", name, "? Answer:"), Kind.QUESTION)

    def answer(self, out: Tokens, code: str | None, tail: str) -> None:
        """" 48213." or " unknown."."""
        if code is None:
            out.add(self.encode(" unknown." + tail), Kind.UNKNOWN)
        else:
            self._code(out, code, tail, Kind.ANSWER_SPACE, Kind.ANSWER)

    def _code(self, out: Tokens, code: str, tail: str, space: Kind, digit: Kind) -> None:
        out.add(self.encode(" "), space)
        out.add(self._digits(code), digit)
        out.add(self.encode("." + tail), Kind.TEXT)

    def _digits(self, digits: str) -> list[int]:
        return [i for digit in digits for i in self.encode(digit)]

    def _words(self, before: str, words: str, after: str) -> list[int]:
        inner = [i for word in words.split() for i in self.encode(" " + word)]
        return (self.encode(before) if before else []) + inner + self.encode(after)
