"""Identifiers with valid check characters, for whole columns at once. Pure.

Resident numbers follow GB 11643-1999 (ISO 7064 MOD 11-2), unified social credit codes GB 32100-2015 (mod 31), whose characters
9 to 17 are an organisation code with the check character of GB 11714-1997 (mod 11).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]

_RESIDENT_WEIGHTS = np.array([pow(2, 17 - i, 11) for i in range(17)], dtype=np.int64)
_RESIDENT_CHECKS = np.frombuffer(b"10X98765432", dtype=np.uint8)
_CREDIT_CHARACTERS = b"0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_WEIGHTS = np.array([pow(3, i, 31) for i in range(17)], dtype=np.int64)
_ORGANISATION_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2], dtype=np.int64)
_ORGANISATION_CHECKS = np.frombuffer(b"0X987654321", dtype=np.uint8)
_SCRAMBLE, _SUFFIXES = 300_000_007, 31**6


def resident_numbers(divisions: Ints, births: Ints, sequences: Ints) -> pa.StringArray:
    """18 characters each: division (6 digits), birth date as yyyymmdd, sequence (1..999; odd for men) and check character.

    >>> resident_numbers(np.array([110105]), np.array([19491231]), np.array([2])).to_pylist()
    ['11010519491231002X']
    """
    body = divisions * 10**11 + births * 10**3 + sequences
    digits = body[:, None] // 10 ** np.arange(16, -1, -1, dtype=np.int64) % 10
    check = _RESIDENT_CHECKS[(digits @ _RESIDENT_WEIGHTS) % 11]
    return _strings(np.column_stack([(digits + ord("0")).astype(np.uint8), check]))


def credit_codes(categories: Ints, divisions: Ints, serials: Ints) -> pa.StringArray:
    """18 characters each: 9, category (1 enterprise, 2 individual business), division, MA, six made from the serial, two checks.

    Different serials below 31^6 give different codes.

    >>> credit_codes(np.array([1]), np.array([440106]), np.array([0])).to_pylist()
    ['91440106MA0000007K']
    """
    suffix = serials * _SCRAMBLE % _SUFFIXES
    characters = np.frombuffer(_CREDIT_CHARACTERS, dtype=np.uint8)
    tail = characters[suffix[:, None] // 31 ** np.arange(5, -1, -1, dtype=np.int64) % 31]
    head = np.tile(np.frombuffer(b"MA", dtype=np.uint8), (len(serials), 1))
    organisation = np.column_stack([head, tail])
    sums = np.where(organisation >= ord("A"), organisation - 55, organisation - ord("0")).astype(np.int64)
    organisation_check = _ORGANISATION_CHECKS[(sums @ _ORGANISATION_WEIGHTS) % 11]
    county = (divisions[:, None] // 10 ** np.arange(5, -1, -1, dtype=np.int64) % 10 + ord("0")).astype(np.uint8)
    nine = np.full(len(serials), ord("9"), dtype=np.uint8)
    codes = np.column_stack([nine, (categories + ord("0")).astype(np.uint8), county, organisation, organisation_check])
    values = np.zeros(128, dtype=np.int64)
    values[characters] = np.arange(31)
    check = characters[(31 - (values[codes] @ _CREDIT_WEIGHTS) % 31) % 31]
    return _strings(np.column_stack([codes, check]))


def padded(prefix: str, numbers: Ints, width: int) -> pa.StringArray:
    """`prefix` and the number with leading zeros.

    >>> padded("T", np.array([42]), 9).to_pylist()
    ['T000000042']
    """
    digits = (numbers[:, None] // 10 ** np.arange(width - 1, -1, -1, dtype=np.int64) % 10 + ord("0")).astype(np.uint8)
    head = np.tile(np.frombuffer(prefix.encode("ascii"), dtype=np.uint8), (len(numbers), 1))
    return _strings(np.column_stack([head, digits]))


def money(cents: Ints) -> pa.StringArray:
    """Amounts of cents, none negative, as text with two digits after the point.

    >>> money(np.array([5, 123456])).to_pylist()
    ['0.05', '1234.56']
    """
    import pyarrow.compute as pc

    fraction = padded("", cents % 100, 2)
    return pc.binary_join_element_wise(pa.array(cents // 100).cast(pa.string()), fraction, ".")


def _strings(characters: npt.NDArray[np.uint8]) -> pa.StringArray:
    rows, width = characters.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    data = np.ascontiguousarray(characters)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(data))
