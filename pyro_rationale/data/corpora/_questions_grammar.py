"""Words and sentence patterns of the planted questions (see `pyro_rationale.data.corpora.questions`).

A device, a part and a fault each have three wordings, no two of which share a word, with each other or with those of
anything else; nor do the other sentences hold any of their words. Patterns are space-separated words with slots: `{d}`
the device, `{p}` the part, `{f}` the fault, as a verb; `{g}` an aside. Words are spelled as the tokenizer reads them.
"""

from __future__ import annotations

DEVICES: tuple[tuple[str, str, str], ...] = (
    ("laptop", "notebook", "portable computer"),
    ("printer", "inkjet", "label plotter"),
    ("phone", "smartphone", "cellular handset"),
    ("fridge", "refrigerator", "food chiller"),
    ("bicycle", "pushbike", "pedal cycle"),
    ("camera", "camcorder", "reflex shooter"),
    ("oven", "stove", "baking range"),
    ("router", "gateway", "wireless box"),
    ("radio", "tuner", "music receiver"),
    ("vacuum", "hoover", "dust sucker"),
    ("desktop", "workstation", "office tower"),
    ("tablet", "slate", "touch pad"),
    ("television", "telly", "flat panel"),
    ("projector", "beamer", "slide caster"),
    ("dishwasher", "plate rinser", "crockery cleaner"),
    ("kettle", "boiler", "water heater"),
    ("lawnmower", "grasscutter", "turf trimmer"),
    ("scooter", "moped", "light motorbike"),
    ("drone", "quadcopter", "flying robot"),
    ("scanner", "digitiser", "document reader"),
)

PARTS: tuple[tuple[str, str, str], ...] = (
    ("display", "screen", "viewing glass"),
    ("battery", "accumulator", "energy cell"),
    ("fan", "ventilator", "cooling blower"),
    ("switch", "toggle", "rocker button"),
    ("cable", "lead", "connecting cord"),
    ("motor", "engine", "drive unit"),
    ("hinge", "joint", "folding pivot"),
    ("lid", "cover", "top flap"),
    ("filter", "sieve", "mesh strainer"),
    ("sensor", "detector", "measuring probe"),
    ("speaker", "loudspeaker", "sound horn"),
    ("antenna", "aerial", "signal rod"),
)

FAULTS: tuple[tuple[str, str, str], ...] = (
    ("overheats", "runs hot", "burns fingers"),
    ("rattles", "clatters loudly", "makes noise"),
    ("flickers", "blinks nonstop", "pulses oddly"),
    ("freezes", "hangs forever", "stalls midway"),
    ("leaks", "drips", "loses fluid"),
    ("smokes", "smells scorched", "emits fumes"),
    ("sticks", "jams", "gets wedged"),
    ("cracks", "splits lengthwise", "breaks apart"),
    ("quits", "dies suddenly", "shuts down"),
    ("shakes", "vibrates", "wobbles badly"),
)

# By what a title says.
TITLES: dict[str, tuple[str, ...]] = {
    "dpf": (
        "the {p} of my {d} {f}",
        "{d} : why is it that its {p} {f} ?",
        "help with this {d} whose {p} {f}",
        "{p} of this {d} {f} , what can i do ?",
        "on my {d} the {p} {f}",
    ),
    "dp": (
        "what is wrong with the {p} of my {d} ?",
        "{d} : trouble with its {p}",
        "question on the {p} of my {d}",
        "how do i repair the {p} of this {d} ?",
    ),
    "df": (
        "my {d} {f} , any ideas ?",
        "{d} {f} , what can i do ?",
        "why is it that this {d} {f} ?",
        "help , my {d} {f}",
    ),
    "pf": (
        "the {p} {f} , any ideas ?",
        "{p} {f} , what can i do ?",
        "why is it that the {p} {f} ?",
        "help , its {p} {f}",
    ),
    "d": ("trouble with my {d}", "question on my {d}", "can anybody help me with this {d} ?"),
    "p": ("trouble with the {p}", "what is wrong with the {p} ?", "how do i repair this {p} ?"),
    "f": ("why is it that it {f} ?", "help , it {f}", "it {f} , any ideas ?"),
    "": ("please help", "any ideas on this ?", "a question for you all"),
}

# By what the sentence says; one of them states all that is said in the body.
STATEMENTS: dict[str, tuple[str, ...]] = {
    "dpf": (
        "since {g} the {p} of my {d} {f} .",
        "i have this {d} , and its {p} {f} .",
        "the trouble is that the {p} on this {d} {f} .",
        "with my {d} it is always the same : the {p} {f} .",
        "whenever i use the {d} , the {p} {f} after a while .",
    ),
    "dp": (
        "since {g} there is trouble with the {p} of my {d} .",
        "i have this {d} , and its {p} is not as it ought to be .",
        "the trouble with this {d} is the {p} .",
    ),
    "df": (
        "since {g} my {d} {f} .",
        "i have this {d} , and it {f} .",
        "whenever i use the {d} , it {f} after a while .",
    ),
    "pf": (
        "since {g} the {p} {f} .",
        "the trouble is that the {p} {f} .",
        "whenever i use it , the {p} {f} after a while .",
    ),
    "d": ("since {g} there is trouble with my {d} .", "i have this {d} that is not as it ought to be ."),
    "p": ("since {g} there is trouble with the {p} .", "the {p} is not as it ought to be ."),
    "f": ("since {g} it {f} .", "the trouble is that it {f} ."),
    "": ("since {g} it is not as it ought to be .",),
}

# What was tried: with the device, the part or the fault once more, or with none of them.
TRIED: dict[str, tuple[str, ...]] = {
    "d": (
        "i took the {d} to a shop nearby , where nobody knew what to do .",
        "a friend has the same {d} and no trouble at all .",
        "i let the {d} rest for a day before i tried again .",
    ),
    "p": (
        "i took the {p} out and put it back in .",
        "a new {p} costs more than i want to pay .",
        "i looked at the {p} with a lamp and saw nothing .",
    ),
    "f": (
        "it {f} no matter what i do .",
        "when it is cold it {f} even more often .",
        "it {f} mostly in the evening .",
    ),
    "": (
        "i read the manual twice , without success .",
        "i cleaned everything that i could reach .",
        "i wrote to the maker , who has not answered .",
        "i asked a neighbour , who had no idea .",
        "i have loosened and tightened every screw .",
        "pulling the plug for an hour did not change anything .",
        "i have looked through older threads here , and none of them helped .",
    ),
}

# The other part and fault are said to be fine.
FINE: tuple[str, ...] = (
    "it is not that the {p} {f} , as others write .",
    "nor is it true for mine that the {p} {f} .",
    "i never saw that the {p} {f} , so that is fine .",
    "some say that the {p} {f} , but not so in my case .",
    "i made sure that it is no case where the {p} {f} .",
)

ASIDES: tuple[str, ...] = (
    "last week", "yesterday", "the summer", "about a month ago", "my holidays", "new year", "we moved house",
)  # fmt: skip

GREETINGS: tuple[str, ...] = (
    "hello everyone .", "hi all , this is my first post here .", "good evening .", "hello , i hope somebody can help .",
    "dear forum ,", "greetings from up north .",
)  # fmt: skip

MACHINE: tuple[str, ...] = (
    "it is about three years old and was bought second hand .",
    "it came from a large store in town and is still under warranty .",
    "the model is from 2015 , with all updates .",
    "my uncle gave it to me , so i do not know much of its past .",
    "it stands in the cellar and is in use nearly every day .",
    "i bought it online for half of the usual price .",
    "there is a sticker with a number on its back that i can post .",
)

FILLERS: tuple[str, ...] = (
    "i am no expert , so please use plain words .",
    "maybe it is something simple that i have missed .",
    "english is not my mother tongue , sorry for mistakes .",
    "i would rather not throw it away .",
    "money is tight at the moment .",
    "my family is not happy about this .",
    "i can send pictures if that helps .",
    "it did its work for years before .",
    "the weather here has been humid lately .",
    "i live far from any repair shop .",
    "others in my street have told me to give up .",
    "it happened for the first time on a sunday .",
    "i do have some basic tools at home .",
    "i am a bit worried about safety , too .",
)

THANKS: tuple[str, ...] = (
    "thanks in advance .", "any hint is welcome .", "many thanks for reading .", "thank you , and best wishes .",
    "cheers .",
)  # fmt: skip
