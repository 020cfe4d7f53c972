"""`leak_score`: random statements in pairs of random worlds that differ only in what the asker may not see, and how many told them apart.

`make attack QUERIES=10000`. Observed are rows, errors, plans (refused), schema and what is told of the tables. A statement that tells the
worlds apart is printed with its seed; so is a scan that is not what the row-by-row reference says. `direct`: how many statements, these and as
many of plain form beside them, the scanner answered by itself, in both worlds too.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

from tests.use.generated import world
from tests.use.statements import plain_statements, statements
from tests.use.two_worlds import TwoWorlds

QUERIES = int(os.environ.get("QUERIES", 10_000))
SEED = int(os.environ.get("SEED", 1_000))
EACH = 100


def measure() -> Iterator[dict[str, object]]:
    began, asked, leaks, wrong, direct = time.monotonic(), 0, 0, 0, 0
    kinds: Counter[str] = Counter()
    worlds = 0
    for seed in count(SEED):
        if asked >= QUERIES:
            break
        made = world(seed)
        chosen = list(islice(statements(made, seed), min(EACH, QUERIES - asked)))
        with tempfile.TemporaryDirectory() as folder, TwoWorlds(Path(folder), made) as pair:
            wrong += len(pair.wrong(pair.first, made.first)) + len(pair.wrong(pair.second, made.second))
            seen = pair.observe(chosen)
            for first, _ in seen:
                kinds["refused" if len(first) == 1 else "failed" if len(first) == 2 else "answered"] += 1
            plain = [*chosen, *islice(plain_statements(made, seed), len(chosen))]
            by_scanner = [(sql, answers) for sql in plain if (answers := pair.direct(sql)) is not None]
            direct += len(by_scanner)
            for sql, (first, second) in (*zip(chosen, seen, strict=True), *by_scanner):
                if first != second:
                    leaks += 1
                    print(f"  LEAK with seed {seed}: {sql}", flush=True)
        asked, worlds = asked + len(chosen), worlds + 1
        print(
            f"  {asked} statements in {worlds} pairs of worlds: {leaks} leaks, {wrong} scans unlike the reference",
            flush=True,
        )
    yield {
        "leaks": leaks,
        "queries": asked,
        "worlds": worlds,
        "wrong_scans": wrong,
        "direct": direct,
        **kinds,
        "s": round(time.monotonic() - began),
    }
