"""Prompts of an evaluation, drawn as winnow-eval draws them (client/eval/eval_text.cc): the same tasks and forms."""
import random
from typing import NamedTuple

from . import world
from .sentences import BOS, Kind, Sentences, Tokens

QUESTION_TOKENS, FACT_TOKENS = 30, 16  # rather more than a question with its answer, and a fact, have
QUERIES = 4  # of multi_query


class Cell(NamedTuple):
    """A line of the table."""
    task: str  # "single", "multi_key", "multi_query", "multi_value" or "distractors"
    tokens: int  # of a prompt, about
    facts: int = 1  # multi_value: codes of the name; distractors: other codes

    @property
    def queries(self) -> int:
        return QUERIES if self.task == "multi_query" else 1


class Prompt(NamedTuple):
    ids: list[int]  # up to "Answer:"
    codes: list[str]  # any of them is right


class _Statement(NamedTuple):
    kind: str  # "fact" or "number"
    name: str
    code: str


def _new_name(r: random.Random, taken: set[str], like: str | None = None, share: str = "") -> str:
    """Not one that is taken; `share`: "adjective" or "noun" that it has in common with `like`."""
    while True:
        adjective, noun = world.name(r.random).split()
        if share == "adjective":
            adjective = like.split()[0]
        elif share == "noun":
            noun = like.split()[1]
        name = f"{adjective} {noun}"
        if name not in taken:
            taken.add(name)
            return name


def _statements(r: random.Random, cell: Cell) -> list[_Statement]:
    """The first ones are asked for."""
    taken: set[str] = set()
    code = lambda: world.code(r.random)
    if cell.task in ("multi_key", "multi_query"):
        return [_Statement("fact", _new_name(r, taken), code()) for _ in range(cell.facts)]
    asked = _new_name(r, taken)
    made = [_Statement("fact", asked, code())]
    if cell.task == "multi_value":
        made += [_Statement("fact", asked, code()) for _ in range(cell.facts - 1)]
    if cell.task == "distractors":
        for i in range(cell.facts):
            if i % 2:
                made.append(_Statement("number", asked, code()))
            else:
                share = "noun" if i % 4 else "adjective"
                made.append(_Statement("fact", _new_name(r, taken, asked, share), code()))
    return made


def _weave(sentences: Sentences, r: random.Random, statements: list[_Statement], length: int) -> Tokens:
    """Filler with the statements at places drawn at random."""
    room = max(1, length - FACT_TOKENS)
    placed = sorted(((r.randrange(room), i) for i in range(len(statements))))
    out, lead = Tokens([BOS], [Kind.NOTHING]), ""
    while len(out.ids) < length or placed:
        if placed and (len(out.ids) > placed[0][0] or len(out.ids) >= length):
            statement = statements[placed.pop(0)[1]]
            write = sentences.fact if statement.kind == "fact" else sentences.number
            write(out, statement.name, statement.code, lead, "")
        else:
            sentences.filler(out, r.random, lead, "")
        lead = " "
    return out


def make_prompts(sentences: Sentences, r: random.Random, cell: Cell) -> list[Prompt]:
    """The questions of one text; each after the first follows the right answers to those before."""
    statements = _statements(r, cell)
    text = _weave(sentences, r, statements, cell.tokens - QUESTION_TOKENS * cell.queries)
    prompts = []
    for statement in statements[:cell.queries]:
        sentences.question(text, statement.name, " ")
        codes = [statement.code]
        if cell.task == "multi_value":
            codes = [s.code for s in statements]
        prompts.append(Prompt(list(text.ids), codes))
        sentences.answer(text, statement.code, "")
    return prompts
