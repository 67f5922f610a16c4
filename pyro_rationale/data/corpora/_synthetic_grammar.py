"""Words and sentence patterns of the synthetic reviews (see `pyro_rationale.data.corpora.synthetic`).

Patterns are space-separated words with slots: `{n}` a noun of the topic, `{o}` an opinion word, `{m}` a neutral
adverb, `{t}` a neutral tail, `{p}` a person. Every topic uses the same patterns and the same opinion words: only
the noun says what a clause is about. Words are spelled as the tokenizer reads them.
"""

from __future__ import annotations

RATED: dict[str, tuple[str, ...]] = {
    "appearance": ("head", "colour", "lacing", "foam", "haze", "hue", "look", "clarity"),
    "aroma": ("aroma", "nose", "smell", "scent", "bouquet", "fragrance", "whiff", "perfume"),
    "palate": ("mouthfeel", "body", "carbonation", "texture", "palate", "fizz", "weight", "density"),
    "taste": ("taste", "flavour", "aftertaste", "sweetness", "bitterness", "malt", "tang", "finish"),
}

UNRATED: dict[str, tuple[str, ...]] = {
    "label": ("label", "bottle", "drawing", "logo", "typeface", "sticker", "cap", "slogan"),
    "price": ("price", "bill", "cost", "discount", "deal", "surcharge", "offer", "deposit"),
    "bar": ("bar", "band", "sofa", "crowd", "terrace", "waiter", "service", "jukebox"),
    "delivery": ("delivery", "courier", "package", "parcel", "wrapper", "shipment", "crate", "van"),
}

# Seven grades, from strongly negative to strongly positive, twelve words each.
OPINIONS: tuple[tuple[str, ...], ...] = (
    (
        "awful", "terrible", "horrible", "dreadful", "atrocious", "appalling",
        "abysmal", "hideous", "ghastly", "wretched", "dire", "vile",
    ),
    (
        "bad", "poor", "unpleasant", "shabby", "lousy", "nasty",
        "disappointing", "sorry", "botched", "clumsy", "feeble", "crude",
    ),
    (
        "dull", "mediocre", "bland", "uninspired", "forgettable", "lacklustre",
        "tired", "flat", "underwhelming", "drab", "limp", "dreary",
    ),
    (
        "ordinary", "average", "passable", "middling", "unremarkable", "adequate",
        "standard", "tolerable", "fair", "acceptable", "moderate", "neutral",
    ),
    (
        "decent", "nice", "pleasant", "solid", "agreeable", "likeable",
        "respectable", "neat", "fine", "good", "tidy", "worthy",
    ),
    (
        "great", "lovely", "delightful", "impressive", "charming", "admirable",
        "terrific", "beautiful", "splendid", "excellent", "fantastic", "handsome",
    ),
    (
        "superb", "magnificent", "stunning", "perfect", "outstanding", "exquisite",
        "glorious", "sublime", "flawless", "heavenly", "breathtaking", "marvellous",
    ),
)  # fmt: skip

ADVERBS: tuple[str, ...] = (
    "frankly", "honestly", "somehow", "simply", "clearly", "truly", "plainly", "oddly", "quietly", "curiously",
)  # fmt: skip
TAILS: tuple[str, ...] = (
    "to my mind", "if you ask me", "this time", "that evening", "all night", "on the whole", "for once",
    "by any measure", "from start to end", "once more", "so my notes say", "as ever",
)  # fmt: skip
PEOPLE: tuple[str, ...] = (
    "my brother", "my aunt", "the neighbour", "our landlord",
    "a colleague", "my dentist", "the vicar", "a stranger",
)  # fmt: skip

# By number of opinion words: one, two, three.
CLAUSES: tuple[tuple[str, ...], ...] = (
    (
        "the {n} was {o} {t}",
        "the {n} is {m} {o}",
        "i found the {n} {m} {o}",
        "{o} is my word for the {n}",
        "we got a {o} {n} {t}",
        "there was a {m} {o} {n}",
        "what a {o} {n} this was",
        "as for the {n} , call it {o}",
        "{m} {o} , {t} , was the {n}",
        "the {n} , {t} , was {o}",
        "{p} called the {n} {m} {o}",
        "the {n} struck {p} as {o}",
        "there was something {o} about the {n}",
    ),
    (
        "the {n} was {o} and {m} {o}",
        "the {n} was {o} , {t} even {o}",
        "{o} and {o} , that was the {n}",
        "i call the {n} {o} , even {o}",
        "it was a {o} and {m} {o} {n}",
        "such a {o} {n} , and {m} {o}",
        "at first the {n} seemed {o} , then {o}",
        "a {o} {n} left {p} with a {o} memory",
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

# What stands between two clauses, and how often. After SOFT ones a clause goes on in the same sentence: they stand
# only before clauses that open with one of STARTS ("while such a dull nose" is no English).
SOFT: tuple[str, ...] = (", and", ", while", "and", ", then again")
HARD: tuple[str, ...] = (".", ".", ".", ".", ".", ".", ".", ";", "!")
SOFT_SHARE = 0.35
STARTS = frozenset({"the", "i", "we", "it", "my", "our", "this", "there", "nobody"})
SENTENCE_ENDS = frozenset({"!", "."})

AN_BEFORE = tuple("aeiou")
AN_ALSO_BEFORE = frozenset({"honestly"})
