-- One row a licence number that was licensed or inspected: who holds it, what inspections found, how its ward complains.
WITH licensed AS (
    SELECT
        license_number,
        MAX(legal_name) AS legal_name,
        MAX(trade_name) AS trade_name,
        MAX(ward) AS ward,
        COUNT(DISTINCT record_id) AS terms,
        MIN(term_start) AS licensed_from,
        MAX(term_end) AS licensed_until
    FROM business_affairs.licenses
    GROUP BY license_number
),
inspected AS (
    SELECT
        i.license_number,
        MAX(i.trade_name) AS trade_name,
        COUNT(*) AS inspections,
        COUNT(CASE WHEN i.result = 'Fail' THEN 1 END) AS failed,
        MAX(i.inspected_on) AS last_inspected_on,
        CAST(SUM(v.critical) AS BIGINT) AS critical,
        CAST(SUM(v.serious) AS BIGINT) AS serious,
        CAST(SUM(v.minor) AS BIGINT) AS minor
    FROM public_health.food_inspections AS i
    LEFT JOIN public_health.violation_counts AS v ON v.inspection_id = i.inspection_id
    GROUP BY i.license_number
),
wards AS (
    SELECT ward, COUNT(*) AS complaints
    FROM streets_sanitation.complaints
    WHERE ward IS NOT NULL
    GROUP BY ward
)
SELECT
    COALESCE(l.license_number, i.license_number) AS license_number,
    l.license_number IS NOT NULL AS registered,
    l.legal_name,
    COALESCE(l.trade_name, i.trade_name) AS trade_name,
    l.ward,
    COALESCE(l.terms, 0) AS terms,
    l.licensed_from,
    l.licensed_until,
    COALESCE(i.inspections, 0) AS inspections,
    COALESCE(i.failed, 0) AS failed,
    i.last_inspected_on,
    i.critical,
    i.serious,
    i.minor,
    w.complaints AS ward_complaints
FROM licensed AS l
FULL JOIN inspected AS i ON i.license_number = l.license_number
LEFT JOIN wards AS w ON w.ward = l.ward
