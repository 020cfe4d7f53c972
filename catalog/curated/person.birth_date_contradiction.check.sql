-- The same person with another birth date in social insurance than in the register.
SELECT
    r.resident_no__token AS token,
    r._batch AS left_batch,
    r._row AS left_row,
    i._batch AS right_batch,
    i._row AS right_row
FROM public_security.residents AS r
JOIN social_insurance.insured AS i ON i.resident_no__token = r.resident_no__token
WHERE r.birth_date <> i.birth_date
