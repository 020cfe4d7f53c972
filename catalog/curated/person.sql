-- One row a resident: the register, with the person's insurance and housing fund joined by the token of the resident number.
-- The windows and groups work on clear columns only, so that nothing sensitive waits in a sort.
WITH latest AS (
    SELECT contribution_no
    FROM social_insurance.contributions
    WHERE insurance_kind = '110'
    QUALIFY ROW_NUMBER() OVER (PARTITION BY resident_no__token ORDER BY period DESC, contribution_no DESC) = 1
),
pension AS (
    SELECT c.resident_no__token, c.period, c.base
    FROM social_insurance.contributions AS c
    JOIN latest AS l ON l.contribution_no = c.contribution_no
),
fund AS (
    SELECT resident_no__token, CAST(SUM(balance) AS DECIMAL(18, 2)) AS balance
    FROM housing_fund.accounts
    GROUP BY resident_no__token
)
SELECT
    r.resident_no,
    r.resident_no__token,
    r.name,
    r.sex,
    r.birth_date,
    r.division_code,
    r.address,
    r.phone,
    i.status AS insured_status,
    i.employer_code,
    i.employer_code__token,
    p.period AS insured_until,
    p.base AS insurance_base,
    f.balance AS fund_balance
FROM public_security.residents AS r
LEFT JOIN social_insurance.insured AS i ON i.resident_no__token = r.resident_no__token
LEFT JOIN pension AS p ON p.resident_no__token = r.resident_no__token
LEFT JOIN fund AS f ON f.resident_no__token = r.resident_no__token
