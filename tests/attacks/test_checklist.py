"""Every one of the 52 attacks has its test, and the page says which."""

from __future__ import annotations

import importlib
import re

import pytest

from tests.attacks.checklist import CHECKLIST, GROUPS, PAGE, page


def test_all_52_are_there_in_order() -> None:
    assert list(CHECKLIST) == list(range(1, 53))
    assert {attack.module for attack in CHECKLIST.values()} == set(GROUPS)


@pytest.mark.parametrize("number", CHECKLIST)
def test_the_test_of_an_attack_exists_and_bears_its_number(number: int) -> None:
    attack = CHECKLIST[number]
    module = importlib.import_module(f"tests.attacks.{attack.module}")
    assert callable(getattr(module, attack.test))
    assert attack.test.startswith(f"test_{number:02d}_")


def test_no_numbered_test_stands_in_another_group() -> None:
    for name in GROUPS:
        module = importlib.import_module(f"tests.attacks.{name}")
        for found in filter(None, (re.match(r"test_(\d\d)_", test) for test in vars(module))):
            assert CHECKLIST[int(found[1])].module == name


def test_the_page_says_what_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()
