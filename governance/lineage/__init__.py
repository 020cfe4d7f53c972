"""What came from what: stages' runs and column edges in, answers about the way back and forth out.

Start with `edges` (the values), then `record` (written in each stage's commit), `graph` (answers) and `outbox`
(OpenLineage to others). `store_edges` has the edges that a contract implies; those of SQL models come from
`develop.analyse`.
"""
