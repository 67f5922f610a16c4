"""Words and sentence patterns of the planted reviews (see `pyro_rationale.data.synthetic`).

Patterns are strings of space-separated words with slots: `{n}` a noun of the topic, `{o}` an opinion word, `{m}` a
neutral adverb, `{t}` a neutral tail, `{p}` a person. Every topic uses the same patterns and the same opinion words, so
that only the noun says what a clause is about. Words come in the spelling of the tokenizer: `did n't`, `it 's`.
"""

from __future__ import annotations

RATED: dict[str, tuple[str, ...]] = {
    "appearance": ("head", "colour", "lacing", "foam", "haze", "hue", "look", "clarity"),
    "aroma": ("aroma", "nose", "smell", "scent", "bouquet", "fragrance", "whiff", "perfume"),
    "palate": ("mouthfeel", "body", "carbonation", "texture", "palate", "fizz", "weight", "creaminess"),
    "taste": ("taste", "flavour", "aftertaste", "sweetness", "bitterness", "malt", "tang", "finish"),
}

UNRATED: dict[str, tuple[str, ...]] = {
    "label": ("label", "bottle", "artwork", "logo", "lettering", "sticker", "cap", "slogan"),
    "price": ("price", "bill", "cost", "discount", "deal", "charge", "offer", "markup"),
    "bar": ("bar", "music", "seating", "crowd", "terrace", "lighting", "service", "jukebox"),
    "delivery": ("delivery", "courier", "packaging", "parcel", "wrapping", "shipment", "crate", "padding"),
}

# Seven grades, from strongly negative to strongly positive, twelve words each.
OPINIONS: tuple[tuple[str, ...], ...] = (
    tuple("awful terrible horrible dreadful atrocious appalling abysmal hideous ghastly wretched dire vile".split()),
    tuple("bad poor unpleasant shabby lousy nasty disappointing sorry botched clumsy feeble crude".split()),
    tuple("dull mediocre bland uninspired forgettable lacklustre tired flat underwhelming drab limp dreary".split()),
    tuple("ordinary average passable middling unremarkable adequate standard tolerable fair okay usual neutral".split()),
    tuple("decent nice pleasant solid agreeable likeable respectable neat fine good tidy worthy".split()),
    tuple("great lovely delightful impressive charming admirable terrific beautiful splendid excellent fantastic "
          "handsome".split()),
    tuple("superb magnificent stunning perfect outstanding exquisite glorious sublime flawless heavenly breathtaking "
          "marvellous".split()),
)  # fmt: skip

ADVERBS: tuple[str, ...] = tuple("frankly honestly somehow simply clearly truly indeed oddly again still".split())
TAILS: tuple[str, ...] = (
    "to my mind", "if you ask me", "this time", "that evening", "all night", "on the whole", "this month", "for once",
    "by any measure", "from start to end", "once more", "so my notes say",
)  # fmt: skip
PEOPLE: tuple[str, ...] = (
    "my brother", "my aunt", "the neighbour", "our landlord", "a colleague", "my dentist", "the vicar", "a stranger",
)  # fmt: skip

# By number of opinion words: one, two, three.
CLAUSES: tuple[tuple[str, ...], ...] = (
    (
        "the {n} was {o} {t}",
        "the {n} is {m} {o}",
        "i found the {n} {m} {o}",
        "{o} is my word for the {n}",
        "we got a {o} {n} {t}",
        "it has a {m} {o} {n}",
        "what a {o} {n} this was",
        "as for the {n} , call it {o}",
        "{m} {o} , {t} , was the {n}",
        "the {n} , {t} , was {o}",
        "{p} called the {n} {m} {o}",
        "its {n} struck {p} as {o}",
        "there was something {o} about the {n}",
    ),
    (
        "the {n} was {o} and {m} {o}",
        "the {n} was {o} , {t} even {o}",
        "{o} and {o} , that was the {n}",
        "i call the {n} {o} , even {o}",
        "it was a {o} and {m} {o} {n}",
        "such a {o} {n} , and {m} {o}",
        "first the {n} seemed {o} , then {o}",
        "its {o} {n} left {p} with a {o} memory",
        "a {o} , {o} {n} it was {t}",
        "{o} , said {p} of the {n} , and {o}",
        "expect a {o} {n} , {m} a {o} one",
    ),
    (
        "the {n} was {o} , {o} and {o}",
        "a {o} , {o} {n} , in short {o}",
        "{o} , {o} and {m} {o} was the {n}",
        "i noted a {o} {n} , {o} and {o}",
        "the {n} , {o} at first , turned {o} and {o}",
        "my words for the {n} are {o} , {o} , {o}",
        "{p} found a {o} {n} , {o} or even {o}",
    ),
)

# No opinion. The first group names a noun of any topic, so that a noun alone does not make a rationale.
FILLERS_WITH_NOUN: tuple[str, ...] = (
    "{p} asked me about the {n}",
    "i forgot to write down the {n}",
    "we talked about the {n} until midnight",
    "{p} had read about the {n} somewhere",
    "there is a chapter on the {n} in some book",
    "i took a picture of the {n}",
    "{p} wanted to compare the {n} with last year",
    "nobody had warned us about the {n}",
)
FILLERS: tuple[str, ...] = (
    "i drank it on a tuesday with {p}",
    "we had it next to a bowl of soup",
    "{p} was late because of the rain",
    "the second one went to {p}",
    "this was brewed somewhere near the coast",
    "i poured it into a jam jar {t}",
    "we sat outside and counted the buses",
    "{p} told the story about the goose {t}",
    "it comes in three sizes these days",
    "i have tried about forty of these since april",
    "the dog slept under the table {t}",
    "my train left at half past nine",
    "{p} brought crisps and a pack of cards",
    "it was made with oats and river water",
    "we read the small print {t}",
    "i wrote this on the back of a ticket",
)

# What stands between two clauses, with the chance of each; the last two start a new sentence.
LINKS: tuple[tuple[str, int], ...] = (
    (", and", 10), (";", 8), (", while", 6), ("and", 6), (", then again", 2), ("!", 6), (".", 62),
)  # fmt: skip
SENTENCE_ENDS = ("!", ".")
