"""The synthetic world of the demo family: sentences without facts, facts, and questions about them.

The words and the sentence forms are those of winnow-demo and winnow-eval (client/), which ask what is trained here;
tests/world_test.py holds the two to each other. "A odd turtle" and "On friday" are meant: the world is as it was when
the bundled model was trained.

A sentence form is a list of slots; a slot lists the texts of which one is drawn. No text of a slot ends in a space and
every one but a sentence's first begins with one (or is punctuation), so that the tokens of a sentence are the tokens of
its texts, one after the other: the tokenizer splits before spaces.
"""
from collections.abc import Callable

ADJECTIVES = """
    amber ancient bitter bold brave bright broken calm clever cold copper crimson curious dark
    distant dusty eager early faint fierce foggy gentle giant golden grand green grey happy
    heavy hidden hollow honest humble icy idle jolly keen kind late lazy little lively lonely
    loud lucky mellow merry mild misty modest muddy narrow neat nimble noble odd old olive pale
    patient plain polite proud quick quiet rapid rare restless rough round royal rusty sandy
    scarlet secret shy silent silver simple sleepy slender slow small smooth soft solemn spare
    steady steep still stormy strange sturdy sunny swift tall tame tidy tiny tired vivid warm
    weary wild windy wise young
""".split()
NOUNS = """
    acorn anchor apple arrow badger bakery barn barrel basket beacon bell bench bird boat book
    bottle bridge brook broom bucket butcher cabin candle captain carpenter carriage castle cat
    cellar chair chapel clerk clock cloud coach coin comet compass cook cottage crane creek crow
    crown dancer deer desk doctor dog door dove dragon drum eagle engine falcon farmer feather
    fence ferry fiddle field fisherman flag flute forest fountain fox gardener gate ghost
    glacier goat goose grove guard hammer harbor hare harp hawk hedge heron hill horn horse
    hunter inn island jar judge kettle key king kite knight ladder lake lamp lantern lark
    library lighthouse lion lizard maple market mason meadow merchant mill miller miner mirror
    monk moon mountain mule nurse oak orchard otter owl painter palace parrot path peddler
    pepper pilot pine piper planet poet pond porter potter prince quarry queen rabbit raven
    river robin rope sailor scholar shepherd ship shore singer smith sparrow spider squirrel
    stable star stone storm stream swan tailor tavern teacher temple tiger tower trader traveler
    tree turtle valley village violin wagon walker wall warden weaver well whale wheel willow
    window wizard wolf woodpecker
""".split()
VERBS = """
    admired avoided borrowed carried chased circled copied counted covered crossed described
    drew followed found greeted guarded heard helped ignored joined kept left lifted loved
    measured met moved noticed opened painted passed pulled pushed reached remembered repaired
    saw searched shared sketched sold studied touched trusted visited warned watched welcomed
""".split()
PREPOSITIONS = """
    above across after against along around before behind below beside beyond by inside near
    outside past under
""".split()
TIMES = [
    "at dawn", "at dusk", "at midnight", "at noon", "all day", "in autumn", "in spring",
    "in summer", "in winter", "last night", "last week", "on Friday", "on Monday", "on Sunday",
    "on Thursday", "on Tuesday", "long ago", "once again", "that evening", "that morning",
    "this year", "yesterday",
]

CODE_DIGITS = 5

Slot = list[str]
Form = list[Slot]
Draw = Callable[[], float]  # uniform in [0, 1), such as random.Random(seed).random


def _spaced(words: list[str]) -> Slot:
    return [" " + word for word in words]


def _filler_forms() -> list[tuple[float, Form]]:
    adjective, noun, verb = _spaced(ADJECTIVES), _spaced(NOUNS), _spaced(VERBS)
    preposition, time = _spaced(PREPOSITIONS), _spaced(TIMES)
    capital_time = [t.capitalize() for t in TIMES]
    number = [f" {n}" for n in range(2, 100)]
    the, a, stop = [" the"], [" a"], ["."]
    return [
        (0.35, [["The"], adjective, noun, verb, the, noun, preposition, the, noun, time, stop]),
        (0.25, [["A"], adjective, noun, verb, the, adjective, noun, stop]),
        (0.20, [capital_time, [","], the, noun, verb, a, noun, [" and"], verb, the, adjective, noun, stop]),
        (0.10, [["There were"], number, adjective, [" days"], preposition, the, noun, stop]),
        (0.10, [["The"], noun, [" and"], the, noun, verb, the, adjective, noun, preposition, the, noun, stop]),
    ]


# Pairs (share of all filler sentences, form).
FILLER_FORMS = _filler_forms()


def pick(draw: Draw, items: list):
    return items[int(draw() * len(items))]


def pick_form(draw: Draw, forms: list) -> list:
    share = draw()
    for part, form in forms:
        share -= part
        if share < 0:
            return form
    return forms[-1][1]


def filler(draw: Draw) -> str:
    return "".join(pick(draw, slot) for slot in pick_form(draw, FILLER_FORMS))


def name(draw: Draw) -> str:
    return f"{pick(draw, ADJECTIVES)} {pick(draw, NOUNS)}"


def code(draw: Draw) -> str:
    return "".join(str(int(draw() * 10)) for _ in range(CODE_DIGITS))


def fact(of: str, code: str) -> str:
    return f"The code of the {of} is {code}."


def question(of: str) -> str:
    """The model goes on with a space, the code and a full stop."""
    return f"Question: what is the code of the {of}? Answer:"


def number_sentence(of: str, number: str) -> str:
    """A number of five digits about a name that is not its code."""
    adjective, noun = of.split()
    return f"There were {number} {adjective} days near the {noun}."
