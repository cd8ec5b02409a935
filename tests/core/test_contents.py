"""Bytes of files: what is a text, what is binary, and line ends that survive."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peer.core.contents import TEXT_LIMIT, Text, digest_of, looks_cut, read_text, take_ends, write_text

TEXTS = st.text(alphabet="aé日😀\r\n\ufeff", max_size=20)


@pytest.mark.parametrize("content", [b"a\x00b", b"\xff\xfe", b"\xc3", b"a" * (TEXT_LIMIT + 1)])
def test_what_is_not_utf_8_or_has_a_nul_or_is_large_is_binary(content: bytes) -> None:
    assert read_text(content) is None


def test_equal_contents_have_equal_digests() -> None:
    assert digest_of(b"a") == digest_of(b"a") != digest_of(b"b")


def test_a_byte_order_mark_is_a_letter() -> None:
    assert read_text(b"\xef\xbb\xbfa") == "\ufeffa"


@settings(max_examples=100, derandomize=True)
@given(TEXTS)
def test_a_new_file_is_written_as_it_was_read(text: str) -> None:
    assert write_text(take_ends(text, None)) == text.encode()


@settings(max_examples=100, derandomize=True)
@given(TEXTS, st.booleans())
def test_what_is_written_is_read_back(text: str, crlf: bool) -> None:
    kept = Text(text, crlf)
    if not crlf and "\r" not in text and "\n" in text:
        assert take_ends(write_text(kept).decode(), kept) == kept
    if crlf:
        assert take_ends(write_text(kept).decode(), kept) == kept


@pytest.mark.parametrize(
    ("raw", "present", "taken"),
    [
        ("a\r\nb\r\n", None, Text("a\nb\n", crlf=True)),
        ("a\r\nb\n", None, Text("a\r\nb\n", crlf=False)),
        ("a\rb", None, Text("a\rb", crlf=False)),
        ("a\r\nb\n", Text("a\n", crlf=True), Text("a\nb\n", crlf=True)),
        ("a\nb\n", Text("a\n", crlf=True), Text("a\nb\n", crlf=False)),
        ("a", Text("a\n", crlf=True), Text("a", crlf=True)),
        ("a\r\nb\r\n", Text("a\nb\n", crlf=False), Text("a\nb\n", crlf=True)),
        ("a\r\nb\r\n", Text("a\r\nb\n", crlf=False), Text("a\r\nb\r\n", crlf=False)),
    ],
)
def test_a_crlf_file_stays_one_and_a_mixed_file_stays_mixed(
    raw: str, present: Text | None, taken: Text
) -> None:
    assert take_ends(raw, present) == taken


@pytest.mark.parametrize("content", [b"", b"one\ntw", b"Xone"])
def test_a_file_that_is_shorter_and_ends_otherwise_looks_cut(content: bytes) -> None:
    assert looks_cut(content, b"one\ntwo\n")


@pytest.mark.parametrize("content", [b"one\ntwo\n", b"one\ntwo\nx", b"ONE\nTWO\n"])
def test_a_file_that_is_not_shorter_does_not_look_cut(content: bytes) -> None:
    assert not looks_cut(content, b"one\ntwo\n")


def test_a_file_that_lost_lines_before_its_end_does_not_look_cut() -> None:
    lines = [b"line %d\n" % number for number in range(30)]
    assert not looks_cut(b"".join(lines[3:]), b"".join(lines))
