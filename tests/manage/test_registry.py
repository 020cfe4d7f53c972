from __future__ import annotations

from governance.manage.registry import NOT_COMPILED, SUPPORTED


def test_every_core_type_of_gx_compiles_or_says_why_not() -> None:
    from great_expectations.expectations import core
    from great_expectations.expectations.expectation import Expectation

    found = {
        value.expectation_type
        for value in vars(core).values()
        if isinstance(value, type) and issubclass(value, Expectation) and getattr(value, "expectation_type", "")
    }
    assert found - set(SUPPORTED) - set(NOT_COMPILED) == set()
    assert set(SUPPORTED) <= found


def test_kwargs_of_a_supported_type_are_those_of_gx() -> None:
    from great_expectations.expectations.registry import get_expectation_impl

    for name, kind in SUPPORTED.items():
        known = set(get_expectation_impl(name).__fields__)
        assert kind.kwargs <= known, name


def test_no_type_is_in_both_tables_and_every_reason_is_said() -> None:
    assert not set(SUPPORTED) & set(NOT_COMPILED)
    assert all(NOT_COMPILED.values())
