"""`leak_score`: random statements in pairs of random worlds that differ only in what the asker may not see, and how many told them apart.

`make attack QUERIES=10000`. Observed are rows, errors, plans (refused), schema and what is told of the tables. A statement that tells the
worlds apart is printed with its seed; so is a scan that is not what the row-by-row reference says.
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
from tests.use.statements import statements
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
            for sql, (first, second) in zip(chosen, pair.observe(chosen), strict=True):
                kinds["refused" if len(first) == 1 else "failed" if len(first) == 2 else "answered"] += 1
                answers = pair.direct(sql)
                direct += answers is not None
                if first != second or (answers is not None and answers[0] != answers[1]):
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
