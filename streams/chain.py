"""The hash chain of the ledger: each transaction is a link that names the one before it by its hash.

    link[n] = SHA-256(link[n-1], for each table in order: name, sorted digests of its rows in the transaction)      (1)

A row changed, added or taken away later breaks the link that holds it; a link changed breaks all after it. Links cut
off at the end leave no trace in the ledger itself: the hash of each plan's link travels with the plan on Kafka.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from typing import NamedTuple

UNHASHED = ("link", "sent")
"""Columns that are no content: the number of the link, and the marks that may be set later."""


class LinkedRow(NamedTuple):
    """A row of the ledger as the chain sees it."""

    link: int
    table: str
    digest: bytes


def row_digest(values: Iterable[object]) -> bytes:
    """SHA-256 of a row, the same for every database: numbers as floats, nothing as nothing."""
    digest = sha256()
    for value in values:
        kind, content = _canonical(value)
        digest.update(kind + len(content).to_bytes(8, "big") + content)
    return digest.digest()


def link_hash(before: str, rows: Mapping[str, Sequence[bytes]]) -> str:
    """(1), from the digests of the rows by table."""
    digest = sha256(before.encode())
    for table in sorted(rows):
        digest.update(table.encode() + b"\0" + b"".join(sorted(rows[table])))
    return digest.hexdigest()


def broken_links(links: Iterable[tuple[int, str]], tables: Iterable[Iterator[LinkedRow]]) -> Iterator[str]:
    """What does not fit: `links` are numbers and hashes in order, each of `tables` its rows in order of their link."""
    stored = iter(links)
    before, last = "", 0
    for number, rows in groupby(heapq.merge(*tables, key=lambda row: row.link), key=lambda row: row.link):
        found = next(stored, None)
        while found is not None and found[0] < number:
            yield f"link {found[0]}: its rows are gone"
            before, last = found[1], found[0]
            found = next(stored, None)
        if found is None or found[0] != number:
            yield f"link {number}: it has rows, but is not in the chain"
            continue
        if number != last + 1:
            yield f"link {last + 1}: missing in the chain"
        by_table: dict[str, list[bytes]] = {}
        for row in rows:
            by_table.setdefault(row.table, []).append(row.digest)
        if link_hash(before, by_table) != found[1]:
            tables_of = ", ".join(sorted(by_table))
            yield f"link {number}: rows of {tables_of}, or the link before it, are not what was written"
        before, last = found[1], number
    for number, _ in stored:
        yield f"link {number}: its rows are gone"


def _canonical(value: object) -> tuple[bytes, bytes]:
    if value is None:
        return b"n", b""
    if isinstance(value, bool | int | float):
        return b"f", repr(float(value)).encode()
    if isinstance(value, bytes | memoryview):
        return b"b", bytes(value)
    return b"t", str(value).encode()
