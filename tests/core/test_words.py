import unicodedata

import pytest

from nilatron.core.words import counted, message, shown


@pytest.mark.parametrize(("number", "expected"), [(0, "0 images"), (1, "1 image"), (2, "2 images")])
def test_one_is_not_many(number, expected):
    assert counted(number, "image") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t2_tse Schädel µ", "t2_tse Schädel µ"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb\r\x85\u2028c", r"a\nb\r\x85\u2028c"),
        ("\x9b2J\x07\x7f\0", r"\x9b2J\x07\x7f\x00"),
        ("gpj\u202eexe.\u2066\u200f\ufeff\U000e0041", r"gpj\u202eexe.\u2066\u200f\ufeff\U000e0041"),
        ("caf\udce9", r"caf\udce9"),
        ("東京\u3000\xa0x", "東京\u3000\xa0x"),
    ],
)
def test_nothing_that_is_shown_has_power_over_who_shows_it(text, expected):
    assert shown(text) == expected
    assert shown(expected) == expected


@pytest.mark.slow
def test_every_character_is_shown_or_escaped():
    for code in range(0x110000):
        assert shown(chr(code)).replace(" ", "").replace("\xa0", "").encode("utf-8", "strict") is not None
        assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(c) for c in shown(chr(code))}


def test_a_message_is_cut():
    assert message("a" * 4000) == "a" * 4000
    assert message("\n" * 5001, 10) == r"\n" * 10 + "... (4991 more characters)"
