"""`load_catalogue`: the files of a home -> one `Catalogue`, or every fault of every file at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from governance.catalog import links
from governance.catalog.cache import ParseCache
from governance.catalog.code_sets import parse_code_set
from governance.catalog.files import Declaration, Declarations, kept_declarations, read_declarations
from governance.catalog.models import parse_check, parse_model
from governance.catalog.names import CURATED, name_fault
from governance.catalog.suites import parse_suite
from governance.catalog.types import Catalogue, Check, CodeSet, Dataset, Model, Suite
from governance.config import Settings
from governance.errors import DeclarationError, Fault


def load_catalogue(settings: Settings) -> Catalogue:
    """Everything that the home declares. Raises DeclarationError with all faults of all files."""
    loaded = read_catalogue(settings)
    if loaded.faults:
        raise DeclarationError(loaded.faults)
    return loaded.catalogue


@dataclass(frozen=True, slots=True)
class Loaded:
    """What could be read and what could not. `broken` names datasets, models and code sets that are wrong and left out;
    `misshapen` are suites that judge nothing, by their tables: what is in order in them may be at fault in its meaning.
    """

    catalogue: Catalogue
    faults: tuple[Fault, ...]
    broken: frozenset[str]
    misshapen: Mapping[str, Suite] = field(default_factory=dict)


def read_catalogue(settings: Settings, *, keep: bool = False, unjudged: bool = False) -> Loaded:
    """All that is in order, and all faults: for `gov check`, which has more to say about what is in order.

    Contracts that were read before come from the parse cache beside the index; `keep` brings it up to date. `unjudged`
    keeps tables of which the suite alone is wrong: whoever lets no rows in has something to say of them too.
    """
    files, faults = read_declarations(settings)
    return _loaded(files, faults, settings, keep=keep, unjudged=unjudged)


def catalogue_of_texts(texts: Mapping[tuple[str, str], str], settings: Settings) -> Loaded:
    """The catalogue that texts of the state declare, (kind, name) -> text as they were in force together at some instant."""
    return _loaded(kept_declarations(texts, settings), (), settings, keep=False, unjudged=False)


def _loaded(
    files: Declarations, faults: tuple[Fault, ...], settings: Settings, *, keep: bool, unjudged: bool
) -> Loaded:
    loading = _Loading(faults=list(faults))
    loading.contracts(files.contracts, settings, keep=keep)
    loading.code_sets_from(files.code_sets)
    loading.suites_from(files.suites)
    loading.curated(files.models, files.checks)
    loading.link()
    if unjudged:
        loading.without_suite.clear()
    broken = loading.take_out()
    catalogue = Catalogue(
        datasets=dict(sorted(loading.datasets.items())),
        models=dict(sorted(loading.models.items())),
        code_sets=loading.code_sets,
        suites=loading.suites,
        access_file=files.access.file,
        access_text=files.access.text,
        texts=loading.texts,
    )
    return Loaded(catalogue, tuple(sorted(set(loading.faults))), broken, loading.misshapen)


def reads_broken(model: Model, broken: frozenset[str]) -> bool:
    """Whether a model or one of its checks names a table that is left out."""
    texts = [model.sql, *(check.sql for check in model.checks)]
    return any(name in text for name in broken_tables(broken) for text in texts)


def broken_tables(broken: frozenset[str]) -> tuple[str, ...]:
    """Tables that are left out (a code set's name has no dot)."""
    return tuple(name for name in broken if "." in name)


@dataclass(slots=True)
class _Loading:
    """What has been read so far. `broken` names what stands in files that could not be read: nobody is blamed for naming it."""

    faults: list[Fault]
    tables: list[Dataset] = field(default_factory=list)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    contracts_of_models: dict[str, Dataset] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    code_sets: dict[str, CodeSet] = field(default_factory=dict)
    suites: dict[str, Suite] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    misshapen: dict[str, Suite] = field(default_factory=dict)
    without_suite: set[str] = field(default_factory=set)
    """Tables whose suite cannot be read: without it their rows would be let in unjudged."""

    def contracts(self, files: tuple[Declaration, ...], settings: Settings, *, keep: bool) -> None:
        cache = ParseCache(settings.index / "cache", settings.sources)
        with _no_collector():
            pairs = list(cache.parse(files, keep=keep))
        for declaration, parsed in pairs:
            self.texts[declaration.sha256] = declaration.text
            self.faults += parsed.faults
            if parsed.faults:
                self.broken.update((f"{declaration.department}.{declaration.stem}", *(d.name for d in parsed.datasets)))
            else:
                self.tables += parsed.datasets
        self.faults += links.duplicate_faults(self.tables)
        for dataset in self.tables:
            target = self.contracts_of_models if dataset.department == CURATED else self.datasets
            target.setdefault(dataset.name, dataset)

    def code_sets_from(self, files: tuple[Declaration, ...]) -> None:
        for declaration in files:
            code_set, faults = parse_code_set(declaration.text, file=declaration.file, name=declaration.stem)
            self.faults += faults
            if code_set is None:
                self.broken.add(declaration.stem)
            else:
                self.code_sets[code_set.name] = code_set
                self.texts[code_set.text_hash] = declaration.text

    def suites_from(self, files: tuple[Declaration, ...]) -> None:
        for declaration in files:
            name = f"{declaration.department}.{declaration.stem}"
            suite, faults = parse_suite(declaration.text, file=declaration.file, dataset=name)
            self.faults += faults
            if suite is None:
                self.without_suite.add(name)
                self.misshapen[name] = Suite(name, declaration.file, declaration.text, declaration.sha256)
            else:
                self.suites[name] = suite
                self.texts[suite.text_hash] = declaration.text

    def curated(self, models: tuple[Declaration, ...], checks: tuple[Declaration, ...]) -> None:
        """Models with their contracts and checks; each part without its other half is a fault."""
        by_model: dict[str, list[Check]] = {}
        for declaration in checks:
            short, _, check_name = declaration.stem.partition(".")
            check, faults = parse_check(
                declaration.text, file=declaration.file, name=check_name, model=f"{CURATED}.{short}"
            )
            self.faults += faults
            self.texts[check.text_hash] = declaration.text
            by_model.setdefault(check.model, []).append(check)
        for declaration in models:
            self._model(declaration, by_model)
        known = {f"{CURATED}.{m.stem}" for m in models}
        for name, orphans in by_model.items():
            if name not in known:
                for check in orphans:
                    found = f"there is no model {name!r}"
                    self.faults.append(
                        Fault(check.file, 1, "", found, "<model>.<check>.check.sql", "rename the file or add the model")
                    )
        for name, contract in self.contracts_of_models.items():
            if name not in known:
                allowed = f"{contract.short}.sql or {contract.short}.py beside it"
                self.faults.append(
                    Fault(contract.file, 1, "", "a curated contract without its SELECT or step", allowed, "add it")
                )

    def _model(self, declaration: Declaration, checks: Mapping[str, list[Check]]) -> None:
        name = f"{CURATED}.{declaration.stem}"
        problem = name_fault(declaration.stem)
        if problem:
            self.faults.append(Fault(declaration.file, 1, "", f"{name!r}: {problem[0]}", problem[1], "rename the file"))
        contract = self.contracts_of_models.get(name)
        if contract is None:
            if name not in self.broken:
                allowed = f"{declaration.stem}.odcs.yaml beside it"
                self.faults.append(Fault(declaration.file, 1, "", "a model without a contract", allowed, "add it"))
            return
        if name in self.models:
            found, do = f"{name!r} has both a SELECT and a step", "keep one file"
            self.faults += [
                Fault(file, 1, "", found, f"{contract.short}.sql or {contract.short}.py", do)
                for file in (self.models[name].file, declaration.file)
            ]
            return
        model, faults = parse_model(declaration.text, file=declaration.file, name=name, contract=contract)
        self.faults += faults
        self.texts[model.text_hash] = declaration.text
        self.models[name] = replace(model, checks=tuple(sorted(checks.get(name, ()), key=lambda c: c.name)))

    def link(self) -> None:
        tables = {**self.datasets, **self.contracts_of_models}
        broken = frozenset(self.broken)
        self.faults += links.link_faults(tables, self.code_sets, broken)
        self.faults += links.suite_faults(self.suites, tables, broken)
        for name, suite in self.suites.items():
            if name in self.datasets:
                self.datasets[name] = replace(self.datasets[name], suite=suite.file)
            elif name in self.models:
                model = self.models[name]
                self.models[name] = replace(model, contract=replace(model.contract, suite=suite.file))

    def take_out(self) -> frozenset[str]:
        """Leave out every dataset and model whose own files have a fault; all names that are missing for that reason."""
        files = {fault.file for fault in self.faults}
        models = {n for n, m in self.models.items() if {m.file, m.contract.file, *(c.file for c in m.checks)} & files}
        datasets = {n for n, d in self.datasets.items() if d.file in files}
        models |= self.without_suite & self.models.keys()
        datasets |= self.without_suite & self.datasets.keys()
        datasets |= {n for n, d in self.datasets.items() if any(f.code_set in self.broken for f in d.fields)}
        self.models = {n: m for n, m in self.models.items() if n not in models}
        self.datasets = {n: d for n, d in self.datasets.items() if n not in datasets}
        return frozenset(self.broken | models | datasets)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Without the cycle collector, which would walk a million fresh values again and again: they have no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
