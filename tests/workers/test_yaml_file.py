"""YAML that users write: tags, aliases and numbers that nothing here could handle are refused in one line."""

import pytest

from workers.yaml_file import parse_yaml

_LAUGHS = "a: &a [x, x]\n" + "b: &b0 [*a, *a]\n" + "".join(f"k{n}: &b{n + 1} [*b{n}, *b{n}]\n" for n in range(30))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: !!int ''", "index out of range"),
        ("a: !!float ''", "index out of range|could not convert"),
        ("a: !!bool x", "'x'"),
        ("a: !!timestamp x", "groupdict"),
        ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("{" * 3000, "inside each other"),
        ("a: &a [*a]", "an alias inside of what it names"),
        (_LAUGHS, "more than 100000 values"),
        ("a: 0x" + "f" * 17, "more than 64 bits"),
        ("a: [", "while parsing"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_aliases_are_used() -> None:
    assert parse_yaml("a: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}") == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}
