"""Every refusal has a row in the table, and the table says what the protocol page says."""

import re
from pathlib import Path

import pytest

from signaling.errors import REASONS, Refusal
from signaling.messages import CloseCode, Error

PAGE = Path(__file__).parents[2] / "docs" / "protocol-signaling.md"


def test_every_code_has_a_reason() -> None:
    assert set(REASONS) == set(CloseCode)


def test_the_protocol_page_lists_exactly_these_codes_and_names() -> None:
    rows = re.findall(r"^\| (4\d\d\d) \| ([a-z-]+) \|", PAGE.read_text(), re.MULTILINE)
    assert {int(code): name for code, name in rows} == {
        int(code): reason.name for code, reason in REASONS.items()
    }


@pytest.mark.parametrize("code", CloseCode)
def test_only_what_may_be_retried_says_when(code: CloseCode) -> None:
    assert Refusal(code).retryable or REASONS[code].retry_after_ms is None


def test_a_refusal_says_what_exactly_was_wrong() -> None:
    refusal = Refusal(CloseCode.ROOM_FULL, "64")
    assert str(refusal) == "the room has all the members it may have: 64"
    assert refusal.as_message() == Error(4009, "room-full", str(refusal), True, 33_000)


def test_a_refusal_without_detail_is_the_sentence_of_the_table() -> None:
    refusal = Refusal(CloseCode.WRONG_PROOF)
    assert str(refusal) == REASONS[CloseCode.WRONG_PROOF].message
    assert refusal.as_message().retryable is False
    assert refusal.as_message().retry_after_ms is None
