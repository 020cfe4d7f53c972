"""Looking out for repeated keys while the rows stream by, so that a batch whose keys do not repeat is parsed only once.

Most batches keep their unique keys. When one does not, the pass is given up (`Repeated`), the keys are scanned (`repeats.py`), and the pass runs
again with what was found. The first million keys are compared at once, so that a batch with many repeats is given up early.

What is kept are salted hashes, or integer keys that the table stores in the clear; of those, keys that come in rising order are not kept at all.
"""

from __future__ import annotations

import queue
import threading

import duckdb
import numpy as np
import pyarrow as pa

from governance.catalog.rules import ReferenceRule, UniqueRule
from governance.lake.specs import stored_spec
from governance.store.plan import Plan, key_name

_CHUNK_ROWS = 1_000_000


class Repeated(Exception):
    """A key repeats, or cannot be told apart from one that came before."""


def watchable(plan: Plan) -> tuple[int, ...]:
    """Bits of the unique rules to watch; none when a scan of the keys is needed anyhow."""
    dataset = plan.dataset
    own = any(isinstance(r, ReferenceRule) and r.dataset == dataset.name for r in plan.reasons)
    if own or dataset.keeps_versions or dataset.deduplicate == "identical":
        return ()
    unique = (bit for bit, r in enumerate(plan.reasons) if isinstance(r, UniqueRule) and r.id not in plan.errored)
    return tuple(unique)


def clear_key(plan: Plan, bit: int) -> str | None:
    """The column of an integer key that is stored in the clear: it is its own hash. None for every other key."""
    rule = plan.reasons[bit]
    if len(rule.columns) != 1 or plan.skip(rule).kind != "nulls":
        return None
    name = rule.columns[0]
    encrypted = {column.name for column in stored_spec(plan.dataset).columns if column.encrypted}
    return name if plan.dataset.field(name).type.kind == "integer" and name not in encrypted else None


class KeyWatch:
    """Feed it every batch of the stream, then `finish`; both raise Repeated. `con` may spill what it holds."""

    def __init__(self, plan: Plan, con: duckdb.DuckDBPyConnection) -> None:
        self._clear = {bit: clear_key(plan, bit) for bit in plan.watched}
        self._rising = {bit: Rising() for bit, name in self._clear.items() if name}
        self._con = con
        self._waiting: dict[int, list[pa.RecordBatch]] = {bit: [] for bit in plan.watched}
        self._rows = dict.fromkeys(plan.watched, 0)
        self._queue: queue.Queue[tuple[int, pa.Table] | None] = queue.Queue(maxsize=2)
        self._error: BaseException | None = None
        for bit in plan.watched:
            con.execute(f"CREATE OR REPLACE TEMP TABLE watched_{bit} (low UBIGINT, high UBIGINT)")
        self._thread = threading.Thread(target=self._work, name="key-watch", daemon=True)
        self._thread.start()

    def feed(self, batch: pa.RecordBatch) -> None:
        """The keys of a batch that still has the key columns."""
        for bit in self._waiting:
            keys = self._keys(bit, batch)
            if keys is not None and keys.num_rows:
                self._waiting[bit].append(keys)
                self._rows[bit] += keys.num_rows
                if self._rows[bit] >= _CHUNK_ROWS:
                    self._flush(bit)
        self._raise()

    def finish(self) -> None:
        """Compare all keys."""
        for bit in self._waiting:
            self._flush(bit)
        self.stop()
        self._raise()
        for bit in self._waiting:
            if self._repeats(bit):
                raise Repeated
            self._con.execute(f"DROP TABLE watched_{bit}")

    def stop(self) -> None:
        """End the thread; does nothing when it has ended."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _keys(self, bit: int, batch: pa.RecordBatch) -> pa.RecordBatch | None:
        name = self._clear[bit]
        if name is None:
            parts = [batch.column(f"{key_name(bit)}_{half}") for half in ("low", "high")]
            keys = pa.RecordBatch.from_arrays(parts, names=["low", "high"])
            return keys.filter(parts[0].is_valid()) if parts[0].null_count else keys
        values = batch.column(name)
        numbers = (values.drop_null() if values.null_count else values).cast(pa.int64()).to_numpy()
        if self._rising[bit].takes(numbers):
            return None
        low = pa.array(numbers.view(np.uint64))
        return pa.RecordBatch.from_arrays([low, pa.array(np.zeros(len(numbers), np.uint64))], names=["low", "high"])

    def _flush(self, bit: int) -> None:
        if self._waiting[bit]:
            self._queue.put((bit, pa.Table.from_batches(self._waiting[bit])))
            self._waiting[bit], self._rows[bit] = [], 0

    def _work(self) -> None:
        compared: set[int] = set()
        while (item := self._queue.get()) is not None:
            if self._error is not None:
                continue
            bit, keys = item
            try:
                self._con.register("keys_of_batch", keys)
                self._con.execute(f"INSERT INTO watched_{bit} SELECT low, high FROM keys_of_batch")  # noqa: S608
                self._con.unregister("keys_of_batch")
                if bit not in compared:
                    compared.add(bit)
                    if self._repeats(bit):
                        raise Repeated
            except BaseException as error:
                self._error = error

    def _repeats(self, bit: int) -> bool:
        query = f"SELECT 1 FROM watched_{bit} GROUP BY low, high HAVING count(*) > 1 LIMIT 1"  # noqa: S608
        return bool(self._con.execute(query).fetchall())

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


class Rising:
    """Takes numbers as long as each is greater than all before: none of those repeats.

    >>> rising = Rising()
    >>> rising.takes(np.array([1, 2, 5])), rising.takes(np.array([7])), rising.takes(np.array([9, 8]))
    (True, True, False)
    >>> rising.takes(np.array([3]))
    Traceback (most recent call last):
    governance.store.watch.Repeated
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._last = 0
        self._taking = True

    def takes(self, numbers: np.ndarray) -> bool:
        """Whether these are proved distinct and need not be kept. Raises Repeated for numbers among those taken before."""
        if not len(numbers):
            return True
        after = self._first is None or int(numbers[0]) > self._last
        if self._taking and after and bool(np.all(numbers[1:] > numbers[:-1])):
            self._first = int(numbers[0]) if self._first is None else self._first
            self._last = int(numbers[-1])
            return True
        self._taking = False
        if self._first is not None and bool(np.any((numbers >= self._first) & (numbers <= self._last))):
            raise Repeated
        return False
