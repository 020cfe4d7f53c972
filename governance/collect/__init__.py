"""source -> `Landed`: as received, nothing dropped, nothing altered, nothing parsed.

Start with `collect` (the stage), then `source` (the seam: `Adapter`, `Original`), `adapters` (which adapter serves
which kind of source; one file each: `files`, `http`, `database`) and `landing` (originals written encrypted, broken
ones kept aside).
"""

from governance.collect.collect import collect

__all__ = ["collect"]
