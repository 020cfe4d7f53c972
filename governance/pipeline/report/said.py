"""What the report says in sentences, in English and in Chinese: a form with its values. The forms are in `sentences`, single words in `words`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from governance.pipeline.report.sentences import SENTENCES
from governance.pipeline.report.words import chinese


class Word(str):
    """A value of a sentence that is a fixed word: it is said in Chinese there too."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A value of a sentence that is a fixed word with an address."""

    word: str
    address: str


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence: `form` is a key of `SENTENCES`, its places filled with `values`. Whole numbers get their commas, a tuple is listed."""

    form: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.form.format_map({name: _shown(value) for name, value in self.values.items()})

    @property
    def chinese(self) -> str:
        """
        >>> said("{rows} rows", rows=1200).chinese
        '1,200 行'
        """
        told = {name: _in_chinese(value) for name, value in self.values.items()}
        return SENTENCES[self.form].format_map(told)

    @property
    def both(self) -> str:
        """English, then Chinese: for what stands in a row of names.

        >>> said("and {n} more", n=3).both
        'and 3 more 另有 3 项'
        """
        return f"{self} {self.chinese}"


def said(form: str, **values: object) -> Said:
    """A sentence with its values; KeyError, when it is shown, of a form that has no Chinese."""
    return Said(form, values)


def brief(form: str, **values: object) -> Markup:
    """Both languages on one line, as HTML. Values that are no `Markup` are escaped.

    >>> brief("and {n} more", n=3)
    Markup('and 3 more <span lang="zh">另有 3 项</span>')
    """
    return _html(form, values, '<span lang="zh">')


def tell(form: str, **values: object) -> Markup:
    """The Chinese on lines of its own below the English, as HTML."""
    return _html(form, values, '<span class="zh" lang="zh">')


def both(word: str) -> str:
    """A fixed word in both languages, as text.

    >>> both("score")
    'score 评分'
    """
    return f"{word} {chinese(word)}"


def linked(address: str, word: str) -> Link:
    """A fixed word as a link, for a place of a sentence."""
    return Link(word, address)


def told(one: Said) -> Markup:
    """As `brief`."""
    return brief(one.form, **one.values)


def told_below(one: Said) -> Markup:
    """As `tell`."""
    return tell(one.form, **one.values)


def _html(form: str, values: Mapping[str, object], opening: str) -> Markup:
    english = Markup(form).format_map({name: escape(_shown(value)) for name, value in values.items()})
    there = {name: escape(_in_chinese(value)) for name, value in values.items()}
    chinese_text = Markup(SENTENCES[form]).format_map(there)
    return english + Markup(f" {opening}") + chinese_text + Markup("</span>")


def _shown(value: object) -> object:
    if isinstance(value, Link):
        return Markup('<a href="{}">{}</a>').format(value.address, value.word)
    if isinstance(value, tuple):
        return ", ".join(str(_shown(one)) for one in value)
    return f"{value:,}" if isinstance(value, int) else value


def _in_chinese(value: object) -> object:
    if isinstance(value, Link):
        return _shown(Link(chinese(value.word), value.address))
    if isinstance(value, tuple):
        return "、".join(str(_in_chinese(one)) for one in value)
    return (chinese(value) or value) if isinstance(value, Word) else _shown(value)
