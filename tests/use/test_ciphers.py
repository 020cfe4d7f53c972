"""ff1 from end to end: ciphers of a purpose, made in the scanner under a key that stays in custody."""

from __future__ import annotations

import pytest

from governance.keys.ciphers import BLOCKS, DIGESTS
from governance.keys.tokens import BLOCK_BYTES, TOKEN_BYTES
from tests.use.asking import ledger, rows
from tests.use.conftest import ACCESS, PEOPLE, catalogue_of, open_home

NUMBERS = "SELECT rank, id_number FROM curated.person ORDER BY rank"


@pytest.fixture(scope="module")
def ciphered(tmp_path_factory):
    opened = open_home(tmp_path_factory.mktemp("ciphered"), catalogue_of(ACCESS.replace("mask:token", "mask:ff1(36)")))
    opened.fill(PEOPLE)
    opened.release()
    yield opened
    opened.database.close()


def test_ciphers_keep_length_and_alphabet_and_are_of_one_purpose(ciphered):
    first, again, research = (
        [number for _, number in rows(ciphered, NUMBERS, "user:li", purpose)]
        for purpose in ("statistics", "statistics", "research")
    )
    assert first == again
    assert first[3] is None
    assert all(len(number) == 18 and number.isalnum() and number.upper() == number for number in first[:3])
    assert not {*first[:3]} & {*research[:3], *(person[0] for person in PEOPLE)}


def test_the_grant_lets_the_purposes_key_be_used_twice(ciphered):
    rows(ciphered, NUMBERS)
    granted = ledger(ciphered, "grant")[-1]["facts"]
    assert granted["digest_budget"] == 2
    assert "digest:purpose/statistics/1" in granted["keys"]


def test_ciphers_can_be_grouped_and_compared_like_any_column(ciphered):
    sql = "SELECT count(DISTINCT id_number), count(*) FROM curated.person WHERE length(id_number) = 18"
    assert rows(ciphered, sql) == [(3, 3)]


def test_the_data_key_is_made_of_blocks_that_no_token_is_made_of():
    assert len(BLOCKS) == DIGESTS * BLOCK_BYTES
    assert all(any(BLOCKS[at + TOKEN_BYTES : at + BLOCK_BYTES]) for at in range(0, len(BLOCKS), BLOCK_BYTES))
