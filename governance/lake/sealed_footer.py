"""What the footer of a file with encrypted columns says, read byte by byte: where the chunks lie, under which keys, and
what to leave out so that it reads as if they were clear.

Nothing here is to be believed before the footer's signature was checked (`sealed.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from governance.lake.thrift import FALSE, STRUCT, Walk


@dataclass(slots=True)
class Footer:
    """A footer, and where in it stands what says that something is encrypted."""

    text: bytes
    unique: bytes = b""
    signing: bytes = b""
    cuts: list[tuple[int, int]] = field(default_factory=list)
    chunks: list[StatedChunk] = field(default_factory=list)

    @classmethod
    def read(cls, text: bytes) -> Footer:
        made, walk = cls(text), Walk(text)
        for name, kind, start in walk.fields():
            match name:
                case 4:
                    for group in range(walk.items()[0]):
                        made.chunks += _of_group(walk, group)
                case 8:
                    made.unique = _algorithm(walk)
                    made.cuts.append((start, walk.at))
                case 9:
                    made.signing = walk.binary()
                    made.cuts.append((start, walk.at))
                case _ if name > 9:
                    raise ValueError("a footer of another form")
                case _:
                    walk.skip(kind)
        if walk.at != len(text) or not made.unique:
            raise ValueError("a footer of another form")
        return made

    def without(self, columns: Collection[str]) -> bytes:
        """The footer as if `columns` had been written in the clear."""
        cuts = [*self.cuts, *(cut for chunk in self.chunks if chunk.name in columns for cut in chunk.cuts)]
        made, at = bytearray(), 0
        for begin, end in sorted(cuts):
            made += self.text[at:begin]
            at = end
        return bytes(made + self.text[at:])


@dataclass(slots=True)
class StatedChunk:
    """What a footer says of one column chunk; `material` is empty when it is clear."""

    group: int
    column: int
    name: str = ""
    start: int = 0
    size: int = 0
    has_dictionary: bool = False
    material: bytes = b""
    cuts: list[tuple[int, int]] = field(default_factory=list)


def _of_group(walk: Walk, group: int) -> Iterator[StatedChunk]:
    for name, kind, _ in walk.fields():
        if name != 1:
            walk.skip(kind)
            continue
        for column in range(walk.items()[0]):
            yield _stated(walk, StatedChunk(group, column))


def _stated(walk: Walk, made: StatedChunk) -> StatedChunk:
    for name, kind, start in walk.fields():
        match name:
            case 3:
                _metadata(walk, made)
            case 8:
                made.material = _column_key(walk)
                made.cuts.append((start, walk.at))
            case 9:
                walk.skip(kind)
                made.cuts.append((start, walk.at))
            case 4 | 5 | 6 | 7:
                raise ValueError("a page index, which may be encrypted")
            case _:
                walk.skip(kind)
    return made


def _metadata(walk: Walk, made: StatedChunk) -> None:
    data = dictionary = 0
    for name, kind, _ in walk.fields():
        match name:
            case 3:
                path = [walk.binary() for _ in range(walk.items()[0])]
                made.name = path[0].decode("utf-8")
            case 7:
                made.size = walk.number()
            case 9:
                data = walk.number()
            case 11:
                dictionary = walk.number()
            case _:
                walk.skip(kind)
    made.has_dictionary = dictionary > 0
    made.start = min(data, dictionary) if dictionary else data


def _column_key(walk: Walk) -> bytes:
    """Key material of ENCRYPTION_WITH_COLUMN_KEY; another form is refused."""
    material = b""
    for name, kind, _ in walk.fields():
        if name != 2 or kind != STRUCT:
            raise ValueError("a column under the footer's key")
        for inner, inner_kind, _ in walk.fields():
            if inner == 2:
                material = walk.binary()
            else:
                walk.skip(inner_kind)
    if not material:
        raise ValueError("a column without key material")
    return material


def _algorithm(walk: Walk) -> bytes:
    """`aad_file_unique` of AES_GCM_V1; another algorithm, or a prefix to be supplied, is refused."""
    unique = b""
    for name, kind, _ in walk.fields():
        if name != 1 or kind != STRUCT:
            raise ValueError("another algorithm")
        for inner, inner_kind, _ in walk.fields():
            if inner == 2:
                unique = walk.binary()
            elif inner_kind != FALSE:  # a prefix, or that one is to be supplied
                raise ValueError("another form of associated data")
    return unique
