"""`Settings`: where a home keeps things and how much of the machine it may use. Read once, then passed around.

A home is a folder with a `gov.toml`. Everything in it is optional:

    [paths]      catalog = "catalog"   expectations = "expectations"   var = "var"   keyring = "var/keys"
    [database]   url = "sqlite:///var/state.sqlite"
    [engine]     threads = 2   memory_limit_mb = 2048   step_seconds = 3600
    [airflow]    scheduled = true                    # false: department DAGs run only when somebody starts them
    [keys]       socket = "/run/gov/keys.sock"       # a key service instead of the embedded keyring; also $GOV_KEY_SOCKET
                 pkcs11 = "/usr/lib/softhsm/libsofthsm2.so"   token = "gov"   pin_file = "…"   # keys in a PKCS#11 token
    [alerts]     webhook = "https://…"   smtp = "mail.example:25"   sender = "gov@example"   to = "a@example, b@example"
    [openlineage]   url = "https://…/api/v1/lineage"   producers = "service:airflow, service:spark"   # docs/LINEAGE.md
    [service]    issuer = "https://id.example"   audience = "gov"   jwks = "jwks.json"    # docs/SERVICE.md has all keys
    [sources.<system>]   location = "a folder, file, database URL or http(s) address"    # overrides the contract's server
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from governance.errors import DeclarationError, Fault, GovernanceError

FILE = "gov.toml"
_ALLOWED: Mapping[str, frozenset[str]] = {
    "paths": frozenset({"catalog", "expectations", "var", "keyring"}),
    "database": frozenset({"url"}),
    "engine": frozenset({"threads", "memory_limit_mb", "step_seconds"}),
    "lineage": frozenset({"namespace"}),
    "keys": frozenset({"socket", "pkcs11", "token", "pin_file"}),
    "airflow": frozenset({"scheduled"}),
    "alerts": frozenset({"webhook", "smtp", "sender", "to"}),
    "openlineage": frozenset({"url", "producers"}),
    "service": frozenset(
        {"issuer", "audience", "jwks", "algorithms", "one_time", "concurrent", "seconds", "memory_mb", "request_kb"}
    ),
}
_TRUTHS = frozenset({("airflow", "scheduled"), ("service", "one_time")})
_NUMBERS = frozenset({("service", name) for name in ("concurrent", "seconds", "memory_mb", "request_kb")})
ALGORITHMS = ("RS256", "ES256", "EdDSA")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The query service: whose tokens it believes (none without an issuer), and what one request may cost."""

    issuer: str = ""
    audience: str = ""
    jwks: str = ""
    """A file (absolute) or an address with the issuer's public keys."""
    algorithms: tuple[str, ...] = ALGORITHMS
    one_time: bool = False
    """A token is good for one request: its `jti` is remembered until it expires."""
    concurrent: int = 8
    seconds: int = 300
    memory_mb: int = 1024
    request_kb: int = 256


_OPTIONAL_PATHS = ("key_socket", "key_library", "key_pin_file")


@dataclass(frozen=True, slots=True)
class Settings:
    """One home's settings; all paths absolute. `var` is everything this system writes, `keyring` the keys, apart from the lake."""

    home: Path
    catalog: Path
    expectations: Path
    var: Path
    keyring: Path
    database_url: str
    threads: int = 2
    memory_limit_mb: int = 2048
    step_seconds: int = 3600
    """What a Python step may take, in wall time."""
    lineage_namespace: str = "gov"
    key_socket: Path | None = None
    key_library: Path | None = None
    """The library of a PKCS#11 token that has the keys, instead of the keyring's file (`keys/pkcs11.py`)."""
    key_label: str = ""
    key_pin_file: Path | None = None
    key_token: str = field(default="", repr=False)
    """The consumer's own token (`$GOV_KEY_TOKEN`), which a key service asks for before it opens a consumer's keys."""
    scheduled: bool = True
    sources: Mapping[str, str] = field(default_factory=dict)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    alerts: Mapping[str, str] = field(default_factory=dict)
    """Where incidents are told of: `webhook` (URL), `smtp` (host:port) with `sender` and `to` (addresses, comma between)."""
    openlineage: Mapping[str, str] = field(default_factory=dict)
    """`url` to which runs are told as OpenLineage events; `producers` whose events are taken (subjects, comma between)."""

    @property
    def lake(self) -> Path:
        """Parquet data files and Iceberg metadata."""
        return self.var / "lake"

    @property
    def landed(self) -> Path:
        """Originals as received, encrypted whole; beside the lake's tables, so that a copy of the lake has both."""
        return self.lake / "_landed"

    @property
    def index(self) -> Path:
        """The compiled catalogue, one JSON file a department: what DAG files read."""
        return self.var / "index"

    @property
    def reports(self) -> Path:
        return self.var / "reports"

    @property
    def lineage(self) -> Path:
        """OpenLineage events of everything that was committed, as JSON lines."""
        return self.var / "lineage"

    @property
    def scratch(self) -> Path:
        """Temporary files of running tasks. Nothing sensitive is written here in the clear."""
        return self.var / "scratch"


def load_settings(home: Path | None = None) -> Settings:
    """The settings of `home`, else of `$GOV_HOME`, else of the nearest folder upward that has a `gov.toml`.

    Raises GovernanceError when there is no home, DeclarationError for unknown keys.
    """
    root = _find_home(home)
    file = root / FILE
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DeclarationError((Fault(FILE, 1, "", "not UTF-8", "TOML in UTF-8", "save it so"),)) from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = found.group(1) if (found := re.search(r"at line (\d+)", str(error))) else "1"
        raise DeclarationError((Fault(FILE, int(line), "", f"not TOML: {error}", "", "correct the file"),)) from None
    faults = (
        *_unknown_keys(raw, text),
        *_wrong_values(raw, text),
        *_wrong_service(raw.get("service"), text),
        *_wrong_openlineage(raw.get("openlineage"), text),
    )
    if faults:
        raise DeclarationError(faults)
    paths = raw.get("paths", {})
    var = (root / paths.get("var", "var")).resolve()
    url = raw.get("database", {}).get("url") or f"sqlite:///{var / 'state.sqlite'}"
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        url = f"sqlite:///{root / url.removeprefix('sqlite:///')}"
    engine = raw.get("engine", {})
    return Settings(
        home=root,
        catalog=(root / paths.get("catalog", "catalog")).resolve(),
        expectations=(root / paths.get("expectations", "expectations")).resolve(),
        var=var,
        keyring=(root / paths["keyring"]).resolve() if "keyring" in paths else var / "keys",
        database_url=os.environ.get("GOV_DATABASE_URL", url),
        threads=int(engine.get("threads", 2)),
        memory_limit_mb=int(engine.get("memory_limit_mb", 2048)),
        step_seconds=int(engine.get("step_seconds", 3600)),
        lineage_namespace=raw.get("lineage", {}).get("namespace", "gov"),
        key_socket=Path(socket) if (socket := _key_socket(raw)) else None,
        key_library=_path(root, raw.get("keys", {}).get("pkcs11")),
        key_label=raw.get("keys", {}).get("token", ""),
        key_pin_file=_path(root, raw.get("keys", {}).get("pin_file")),
        key_token=os.environ.get("GOV_KEY_TOKEN", ""),
        scheduled=bool(raw.get("airflow", {}).get("scheduled", True)),
        sources={name: _location(root, table["location"]) for name, table in raw.get("sources", {}).items()},
        service=_service(root, raw.get("service", {})),
        alerts=dict(raw.get("alerts", {})),
        openlineage=dict(raw.get("openlineage", {})),
    )


def _find_home(home: Path | None) -> Path:
    if home is None and os.environ.get("GOV_HOME"):
        home = Path(os.environ["GOV_HOME"])
    candidates = [home] if home is not None else [Path.cwd(), *Path.cwd().parents]
    for folder in candidates:
        if (folder / FILE).is_file():
            return folder.resolve()
    raise GovernanceError(
        "no gov.toml found",
        where=str(candidates[0]),
        allowed="a folder with a gov.toml",
        do="run `gov init FOLDER` or give --home",
    )


def _unknown_keys(raw: Mapping[str, object], text: str) -> Iterator[Fault]:
    for section, table in raw.items():
        if section == "sources" and isinstance(table, dict):
            for name, entry in table.items():
                if not isinstance(entry, dict) or set(entry) != {"location"}:
                    line = line_of(text, f"sources.{name}")
                    yield Fault(FILE, line, f"sources.{name}", "not a source override", 'location = "…"', "correct it")
        elif section not in _ALLOWED:
            allowed = ", ".join([*_ALLOWED, "sources"])
            yield Fault(FILE, line_of(text, section), section, "unknown section", allowed, "remove or correct it")
        elif not isinstance(table, dict):
            yield Fault(FILE, line_of(text, section), section, "not a section", f"[{section}]", "correct it")
        else:
            for key in sorted(set(table) - _ALLOWED[section]):
                allowed = ", ".join(sorted(_ALLOWED[section]))
                line = line_of(text, section, key)
                yield Fault(FILE, line, f"{section}.{key}", "unknown key", allowed, "remove or correct it")


def _wrong_values(raw: Mapping[str, Any], text: str) -> Iterator[Fault]:
    """Values that are not of their kind: numbers of the engine from 1, everything else text, or as its key says."""
    for section, table in raw.items():
        for key, value in table.items() if section in _ALLOWED and isinstance(table, dict) else ():
            if (section, key) in _TRUTHS:
                fits, allowed = isinstance(value, bool), "true, false"
            elif (section, key) == ("service", "algorithms"):
                named = value if isinstance(value, list) else []
                fits, allowed = bool(named) and all(one in ALGORITHMS for one in named), ", ".join(ALGORITHMS)
            elif section == "engine" or (section, key) in _NUMBERS:
                fits, allowed = type(value) is int and value >= 1, "a whole number from 1"
            else:
                fits, allowed = isinstance(value, str), "text"
            if not fits:
                line = line_of(text, section, key)
                yield Fault(FILE, line, f"{section}.{key}", f"{value!r} does not fit", allowed, "correct it")


def _wrong_service(table: object, text: str) -> Iterator[Fault]:
    """An issuer that is half said, or whose keys could be changed on their way."""
    if not isinstance(table, dict):
        return
    told = [key for key in ("issuer", "audience", "jwks") if table.get(key)]
    if told and len(told) < 3:
        line = line_of(text, "service", told[0])
        yield Fault(FILE, line, "service", f"{told[0]} stands alone", "issuer, audience and jwks together", "give all")
    if any(key in table for key in ("algorithms", "one_time")) and not told:
        yield Fault(FILE, line_of(text, "service"), "service", "no issuer", "issuer, audience, jwks", "give all")
    jwks = table.get("jwks")
    if isinstance(jwks, str) and "://" in jwks and not _private(jwks):
        line = line_of(text, "service", "jwks")
        yield Fault(FILE, line, "service.jwks", "keys over a plain connection", "a file or https://", "correct it")


def _wrong_openlineage(table: object, text: str) -> Iterator[Fault]:
    """An endpoint that cannot be posted to, or to which the token would go in the clear."""
    url = table.get("url", "") if isinstance(table, dict) else ""
    if isinstance(url, str) and url and not _private(url):
        line = line_of(text, "openlineage", "url")
        yield Fault(
            FILE, line, "openlineage.url", "not a private address", "https://, or http:// of this machine", "correct it"
        )


def _private(url: str) -> bool:
    """Whether nobody between can change what the address answers: TLS, or this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def line_of(text: str, section: str, key: str = "") -> int:
    """The line of a section's heading in a `gov.toml`, or of a key in it; 1 when it is written in another way.

    >>> line_of("[paths]\\nvar = 'var'\\n[engine]\\nthreads = 2", "engine", "threads")
    4
    """
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if heading := re.match(r"\s*\[([^\[\]]+)\]", line):
            here = heading.group(1).replace('"', "").replace(" ", "")
        name = line.partition("=")[0].strip().strip('"')
        if (here == section and (not key or (not heading and name == key))) or (not here and name == section):
            return number
    return 1


def _key_socket(raw: Mapping[str, Any]) -> str:
    return os.environ.get("GOV_KEY_SOCKET", str(raw.get("keys", {}).get("socket", "")))


def _service(root: Path, table: Mapping[str, Any]) -> ServiceSettings:
    given = dict(table)
    if "jwks" in given:
        given["jwks"] = _location(root, given["jwks"])
    if "algorithms" in given:
        given["algorithms"] = tuple(given["algorithms"])
    return ServiceSettings(**given)


def _path(root: Path, text: str | None) -> Path | None:
    return (root / text).resolve() if text else None


def _location(root: Path, location: str) -> str:
    """A location with a scheme as it is; a path made absolute against the home."""
    if "://" in location:
        return location
    return str((root / location).resolve())


def as_request(settings: Settings) -> dict[str, Any]:
    """Settings as JSON values, for the request of a worker; `from_request` reads them again, without those of the service."""
    values = {item.name: getattr(settings, item.name) for item in fields(settings) if item.name != "service"}
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    return {**plain, "sources": dict(settings.sources)}


def from_request(request: Mapping[str, Any]) -> Settings:
    """The settings that a parent sent with `as_request`."""
    paths = {name: Path(request[name]) for name in ("home", "catalog", "expectations", "var", "keyring")}
    optional = {name: Path(text) if (text := request[name]) else None for name in _OPTIONAL_PATHS}
    return Settings(**{**request, **paths, **optional})
