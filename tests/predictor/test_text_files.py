"""JSON in files: what the store cannot hold is refused like what is no JSON."""

import pytest

from predictor.text_files import parse_json


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "too many lists or objects inside each other"),
        ("[9223372036854775808]", "more than 64 bits"),
        ("-1" + "0" * 5000, "more than 64 bits"),
        (r'["\ud800"]', "surrogates not allowed"),
        (r'{"\uDFFF": 1}', "surrogates not allowed"),
        ("{", "Expecting"),
        (b"\xff\xfe\xff", "decode"),
    ],
)
def test_refused(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_accepted() -> None:
    assert parse_json(r'[9223372036854775807, "\ud83d\ude00", 1e9, "\\\\ud800"]') == [
        2**63 - 1,
        "\U0001f600",
        1e9,
        r"\\ud800",
    ]
