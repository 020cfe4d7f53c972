-- Inspections of a licence number that stands in no licence record.
SELECT
    CAST(NULL AS BLOB) AS token,
    i._batch AS left_batch,
    i._row AS left_row,
    CAST(NULL AS VARCHAR) AS right_batch,
    CAST(NULL AS BIGINT) AS right_row
FROM public_health.food_inspections AS i
WHERE NOT EXISTS (SELECT 1 FROM business_affairs.licenses AS l WHERE l.license_number = i.license_number)
