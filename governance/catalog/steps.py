"""`curated/<model>.py`: what is wrong with the Python of a step, from its text alone. Pure: it is parsed, never run here."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator

from governance.errors import Fault

FUNCTION, ARGUMENT = "rows", "inputs"
LIBRARIES = ("duckdb", "pyarrow")
"""What a step may import beside Python's own library."""
_SIGNATURE = f"def {FUNCTION}({ARGUMENT}): one function, called with the inputs alone"


def step_faults(text: str, file: str) -> Iterator[Fault]:
    """Syntax, the function `rows(inputs)`, and imports.

    >>> [str(fault) for fault in step_faults("def rows(inputs, more):\\n    return []", "s.py")]
    ['s.py:1: rows: other arguments; allowed: def rows(inputs): one function, called with the inputs alone; correct it']
    """
    try:
        tree = _parsed(text)
    except SyntaxError as error:
        yield Fault(file, error.lineno or 1, "python", error.msg, "Python's syntax", "correct it here")
        return
    except (ValueError, RecursionError, MemoryError) as error:
        yield Fault(file, 1, "python", f"cannot be read ({type(error).__name__})", "Python", "correct the file")
        return
    yield from _function(tree, file)
    for node in ast.walk(tree):
        for name in _imported(node):
            if name.partition(".")[0] not in (*sys.stdlib_module_names, *LIBRARIES):
                allowed = f"Python's own library, {', '.join(LIBRARIES)}"
                yield Fault(file, getattr(node, "lineno", 1), "python", f"imports {name}", allowed, "write it here")


def modules(text: str) -> tuple[str, ...]:
    """What the statements of a sound text may load, in order: a name that is imported from a module may be one too.

    >>> modules("import re\\nfrom os import path")
    ('re', 'os', 'os.path')
    """
    found: dict[str, None] = {}
    for node in ast.walk(_parsed(text)):
        for name in _imported(node):
            found[name] = None
            if isinstance(node, ast.ImportFrom):
                found |= {f"{name}.{alias.name}": None for alias in node.names if alias.name != "*"}
    return tuple(found)


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
        compile(tree, "step", "exec", dont_inherit=True)
    return tree


def _imported(node: ast.AST) -> tuple[str, ...]:
    """Modules that an import statement names; of any other node none. A relative import is `.`."""
    match node:
        case ast.Import():
            return tuple(alias.name for alias in node.names)
        case ast.ImportFrom():
            return ("." if node.level or node.module is None else node.module,)
    return ()


def _function(tree: ast.Module, file: str) -> Iterator[Fault]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in tree.body if isinstance(node, kinds) and node.name == FUNCTION]
    if not found:
        yield Fault(file, 1, FUNCTION, "no such function", _SIGNATURE, "write it")
        return
    for other in found[1:]:
        yield Fault(file, other.lineno, FUNCTION, "defined twice", _SIGNATURE, "keep one")
    function, arguments = found[0], found[0].args
    if isinstance(function, ast.AsyncFunctionDef):
        yield Fault(file, function.lineno, FUNCTION, "asynchronous", _SIGNATURE, "write def")
    named = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if named != [ARGUMENT] or arguments.vararg or arguments.kwonlyargs or arguments.kwarg or arguments.defaults:
        yield Fault(file, function.lineno, FUNCTION, "other arguments", _SIGNATURE, "correct it")
    if function.decorator_list:
        yield Fault(file, function.lineno, FUNCTION, "decorated", _SIGNATURE, "take the decorator off")
