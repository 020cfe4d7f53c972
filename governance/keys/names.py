"""Names of keys, and the grant that lets a run use some of them (DESIGN section 5)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, order=True)
class KeyName:
    """A master key that wraps data keys. Reserved groups: landed, raw, rowdigest, footer.

    >>> str(KeyName("tax", "tax.invoices", "L3"))
    'tax/tax.invoices/L3/1'
    """

    owner: str
    table: str
    group: str
    epoch: int = 1

    def __str__(self) -> str:
        return f"{self.owner}/{self.table}/{self.group}/{self.epoch}"

    @classmethod
    def parse(cls, text: str) -> KeyName:
        owner, table, group, epoch = text.split("/")
        return cls(owner, table, group, int(epoch))


@dataclass(frozen=True, slots=True, order=True)
class DigestKeyName:
    """A key that makes tokens: of an identifier domain inside the lake, of a purpose for a consumer, or row digests of
    a table.

    >>> str(DigestKeyName("domain", "person"))
    'digest:domain/person/1'
    """

    kind: Literal["domain", "purpose", "rowdigest"]
    name: str
    epoch: int = 1
    """1 for good: tokens of two epochs would not join, so no other can be named."""

    def __post_init__(self) -> None:
        if self.epoch != 1:
            raise ValueError(f"a digest key has one epoch: {self}")

    def __str__(self) -> str:
        return f"digest:{self.kind}/{self.name}/{self.epoch}"

    @classmethod
    def parse(cls, text: str) -> DigestKeyName:
        """The name again from its text; ValueError when it is none, or of a second epoch.

        >>> DigestKeyName.parse("digest:domain/person/1").name
        'person'
        """
        kind, name, epoch = text.removeprefix("digest:").split("/")
        if kind not in ("domain", "purpose", "rowdigest"):
            raise ValueError(text)
        return cls(kind, name, int(epoch))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Grant:
    """The unit of the ledger and of revocation: one subject, purpose and run may use these keys until `expires_at`.

    `digest_budget` is the number of values that may still be digested under it.
    """

    id: str
    subject: str
    purpose: str
    run: str
    keys: frozenset[str]
    digest_budget: int
    expires_at: datetime


class KeyStore(Protocol):
    """The one seam to key custody. It never gives out a master key. Unknown key, expired or revoked grant: raises
    Refused.
    """

    def wrap(self, key: KeyName, data_key: bytes) -> str:
        """`data_key` wrapped under `key` (base64 text). Needs no grant: writing needs no right to read. Makes the key
        when it is new.
        """
        ...

    def require(self, keys: Collection[KeyName], grant_id: str) -> None:
        """Refused unless each of these keys is there and may be unwrapped under the grant now. Ask before files are
        opened: PyArrow aborts the process when a key is denied to it.
        """
        ...

    def unwrap(self, key: KeyName, wrapped: str, grant_id: str) -> bytes:
        """The data key again, when the grant names `key`, has not expired and is not revoked."""
        ...

    def digest(self, key: DigestKeyName, blocks: bytes, grant_id: str) -> bytes:
        """AES-256-ECB of `blocks` (a multiple of 16 bytes; each block a truncated SHA-256), when the grant names `key`
        and its budget lasts.
        """
        ...


class KeyCustody(KeyStore, Protocol):
    """A `KeyStore` where the keys lie: it lists and destroys them too."""

    def destroy(self, key: KeyName | DigestKeyName) -> bool:
        """Erase a master key for good; False when it was not there. Its name stays taken."""
        ...

    def names(self) -> tuple[str, ...]:
        """Names of the keys that exist, sorted; never the keys."""
        ...
