"""Training documents: filler with facts, and questions about them, asked and answered as winnow-eval asks.

One document draws its task, its facts and where they stand, and where it asks. Tasks as in client/eval: single facts,
many facts of which some are asked (up to 64), several codes of one name (the one stated last is the answer), and facts
among distractors. Two thirds of the documents have all questions at the end, one after the other with their right
answers, as multi-query prompts do; the others ask in between, at any distance.
"""
import math
import random
from typing import NamedTuple

from . import world
from .sentences import BOS, STARTS_DOCUMENT, Kind, Sentences, Tokens

MAX_FACTS = 64
FACT_TOKENS, ASK_TOKENS = 16, 22  # of a sentence with a code, of a question with its answer: about


class Event(NamedTuple):
    """A sentence that is no filler; it stands where at least `position` tokens of the document come before it."""
    position: float
    kind: str  # "fact", "number" or "ask"
    name: str
    code: str = ""  # not of "ask": the answer is what was stated last


def _names(r: random.Random, count: int) -> list[str]:
    """Different ones; in three of ten documents of few words, so that many share one."""
    similar = r.random() < 0.3 and count <= 16
    adjectives = r.sample(world.ADJECTIVES, 5) if similar else world.ADJECTIVES
    nouns = r.sample(world.NOUNS, 6) if similar else world.NOUNS
    names: dict[str, None] = {}
    while len(names) < count:
        names[f"{r.choice(adjectives)} {r.choice(nouns)}"] = None
    return list(names)


def _distractor(r: random.Random, name: str) -> Event:
    """A number about the name, or a fact about one that shares its adjective or noun."""
    adjective, noun = name.split()
    if r.random() < 0.5:
        return Event(0, "number", name, world.code(r.random))
    other = f"{adjective} {r.choice(world.NOUNS)}" if r.random() < 0.5 else f"{r.choice(world.ADJECTIVES)} {noun}"
    kind = "fact" if other != name else "number"
    return Event(0, kind, other, world.code(r.random))


def _facts(r: random.Random, names: list[str]) -> list[Event]:
    return [Event(0, "fact", name, world.code(r.random)) for name in names]


def _statements(r: random.Random, length: int) -> tuple[list[Event], list[str]]:
    """What is stated, without places, in any order; and the names to ask about."""
    room = max(1, min(MAX_FACTS, length // (2 * FACT_TOKENS)))
    task = r.random()
    if task < 0.05:
        return [], []
    if task < 0.15 or room < 4:
        names = _names(r, 1)
        return _facts(r, names), names
    if task < 0.75:
        names = _names(r, round(2 * math.exp(r.random() * math.log(room / 2))))
        return _facts(r, names), names
    if task < 0.85:
        names = _names(r, r.randint(1, min(8, room // 4)))
        return _facts(r, names + names[:1] * r.randint(1, min(5, room - len(names)))), names
    statements = _facts(r, _names(r, r.randint(1, 2)))
    statements += [_distractor(r, statements[0].name) for _ in range(r.randint(1, min(16, room - 2)))]
    return statements, list(dict.fromkeys(s.name for s in statements if s.kind == "fact"))


def _asked(r: random.Random, names: list[str], length: int) -> list[str]:
    """The names to ask about, in order: many, since answers are what is learned from; few in one of five documents."""
    if not names:
        return []
    most = min(2 * len(names), max(1, int(0.5 * length / ASK_TOKENS)))
    count = r.randint(1 if r.random() < 0.2 else (most + 1) // 2, most)
    order = r.sample(names, len(names))
    return [order[i % len(order)] for i in range(count)]


def _asked_at_the_end(r: random.Random, statements: list[Event], asked: list[str], length: int) -> list[Event]:
    text = max(1, length - ASK_TOKENS * len(asked) - 2)
    first, last = 0.0, max(0.0, text - FACT_TOKENS)
    if r.random() < 0.4:  # facts far from the questions
        last *= r.uniform(0.2, 0.7)
    placed = [s._replace(position=r.uniform(first, last)) for s in statements]
    return placed + [Event(text + i / 1000, "ask", name) for i, name in enumerate(asked)]


def _asked_in_between(r: random.Random, statements: list[Event], asked: list[str], length: int) -> list[Event]:
    last = (0.3 + 0.6 * r.random()) * length
    placed = [s._replace(position=r.uniform(0, last)) for s in statements]
    stated_at = {s.name: s.position for s in placed if s.kind == "fact"}
    for name in asked:
        start = stated_at[name] + FACT_TOKENS
        placed.append(Event(start + max(0.0, length - start - ASK_TOKENS) * max(r.random(), r.random()), "ask", name))
    return placed


def _plan(r: random.Random, length: int) -> list[Event]:
    statements, names = _statements(r, length)
    asked = _asked(r, names, length)
    place = _asked_at_the_end if r.random() < 0.68 else _asked_in_between
    events = place(r, statements, asked, length)
    if r.random() < (0.5 if not names else 0.07):  # a name without a code: " unknown."
        events.append(Event(r.uniform(0.1, 0.97) * length, "ask", world.name(r.random)))
    return sorted(events, key=lambda event: event.position)


class _Writer:
    """Writes a document sentence by sentence, with spaces or newlines between sentences."""

    def __init__(self, sentences: Sentences, r: random.Random):
        self.sentences, self.r = sentences, r
        self.out = Tokens([], [])
        if r.random() < 0.85:
            self.out.add([BOS], Kind.NOTHING)
        self.lead = "" if r.random() < 0.75 else " "
        self.newlines = r.choices((0.0, 1.0, 0.2), (0.85, 0.08, 0.07))[0]
        self.stated: dict[str, str] = {}

    def write(self, event: Event | None) -> None:
        tail = "\n" if self.newlines and self.r.random() < self.newlines else ""
        if event is None:
            self.sentences.filler(self.out, self.r.random, self.lead, tail)
        elif event.kind == "ask":
            self.sentences.question(self.out, event.name, self.lead)
            self.sentences.answer(self.out, self.stated.get(event.name), tail)
        elif event.kind == "number":
            self.sentences.number(self.out, event.name, event.code, self.lead, tail)
        else:
            self.sentences.fact(self.out, event.name, event.code, self.lead, tail)
            self.stated[event.name] = event.code
        self.lead = "" if tail else " "


def document(sentences: Sentences, r: random.Random, length: int) -> Tokens:
    """Exactly `length` tokens; the last sentence is cut off."""
    events = _plan(r, length)
    writer, next_event = _Writer(sentences, r), 0
    ids, kinds = writer.out
    while len(ids) < length:
        due = next_event < len(events) and len(ids) >= events[next_event].position
        writer.write(events[next_event] if due else None)
        next_event += due
    del ids[length:], kinds[length:]
    kinds[0] |= STARTS_DOCUMENT
    return writer.out
