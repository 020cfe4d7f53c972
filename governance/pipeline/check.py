"""`check`: everything that can be known of a home before it runs. All faults of all files at once; else the compiled index.

What stands in a file that is wrong itself is left out, and so is what reads it: nobody is blamed for another's fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from governance.catalog.index import write_index
from governance.catalog.load import Loaded, broken_tables, read_catalogue, reads_broken
from governance.catalog.stamps import take_stamp
from governance.catalog.types import Catalogue, Suite
from governance.config import FILE, Settings, line_of
from governance.develop import Analysis, analyse, analyse_check, order
from governance.errors import DeclarationError, Fault
from governance.manage import compile_rules
from governance.pipeline.passed_rules import PassedRules
from governance.pipeline.reach_limits import limit_faults
from governance.policy.access import Access, parse_access
from governance.policy.cases import FILE as CASES_FILE
from governance.policy.cases import failures
from governance.use.questions import read_questions


@dataclass(frozen=True, slots=True)
class Checked:
    """A home without a fault, and what its models will be granted."""

    catalogue: Catalogue
    analyses: Mapping[str, Analysis]
    order: tuple[str, ...]
    """Curated tables, each after those that it reads."""
    index_hash: str

    @property
    def sourceless(self) -> tuple[str, ...]:
        """Datasets whose contracts name no source that we can read: declared, but not collected."""
        return tuple(d.name for d in self.catalogue.datasets.values() if d.source is None)

    @property
    def unclassified(self) -> tuple[str, ...]:
        """Fields that nobody has classified: encrypted like sensitive ones, and never published."""
        tables = [*self.catalogue.datasets.values(), *(m.contract for m in self.catalogue.models.values())]
        return tuple(f"{t.name}.{f.name}" for t in tables for f in t.fields if f.classification is None)


def check(settings: Settings) -> Checked:
    """Check the home and write its index. Raises DeclarationError with every fault of every file; then no index is written."""
    stamp = take_stamp((settings.catalog, settings.expectations))
    loaded = read_catalogue(settings, keep=True, unjudged=True)
    found = _Found(faults=list(loaded.faults))
    found.sources(loaded, settings)
    found.rules(loaded, settings)
    found.models(loaded)
    found.access(loaded)
    found.cases(loaded, settings)
    found.attestations(loaded, settings)
    found.reach(loaded, settings)
    if found.faults:
        raise DeclarationError(tuple(dict.fromkeys(found.faults)))
    assert found.policy is not None
    info = write_index(
        loaded.catalogue,
        settings.index,
        stamp=stamp,
        inputs={name: analysis.inputs for name, analysis in found.analyses.items()},
        approvers=[a.subject.removeprefix("user:") for a in found.policy.approvers],
    )
    return Checked(loaded.catalogue, found.analyses, found.order, info.hash)


@dataclass(slots=True)
class _Found:
    faults: list[Fault]
    analyses: dict[str, Analysis] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    policy: Access | None = None

    def sources(self, loaded: Loaded, settings: Settings) -> None:
        """Overrides in `gov.toml` must name systems; while a contract is broken, whose system it names is not known."""
        systems = {dataset.system for dataset in loaded.catalogue.datasets.values()}
        text = (settings.home / FILE).read_text(encoding="utf-8")
        for name in () if loaded.broken else sorted(set(settings.sources) - systems):
            section = f"sources.{name}"
            allowed = ", ".join(sorted(systems)) or "nothing: no contract names a system"
            self.faults.append(
                Fault(FILE, line_of(text, section), section, "no such system", allowed, "correct or remove it")
            )

    def rules(self, loaded: Loaded, settings: Settings) -> None:
        """Compile the rules of every dataset and curated table whose texts have not passed before."""
        catalogue = loaded.catalogue
        passed = PassedRules(settings.index, catalogue.code_sets)
        for table in [*catalogue.datasets.values(), *(m.contract for m in catalogue.models.values())]:
            suite = catalogue.suites.get(table.name)
            if passed.has(table, suite):
                continue
            try:
                compile_rules(table, suite, catalogue.code_sets)
            except DeclarationError as error:
                self.faults += error.faults
            else:
                passed.add(table, suite)
        passed.keep()
        for suite in loaded.misshapen.values():
            self._misshapen(suite, catalogue)

    def _misshapen(self, suite: Suite, catalogue: Catalogue) -> None:
        """What else is wrong in a suite whose shape is: at the lines of which nothing was said yet."""
        model = catalogue.models.get(suite.dataset)
        table = model.contract if model else catalogue.datasets.get(suite.dataset)
        if table is None or not suite.text.lstrip().startswith("{"):
            return
        told = {fault.line for fault in self.faults if fault.file == suite.file}
        try:
            compile_rules(table, suite, catalogue.code_sets)
        except DeclarationError as error:
            self.faults += (f for f in error.faults if f.file == suite.file and f.line not in told)

    def models(self, loaded: Loaded) -> None:
        """Analyse every model and check, and the order among models."""
        catalogue = loaded.catalogue
        sound = {name: m for name, m in catalogue.models.items() if not reads_broken(m, loaded.broken)}
        for name, model in sound.items():
            self.analyses[name] = analyse(model, catalogue)
            self.faults += self.analyses[name].faults
            for beside in model.checks:
                self.faults += analyse_check(beside, catalogue).faults
        self.order, cycle = order(sound, self.analyses)
        self.faults += cycle

    def access(self, loaded: Loaded) -> None:
        """Parse the access rules; what they say of tables that are left out is not judged, and nothing of a file that cannot be read."""
        catalogue = loaded.catalogue
        if any(fault.file == catalogue.access_file for fault in loaded.faults):
            return
        try:
            self.policy = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
        except DeclarationError as error:
            self.faults += (f for f in error.faults if not any(name in str(f) for name in broken_tables(loaded.broken)))

    def cases(self, loaded: Loaded, settings: Settings) -> None:
        """Hold the access rules to the stewards' cases beside them; rules that are wrong themselves are not judged."""
        file = settings.catalog / CASES_FILE
        if self.policy is not None and not loaded.broken and file.is_file():
            name = file.relative_to(settings.home).as_posix() if file.is_relative_to(settings.home) else file.name
            text = file.read_text(encoding="utf-8-sig", errors="replace")
            self.faults += failures(text, name, self.policy, loaded.catalogue, now=datetime.now(UTC))

    def attestations(self, loaded: Loaded, settings: Settings) -> None:
        """Parse the questions that may be answered with yes or no; not judged beside what is wrong itself."""
        if self.policy is not None and not loaded.broken:
            try:
                read_questions(settings, loaded.catalogue)
            except DeclarationError as error:
                self.faults += error.faults

    def reach(self, loaded: Loaded, settings: Settings) -> None:
        """Hold the roles to how much they may reach of what is in the lake; judged when there is no other fault."""
        if self.policy is not None and not self.faults:
            self.faults += limit_faults(settings, loaded.catalogue, self.policy)
