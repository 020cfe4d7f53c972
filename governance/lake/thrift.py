"""Thrift's compact protocol, as much of it as a Parquet footer and a page header need: walking through a structure."""

from __future__ import annotations

from collections.abc import Iterator

FALSE, BINARY, LIST, SET, STRUCT = 2, 8, 9, 10, 12
_TRUE, _BYTE, _DOUBLE = 1, 3, 7
_NUMBERS = (4, 5, 6)


class Walk:
    """A position `at` in `data`. Whoever meets a field reads or skips its value. IndexError or ValueError where the
    data is no such structure.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def fields(self) -> Iterator[tuple[int, int, int]]:
        """(number, type, where the field begins) of each field of the structure that begins here.

        >>> walk = Walk(bytes([0x15, 0x06, 0x15, 0x54, 0x00]))
        >>> [(number, walk.number()) for number, kind, start in walk.fields()]
        [(1, 3), (2, 42)]
        """
        number = 0
        while True:
            start, head = self.at, self.data[self.at]
            self.at += 1
            if head == 0:
                return
            number = number + (head >> 4) if head >> 4 else self.number()
            yield number, head & 15, start

    def number(self) -> int:
        """A whole number of any width."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        length = self._varint()
        end = self.at + length
        if end > len(self.data):
            raise IndexError("a text that goes on beyond the end")
        found = self.data[self.at : end]
        self.at = end
        return found

    def items(self) -> tuple[int, int]:
        """How many items the list that begins here has, and their type."""
        head = self.data[self.at]
        self.at += 1
        return (self._varint() if head >> 4 == 15 else head >> 4), head & 15

    def skip(self, kind: int) -> None:
        """Go to the end of a value."""
        if kind in _NUMBERS:
            while self.data[self.at] & 0x80:
                self.at += 1
            self.at += 1
        elif kind == BINARY:
            self.binary()
        elif kind == STRUCT:
            for _, inner, _ in self.fields():
                self.skip(inner)
        elif kind in (LIST, SET):
            count, inner = self.items()
            for _ in range(count):
                self.skip(_BYTE if inner in (_TRUE, FALSE) else inner)
        elif kind == _BYTE:
            self.at += 1
        elif kind == _DOUBLE:
            self.at += 8
        elif kind not in (_TRUE, FALSE):
            raise ValueError("a type that no footer has")

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7


def number(value: int) -> bytes:
    """A whole number as it is written.

    >>> [Walk(number(value)).number() for value in (0, -1, 300, 2**40)]
    [0, -1, 300, 1099511627776]
    """
    rest = (value << 1) if value >= 0 else ((-value << 1) - 1)
    made = bytearray()
    while rest >= 0x80:
        made.append(rest & 0x7F | 0x80)
        rest >>= 7
    made.append(rest)
    return bytes(made)
