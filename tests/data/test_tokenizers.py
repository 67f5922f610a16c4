"""Words, and the characters they stand for."""
# ruff: noqa: RUF001  characters that look like others are the point

from __future__ import annotations

import re
import sys
import time
import unicodedata
from itertools import count
from pathlib import Path
from typing import Literal

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_rationale.data import CORPORA, DataOptions
from pyro_rationale.data.tokenizers import TOKENIZERS, TRUSTED
from pyro_rationale.data.tokenizers.unicode import _RARE, clean, tokenize
from pyro_rationale.data.tokenizers.words import tokenize as tokenize_words
from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.optional import install_command
from pyro_rationale.options import options_from
from tests.support.small_fit import fit_small

_PIECES = [
    "n't", "'t", "don't", "'s", "'LL", "x'sy", "N'T", "n'tx", "3.5", "4,000", "1.", "90s", "90n't", "abc1n't", "..",
    "-", "--", "'", "''", "_", "__", "<br/>", "<br />", "<BR>", "<br x", "<<br>", "<b>", " ", "\t", "\0", "\x1f",
    "!!!", "1:2:",
]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=12), st.sampled_from([None, 1, 5]))
@settings(max_examples=200, deadline=None)
def test_plain_texts_are_cut_by_the_short_pattern_as_by_the_long_one(pieces: list[str], limit: int | None) -> None:
    text = "".join(pieces)
    assert tokenize_words(text, limit) == tokenize_words.by_pattern(text, limit)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The head WAS Lovely.", "the head was lovely ."),
        ("Don't, can’t, isn't it's I'm they've", "do n't , ca n't , is n't it 's i 'm they 've"),
        ("n't N'T", "n't n't"),
        ("rock'n'roll", "rock ' n ' roll"),
        ("a well-made film -- or not — so…", "a well - made film -- or not -- so ..."),
        ("Wait... what?! No!!!!", "wait ... what ? ! no !"),
        (
            "3.5 of 4,000 at 11:30, 90s, 1st, 5-star, $9.99",
            "3.5 of 4,000 at 11:30 , 90s , 1st , 5 - star , $ 9.99",
        ),
        ("ends in 7.", "ends in 7 ."),
        ("“quoted” ‘single’ snake_case __init__", "\" quoted \" ' single ' snake _ case _ init _"),
        ("\u4e2d\u6587 ok", "\u4e2d \u6587 ok"),
        ("", ""),
        (" \t\n\u00a0", ""),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert list(tokenize(text)[0]) == expected.split()
    assert tokenize_words(text) == tokenize(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one<br /><BR/>two <b>", "one two < b >"),
        ("zero\u200bwidth \ufeffmark\x00 soft\u00ad", "zero width mark soft"),
        ("Cafe\u0301 na\u00efve Stra\u00dfe", "cafe\u0301 na\u00efve stra\u00dfe"),
        ("caf&eacute;", "caf & eacute ;"),
    ],
)
def test_the_words_of_older_runs(text: str, expected: str) -> None:
    """These rules stay, since vocabularies of runs of version 0.2 were made by them."""
    assert list(tokenize_words(text)[0]) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\u0996\u09be\u09ac\u09be\u09b0 \u0996\u09c1\u09ac", "\u0996\u09be\u09ac\u09be\u09b0 \u0996\u09c1\u09ac"),
        *[(text, text) for text in (
            "খারাপ ছিল", "தமிழ் மொழி", "తెలుగు భాష", "ગુજરાતી", "ਪੰਜਾਬੀ", "ಕನ್ನಡ", "മലയാളം", "සිංහල", "မြန်မာစာ", "ភាសាខ្មែរ",
            "ພາສາລາວ", "हिन्दी", "עִבְרִית", "العَرَبِيَّة", "ខ្ញុំ",
        )],
        ("བོད་སྐད།", "བོད སྐད །"),
        ("👍🏽👍🏽 👍👍🏽 👨‍👩‍👧‍👦! 😂😂😂", "👍🏽 👍 👍🏽 👨‍👩‍👧‍👦 ! 😂"),
        ("🇺🇸🇺🇸🇬🇧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏳️‍🌈", "🇺🇸 🇬🇧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏳‍🌈"),
        ("❤️❤️ ☺️ ❤️‍🔥 1️⃣", "❤ ☺ ❤‍🔥 1⃣"),
        ("soft\u00adware won\u200bderful w\u2060o\ufeffrd\u200e", "software wonderful word"),
        ("ไทย\u200bภาษา", "ไทย ภาษา"),
        ("می\u200cخواهم", "میخواهم"),
        ("Cafe\u0301 A\u030angstro\u0308m", "caf\u00e9 \u00e5ngstr\u00f6m"),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af ㅋㅋㅋ", "한글 ㅋㅋㅋ"),
        ("か\u3099 ｶﾞｷﾞ", "が ガ ギ"),
        ("Ｆｕｌｌ　３．５！！", "full 3.5 !"),
        ("ﬁne oﬃce 𝓰𝓸𝓸𝓭 ſhip", "fine office good ship"),
        ("½ m² Windows™ 1º it´s №", "½ m² windows ™ 1º it ´ s №"),
        ("Q&amp;A it&#39;s caf&eacute;&nbsp;&quot;x&quot; &amp;amp; &amp;#39;s", "q & a it 's café \" x \" & 's"),
        ("AT&T; R&D &bogus; x&shy;y &#xFF21;", "at & t ; r & d & bogus ; xy a"),
        ("<p>Hi</p><b>good</b><br>&lt;br /&gt; <a href=\"x.y\">link</a><!-- no -->.", "hi good link ."),
        ("5 < 6 <3 a <b c> x<y>z", "5 < 6 < 3 a < b c > x < y > z"),
        (r"staff.\nThe bill\r\n\nPros:\nGood\\nBad \n", "staff . the bill pros : good bad"),
        (r"C:\new\names", r"c : \ new \ names"),
        ("\u0301x !!\u0301", "\u0301 x ! !\u0301"),
        ("«ιδέα» (Ιδέα) \u0e01", "« ιδέα » ( ιδέα ) \u0e01"),  # where case does not matter, U+0345 is an iota
    ],
)
def test_scripts_symbols_and_markup(text: str, expected: str) -> None:
    assert list(tokenize(text)[0]) == expected.split()


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_a_text_is_read_alike_in_every_normal_form(form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
    text = "Café naïve Ångström ｶﾞ ﬁne 한글 খাবার Việt ệ \u1e9b\u0323 ς"
    assert tokenize(unicodedata.normalize(form, text))[0] == tokenize(text)[0]


@pytest.mark.parametrize("corpus", ["movie-sentences", "synthetic"])
def test_english_is_cut_as_ever(corpus: str) -> None:
    documents = CORPORA[corpus].load(DataOptions(data=corpus, documents=400), None).train
    assert all(tokenize_words(document.text) == (document.tokens, document.offsets) for document in documents[::4])


def test_offsets_point_at_the_words() -> None:
    text = "caf&eacute; x<b>Cafe\u0301</b> so\u00adft ﬁne❤️ &amp;"
    assert [text[a:b] for a, b in tokenize(text)[1]] == [
        "caf&eacute;", "x", "Cafe\u0301", "so\u00adft", "ﬁne", "❤️", "&amp;"
    ]
    text = "It's \u201cGOOD\u201d\u2026 <br/>don't!!"
    tokens, offsets = tokenize(text)
    assert [text[a:b] for a, b in offsets] == ["It", "'s", "\u201c", "GOOD", "\u201d", "\u2026", "do", "n't", "!!"]
    assert len(tokens) == len(offsets)


ODD = "a B é \u0301 \u200d \ufe0f ❤ 👍 \U0001f3fd \U0001f1fa & ; amp &amp; &#39; n't < </b> \\ n . \u00ad ﬁ ŉ ﷺ ก 人 ｶ ﾞ"


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from([*ODD.split(), " "]), max_size=12).map("".join)))
@pytest.mark.parametrize("name", ["unicode", "words", "icu"])
def test_any_text_gives_ordered_disjoint_tokens_that_cover_its_letters(name: str, text: str) -> None:
    if name == "icu":
        pytest.importorskip("icu4py")
    tokens, offsets = TOKENIZERS[name](text)
    assert len(tokens) == len(offsets)
    assert all(token and not token.isspace() for token in tokens)
    ends = [0, *(end for _, end in offsets)]
    assert all(before <= start < end <= len(text) for before, (start, end) in zip(ends, offsets, strict=False))
    covered = {i for start, end in offsets for i in range(start, end)}
    if not set("<&\\") & set(text):
        assert all(i in covered for i, c in enumerate(text) if c.isalnum())
    assert not any(c.isspace() for i, c in enumerate(text) if i in covered)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(max_codepoint=0x3100, exclude_categories=["Cs", "Mn", "Me", "Cn"]), max_size=30))
def test_usual_characters_are_cut_by_either_pattern_alike(text: str) -> None:
    """Texts without rare characters take the quicker of the two."""
    cleaned, _ = clean(text)
    if not _RARE.search(cleaned):
        assert tokenize.by_pattern(cleaned, None) == tokenize_words(cleaned)


@pytest.mark.parametrize(
    "part",
    ["\\", "\\r", "<!--", "<a ", "<a b=c ", "&", "&amp;", "amp;", "&lt;a x=\"", "a:\\ ", "a:\\n", "\u0301\u0316",
     "ﬁ\u00ad", "\u200d👍", "\U0001f1e6", "'n't"],
)  # fmt: skip
def test_no_text_takes_quadratic_time(part: str) -> None:
    started = time.process_time()
    tokenize("a&<a" + part * (60_000 // len(part)))
    assert time.process_time() - started < 3


@given(st.lists(st.sampled_from("head don't 3.5 ... ! , it's the -- caf\u00e9 o'clock".split()), max_size=12))
def test_tokens_are_their_own_tokens(words: list[str]) -> None:
    """Reading the tokens again changes nothing, so that a text once tokenized can be stored and read back."""
    tokens, _ = tokenize(" ".join(words))
    assert tokenize(" ".join(tokens))[0] == tokens


def test_the_first_tokens_are_those_of_the_whole_text() -> None:
    text = " ".join(f"don't stop-{i} at <br/> antidisestablishmentarianism's door..." for i in range(300))
    tokens, offsets = tokenize(text)
    for limit in (0, 1, 2, 3, 10, 101, 10_000, None):
        assert tokenize(text, limit) == (tokens[:limit], offsets[:limit])


def test_the_former_import_path_still_works() -> None:
    from pyro_rationale.data.tokenize import tokenize as former

    assert former is tokenize is TOKENIZERS["unicode"]


def test_dictionaries_cut_scripts_without_spaces() -> None:
    pytest.importorskip("icu4py")
    text = "😀ฉันรักอาหารไทย, 料理はまずいです It's café 𠮷野家 我喜欢北京大学"
    expected = "😀 ฉัน รัก อาหาร ไทย , 料理 は まずい です it 's café 𠮷 野家 我 喜欢 北京 大学".split()
    tokens, offsets = TOKENIZERS["icu"](text)
    assert list(tokens) == expected
    assert "".join(text[a:b] for a, b in offsets).lower() == "".join(expected)
    assert TOKENIZERS["icu"](text, 3) == (tokens[:3], offsets[:3])


def test_a_missing_dictionary_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "icu4py.breakers", None)
    with pytest.raises(ConfigError, match=rf"--tokenizer icu needs .*: {re.escape(install_command('icu'))}"):
        TOKENIZERS["icu"]("ไทย")


NUMBERS = count()
OWN = """
def cut(text): return text.split("|")
def lower(text): return [(word.lower(), (text.index(word), text.index(word) + len(word))) for word in text.split()]
def invented(text): return ["elsewhere"]
def numbers(text): return [1]
def fails(text): return 1 / 0
class Cutter:
    version = "7"
    def __call__(self, text, limit=None): return (text,), ((0, len(text)),)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_cutter_{next(NUMBERS)}"  # another one in each test: a registry keeps what it has loaded
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_function_of_the_users_own(own: str) -> None:
    assert TOKENIZERS[f"{own}:cut"]("北京| |饭 菜") == (("北京", "饭 菜"), ((0, 2), (5, 8)))
    assert TOKENIZERS[f"{own}:cut"]("a|b|c", 2)[0] == ("a", "b")
    assert TOKENIZERS[f"{own}:lower"]("Good SOUP") == (("good", "soup"), ((0, 4), (5, 9)))
    assert TOKENIZERS[f"{own}:Cutter"].version == "7"
    assert own in TOKENIZERS[f"{own}:cut"].version


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("own_cutter:invented", "returned 'elsewhere', which is not in the text from character 0 on"),
        ("own_cutter:numbers", "expected words, or pairs of a word and"),
        ("own_cutter:fails", "fails on the text 'some text' .ZeroDivisionError"),
        ("own_cutter:none", "cannot be imported"),
        ("no_such_module:cut", "cannot be imported"),
        ("os:sep", "expected a function, got str"),
        ("wrods", "expected one of unicode, words, icu, got 'wrods'; did you mean words"),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_named(own: str, name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as error:
        TOKENIZERS[name.replace("own_cutter", own)]("some text")
    assert "--tokenizer" in str(error.value)


def test_a_run_goes_on_with_its_function_and_only_if_it_is_trusted(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("text,rating\n" + "".join(f"a soup|no. {i}|{i % 5}|,{i % 5}\n" for i in range(40)))
    folder = tmp_path / "run"
    fit_small(folder, data=str(table), target_column=("rating",), tokenizer=f"{own}:cut", min_count=1)
    monkeypatch.delitem(sys.modules, own)
    monkeypatch.delitem(TOKENIZERS._loaded, f"{own}:cut")
    with pytest.raises(ConfigError, match=f"config.json: .* set {TRUSTED}={own}:cut"):
        FittedModel.load(folder)
    assert own not in sys.modules
    monkeypatch.setenv(TRUSTED, f"{own}:cut")
    assert FittedModel.load(folder).explain("a soup|no. 7")[0].tokens == ("a soup", "no. 7")


def test_a_flag_names_a_function_that_exists(own: str) -> None:
    said = options("--tokenizer", f"{own}:none")
    assert said.exit_code
    assert isinstance(said.exception, ConfigError)
    assert options("--tokenizer", f"{own}:cut").output == f"{own}:cut\n"
    assert "'icu'" in options("--tokenizer", "wrods").output


def options(*words: str) -> Result:
    @click.command()
    @options_from(DataOptions)
    def show(data: DataOptions) -> None:
        click.echo(data.tokenizer)

    return CliRunner().invoke(show, words)


def test_a_folder_imports_nothing_by_itself(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{own}:cut"
    TOKENIZERS.check_trusted("words", "run")
    for imported in ("os:system", "builtins:eval"):
        with pytest.raises(ConfigError, match="code that a run folder may not import by itself"):
            TOKENIZERS.check_trusted(imported, "run")
    with pytest.raises(ConfigError, match=f"run: .* set {TRUSTED}={name}"):
        TOKENIZERS.check_trusted(name, "run")
    assert own not in sys.modules
    monkeypatch.setenv(TRUSTED, name)
    TOKENIZERS.check_trusted(name, "run")
    monkeypatch.delenv(TRUSTED)
    TOKENIZERS[name]("a soup")
    TOKENIZERS.check_trusted(name, "run")
