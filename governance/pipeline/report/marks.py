"""The small pieces that every table of the report is made of, as HTML, in English and Chinese. Each is made once and kept: a page has thousands of them."""

from __future__ import annotations

from functools import lru_cache

from markupsafe import Markup

from governance.pipeline.report.words import chinese

_KEPT = 4096


@lru_cache(_KEPT)
def badge(state: str) -> Markup:
    """A state in its colour.

    >>> badge("held back")
    Markup('<span class="badge held">held back <span lang="zh">隔离</span></span>')
    """
    kind = state.replace("held back", "held").replace("getting ", "")
    return Markup('<span class="badge {}">{}</span>').format(kind, say(state.replace("_", " ")))


@lru_cache(_KEPT)
def th(word: str, kind: str = "") -> Markup:
    """The head of a column.

    >>> th("Rows", "num")
    Markup('<th class="num">Rows<span class="soft" lang="zh">行数</span></th>')
    """
    opening = Markup('<th class="{}">').format(kind) if kind else Markup("<th>")
    return opening + Markup('{}<span class="soft" lang="zh">{}</span></th>').format(word, chinese(word))


@lru_cache(_KEPT)
def say(word: str) -> Markup:
    """A fixed word in both languages; one that is none stands alone.

    >>> say("none"), say("a < b")
    (Markup('none <span lang="zh">无</span>'), Markup('a &lt; b'))
    """
    told = chinese(word)
    return Markup('{} <span lang="zh">{}</span>').format(word, told) if told else Markup("{}").format(word)


@lru_cache(_KEPT)
def count(number: int) -> Markup:
    """A cell with a whole number; a zero is pale.

    >>> count(1200), count(0)
    (Markup('<td class="num">1,200</td>'), Markup('<td class="num zero">0</td>'))
    """
    return Markup('<td class="num{}">{}</td>').format("" if number else " zero", f"{number:,}")
