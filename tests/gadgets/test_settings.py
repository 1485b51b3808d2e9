from dataclasses import dataclass

import pytest

from nilatron.gadgets.settings import SettingsError, from_properties


@dataclass(frozen=True)
class Settings:
    steps: int = 6
    strength: float = 0.5
    exact: bool = False
    mode: str = "auto"
    seed: int | None = 3
    series: tuple[str, ...] = ("a",)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")


def test_texts_become_values_and_the_rest_keeps_its_default():
    texts = {"steps": " 8 ", "strength": "1e-3", "exact": "Yes", "seed": "auto", "series": "a, b,"}
    assert from_properties(Settings, texts, "gadget") == Settings(8, 1e-3, True, "auto", None, ("a", "b"))
    assert from_properties(Settings, {}, "gadget") == Settings()


@pytest.mark.parametrize(("word", "value"), [("true", True), ("1", True), ("on", True), ("no", False), ("0", False)])
def test_words_for_true_and_false(word, value):
    assert from_properties(Settings, {"exact": word}, "gadget").exact is value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("stpes", "6", r"gadget has no property 'stpes'; it has: exact, mode, seed, series, steps, strength"),
        ("steps", "six", r"gadget: property 'steps' cannot be 'six': expected a whole number"),
        ("steps", "6.5", r"expected a whole number"),
        ("strength", "much", r"expected a number"),
        ("exact", "maybe", r"expected true or false"),
        ("seed", "first", r"'seed' cannot be 'first': expected a whole number"),
        ("steps", "0", r"gadget: steps must be at least 1, got 0"),
    ],
)
def test_errors_name_gadget_and_property(name, text, message):
    with pytest.raises(SettingsError, match=message):
        from_properties(Settings, {name: text}, "gadget")
