"""Tokens: the same identifier gives the same token wherever it stands, blanks give none, and values with equal tokens are equal."""

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.catalog.types import ColumnType, Field
from governance.errors import Refused
from governance.keys import grants
from governance.keys.keyring import Keyring
from governance.keys.names import DigestKeyName
from governance.keys.tokens import is_standard, purpose_tokens, row_digests, rowdigest_sql, sql_standard, tokens
from governance.state.database import Database
from governance.state.values import Actor

PERSON = DigestKeyName("domain", "person")
ENTERPRISE = DigestKeyName("domain", "enterprise")
RESEARCH = DigestKeyName("purpose", "research")
DIGEST = DigestKeyName("rowdigest", "tax.invoices")


@pytest.fixture
def grant_id(database: Database, actor: Actor) -> str:
    keys = [PERSON, ENTERPRISE, RESEARCH, DIGEST]
    with database.unit_of_work() as tx:
        return grants.issue(tx, actor=actor, keys=[], digest_keys=keys, digest_budget=10_000, database=database).id


def _standard(values: list[object]) -> pa.Array:
    with duckdb.connect() as connection:
        connection.register("given", pa.table({"v": pa.array(values)}))
        made = connection.sql(f"SELECT {sql_standard('v')} AS b FROM given").to_arrow_table()  # noqa: S608
    return made.column("b").combine_chunks()


def test_spellings_of_one_identifier_are_one() -> None:
    found = _standard(
        [
            "11010519491231002x",
            " 11010519491231002X ",
            "１１０１０５１９４９１２３１００２Ｘ",
            "\u300011010519491231002X\t",
        ]
    )
    assert set(found.to_pylist()) == {"11010519491231002X"}


def test_null_and_blank_give_no_token_so_that_blanks_never_join() -> None:
    assert _standard([None, "", "   ", "\u3000"]).to_pylist() == [None] * 4


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(alphabet="aXｘ9 \t\x00\x7f!~é王", max_size=4), max_size=8))
def test_what_is_standard_already_is_told_without_a_statement(values: list[str]) -> None:
    for value, standard in zip(values, _standard(values).to_pylist(), strict=True):  # type: ignore[arg-type]
        assert not is_standard(value) or standard == value


def test_numbers_and_their_text_are_one() -> None:
    assert _standard([42]).to_pylist() == _standard(["42"]).to_pylist()


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(alphabet="abc１Ａé\u0301 9", max_size=4)), max_size=8))
def test_standardising_twice_changes_nothing(values: list[str | None]) -> None:
    upper = [None if v is None else v.strip().upper() for v in values]
    assert _standard([*values, "x"]).to_pylist() == _standard([*upper, "x"]).to_pylist()


def test_tokens_are_12_bytes_in_order_and_null_stays_null(keyring: Keyring, grant_id: str) -> None:
    values = _standard(["a", None, "b", "a", None])
    made = tokens(values, keystore=keyring, key=PERSON, grant_id=grant_id)
    made.validate(full=True)
    assert made.type == pa.binary(12)
    a, none, b, again, last = made.to_pylist()
    assert (none, last) == (None, None)
    assert a == again != b


def test_a_slice_of_values_gives_the_slice_of_tokens(keyring: Keyring, grant_id: str) -> None:
    for values in (["a", "b", "c", "d"], ["a", None, "c", "d"]):
        standard = _standard(values)
        for given_values in (standard, standard.cast(pa.large_string()), standard.cast(pa.string_view())):
            whole = tokens(given_values, keystore=keyring, key=PERSON, grant_id=grant_id)
            part = tokens(given_values.slice(1, 2), keystore=keyring, key=PERSON, grant_id=grant_id)
            assert part.to_pylist() == whole.to_pylist()[1:3]


def test_no_values_and_only_nulls_are_fine(keyring: Keyring, grant_id: str) -> None:
    for values in (pa.array([], pa.string()), pa.array([None, None], pa.string())):
        made = tokens(values, keystore=keyring, key=PERSON, grant_id=grant_id)
        assert made.to_pylist() == values.to_pylist()


def test_domains_and_purposes_do_not_join(keyring: Keyring, grant_id: str) -> None:
    values = _standard(["a", None])
    person = tokens(values, keystore=keyring, key=PERSON, grant_id=grant_id)
    enterprise = tokens(values, keystore=keyring, key=ENTERPRISE, grant_id=grant_id)
    research = purpose_tokens(person, keystore=keyring, key=RESEARCH, grant_id=grant_id)
    assert len({person[0].as_py(), enterprise[0].as_py(), research[0].as_py()}) == 3
    assert research.type == pa.binary(12)
    assert research[1].as_py() is None
    loose = pa.concat_arrays([person, person]).cast(pa.binary()).slice(2, 2)  # as DuckDB gives them
    assert purpose_tokens(loose, keystore=keyring, key=RESEARCH, grant_id=grant_id).to_pylist() == research.to_pylist()


def test_what_is_no_token_or_hash_is_refused(keyring: Keyring, grant_id: str) -> None:
    for values in (["a" * 63], ["a" * 64, "b" * 63], ["g" * 64]):
        with pytest.raises(ValueError, match=r"[Hh]exadecimal"):
            row_digests(pa.array(values), keystore=keyring, key=DIGEST, grant_id=grant_id)
    with pytest.raises(ValueError, match="17"):
        purpose_tokens(pa.array([b"a" * 17], pa.binary(17)), keystore=keyring, key=RESEARCH, grant_id=grant_id)


def test_tokens_need_a_right_of_their_own(keyring: Keyring) -> None:
    with pytest.raises(Refused):
        tokens(_standard(["a"]), keystore=keyring, key=PERSON, grant_id="nobody")


FIELDS = (
    Field("n", ColumnType("integer"), "n"),
    Field("a b", ColumnType("string"), "a b"),
    Field("x", ColumnType("double"), "x"),
)


def _row_hashes(rows: str) -> list[str]:
    with duckdb.connect() as connection:
        return [
            row[0]
            for row in connection.sql(
                f'SELECT {rowdigest_sql(FIELDS)} FROM (VALUES {rows}) AS t(n, "a b", x)'  # noqa: S608
            ).fetchall()
        ]


def test_row_digests_compare_values_at_the_contracts_types() -> None:
    same = _row_hashes("(20, 'é', 0.0), ('20', 'é', '-0.0')")
    assert same[0] == same[1]


def test_row_digests_tell_null_from_text_and_one_column_from_the_next() -> None:
    hashes = _row_hashes(
        "(1, '~', 2), (1, NULL, 2), (NULL, NULL, NULL), (12, '', 2), (1, '2', 2), (1, '', 22), (1, '1:2', 2)"
    )
    assert None not in hashes
    assert len(set(hashes)) == len(hashes)


def test_row_digests_are_keyed(keyring: Keyring, grant_id: str) -> None:
    hashes = pa.array(_row_hashes("(1, 'a', 2)"))
    made = row_digests(hashes, keystore=keyring, key=DIGEST, grant_id=grant_id)
    assert made.type == pa.binary(16)
    assert made[0].as_py() != bytes.fromhex(hashes[0].as_py()[:32])


def test_a_digest_key_has_one_epoch_since_tokens_under_another_key_join_nothing(
    database: Database, grant_id: str, tmp_path
) -> None:
    for wrong in (lambda: DigestKeyName("domain", "person", 2), lambda: DigestKeyName.parse("digest:domain/person/2")):
        with pytest.raises(ValueError, match="one epoch"):
            wrong()
    values = _standard([f"1101011990030{n:05d}" for n in range(100)])
    rings = [Keyring(tmp_path / name, database) for name in ("first", "second")]
    first, second = (tokens(values, keystore=ring, key=PERSON, grant_id=grant_id).to_pylist() for ring in rings)
    assert not set(first) & set(second)
