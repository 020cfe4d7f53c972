-- One row an enterprise: its registration, who represents it, what it invoiced and how many it insures.
WITH sales AS (
    SELECT
        seller_code__token,
        COUNT(*) AS invoices,
        CAST(SUM(amount) AS DECIMAL(24, 2)) AS amount,
        CAST(SUM(tax_amount) AS DECIMAL(24, 2)) AS tax_amount
    FROM tax.invoices
    GROUP BY seller_code__token
),
insured AS (
    SELECT employer_code__token, COUNT(*) AS employees
    FROM social_insurance.insured
    WHERE status = '1' AND employer_code__token IS NOT NULL
    GROUP BY employer_code__token
)
SELECT
    e.credit_code,
    e.credit_code__token,
    e.name,
    e.kind,
    e.industry,
    e.division_code,
    e.registered_capital,
    e.established_on,
    e.status,
    e.closed_on,
    l.name AS representative_name,
    l.resident_no AS representative_no,
    l.resident_no__token AS representative_no__token,
    t.kind AS taxpayer_kind,
    COALESCE(s.invoices, 0) AS invoices,
    s.amount AS invoiced_amount,
    s.tax_amount AS invoiced_tax,
    COALESCE(i.employees, 0) AS employees_insured
FROM market_supervision.enterprises AS e
LEFT JOIN market_supervision.legal_representatives AS l ON l.credit_code__token = e.credit_code__token
LEFT JOIN tax.taxpayers AS t ON t.credit_code__token = e.credit_code__token
LEFT JOIN sales AS s ON s.seller_code__token = e.credit_code__token
LEFT JOIN insured AS i ON i.employer_code__token = e.credit_code__token
