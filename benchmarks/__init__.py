"""The measures of `make bench`: each module has a `measure()` that returns the lines it adds to `build/bench.jsonl`."""
