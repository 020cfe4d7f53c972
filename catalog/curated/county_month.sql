-- Insured residents and their pension base by county and month; no row speaks of fewer than ten people.
-- gov.declassify: base_total L1 because a total over at least ten people of a county, checked by HAVING
SELECT
    r.division_code,
    c.period,
    COUNT(*) AS insured_residents,
    CAST(SUM(c.base) AS DECIMAL(24, 2)) AS base_total
FROM social_insurance.contributions AS c
JOIN public_security.residents AS r ON r.resident_no__token = c.resident_no__token
WHERE c.insurance_kind = '110'
GROUP BY r.division_code, c.period
HAVING COUNT(*) >= 10
