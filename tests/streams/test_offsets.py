"""The lowest offset still needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.offsets import Books, GapError, OffsetBook


def read(book: OffsetBook, *offsets: int) -> None:
    for offset in offsets:
        if book.is_new(offset, None):
            book.advance()


def test_nothing_is_safe_before_the_first_message():
    assert Books().open(3).safe is None


def test_a_held_offset_is_the_safe_one_until_it_is_released():
    book = Books().open(0)
    read(book, 5, 6, 7)
    book.hold("interval", 6)
    book.hold("cycle", 7)
    assert book.safe == 6
    book.release("interval")
    assert book.safe == 7
    book.release("cycle")
    assert book.safe == 8


def test_holding_again_keeps_the_lower_offset():
    book = Books().open(0)
    read(book, 0, 1, 2)
    book.hold("interval", 1)
    book.hold("interval", 2)
    assert book.safe == 1


def test_seen_offsets_are_not_new_and_gaps_are_refused():
    book = Books().open(0)
    read(book, 5)
    assert not book.is_new(5, None)
    with pytest.raises(GapError, match="offset 8 came where 6 was due"):
        book.is_new(8, None)


def test_an_assignment_must_begin_where_it_was_committed():
    with pytest.raises(GapError, match="partition 2: offset 9 came where 7 was due"):
        Books().open(2).is_new(9, 7)


def test_work_of_an_earlier_assignment_is_void():
    books = Books()
    first = books.open(0)
    second = books.open(0)
    assert books.owns(second)
    assert not books.owns(first)
    books.close(0)
    assert not books.owns(second)


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans())))
def test_nothing_held_is_ever_passed(story):
    book = Books().open(0)
    held = set()
    for offset, (token, hold) in enumerate(story):
        read(book, offset)
        if hold:
            book.hold(token, offset)
            held.add((token, offset))
        else:
            book.release(token)
            held = {(one, at) for one, at in held if one != token}
        assert book.safe == min([at for _, at in held], default=offset + 1)
