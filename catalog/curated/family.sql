-- Kinship with the names and birth dates of both; the join needs no key, carrying the names does.
SELECT
    k.kinship_id,
    k.resident_no,
    k.resident_no__token,
    k.relative_no,
    k.relative_no__token,
    k.relation,
    person.name AS person_name,
    person.birth_date AS person_birth_date,
    relative.name AS relative_name,
    relative.birth_date AS relative_birth_date,
    person.division_code,
    CAST(person.household_no = relative.household_no AS BOOLEAN) AS same_household
FROM public_security.kinship AS k
JOIN public_security.residents AS person ON person.resident_no__token = k.resident_no__token
JOIN public_security.residents AS relative ON relative.resident_no__token = k.relative_no__token
