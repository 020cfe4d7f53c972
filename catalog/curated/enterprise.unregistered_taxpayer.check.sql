-- Taxpayers whose enterprise stands in no register (or whose registration is in quarantine).
SELECT
    t.credit_code__token AS token,
    t._batch AS left_batch,
    t._row AS left_row,
    CAST(NULL AS VARCHAR) AS right_batch,
    CAST(NULL AS BIGINT) AS right_row
FROM tax.taxpayers AS t
LEFT JOIN market_supervision.enterprises AS e ON e.credit_code__token = t.credit_code__token
WHERE e.credit_code__token IS NULL
