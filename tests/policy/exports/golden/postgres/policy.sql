-- The access rules as roles, views and row-level policies. Made by `gov policy export`; run as a superuser.
BEGIN;
SET LOCAL standard_conforming_strings = on;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE TEMPORARY TABLE gov_role (name text PRIMARY KEY, kind text NOT NULL) ON COMMIT DROP;
CREATE TEMPORARY TABLE gov_column (of_schema text, of_table text, name text, type text) ON COMMIT DROP;
DO $gov$
DECLARE
  one record;
BEGIN
  IF current_setting('server_encoding') <> 'UTF8' THEN
    RAISE EXCEPTION 'gov: the database is not in UTF-8; make one that is';
  END IF;
  FOR one IN SELECT r.rolname FROM pg_roles r
             WHERE shobj_description(r.oid, 'pg_authid') IN ('gov policy export: session', 'gov policy export: reader') LOOP
    EXECUTE format('DROP OWNED BY %I CASCADE', one.rolname);
  END LOOP;
  FOR one IN SELECT r.rolname AS role, m.rolname AS member FROM pg_auth_members a
             JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
             WHERE shobj_description(r.oid, 'pg_authid') LIKE 'gov policy export: %' LOOP
    EXECUTE format('REVOKE %I FROM %I CASCADE', one.role, one.member);
  END LOOP;
END
$gov$;

INSERT INTO pg_temp.gov_role VALUES ('user:text', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:whole', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:amount', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:day', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:at', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:flag', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:place', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:grouped', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:ending', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:over', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:kept', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:few', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:masks', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:plain', 'login');
INSERT INTO pg_temp.gov_role VALUES ('user:text for rows', 'session');
INSERT INTO pg_temp.gov_role VALUES ('user:whole for rows', 'session');
INSERT INTO pg_temp.gov_role VALUES ('user:amount for rows', 'session');
INSERT INTO pg_temp.gov_role VALUES ('user:day for rows', 'session');
INSERT INTO pg_temp.gov_role VALUES ('user:at for rows', 'session');
INSERT INTO pg_temp.gov_role VALUES ('user:flag for rows', 'session');
INSERT INTO pg_temp.gov_role VALUES ('user:place for rows', 'session');
INSERT INTO pg_temp.gov_role VALUES ('user:ending for plain', 'session');
INSERT INTO pg_temp.gov_role VALUES ('user:masks for masks', 'session');
INSERT INTO pg_temp.gov_role VALUES ('user:plain for plain', 'session');
INSERT INTO pg_temp.gov_role VALUES ('gov_r_1bd3785607c4674c369210452dfd9a332f470359', 'reader');
INSERT INTO pg_temp.gov_role VALUES ('gov_r_79c9c302ff220a2aca0a027d8a92ffc11fca9611', 'reader');
INSERT INTO pg_temp.gov_role VALUES ('gov_r_ac4ed6d8d066a89725cfcc086c3fc5e47f46bd2c', 'reader');
INSERT INTO pg_temp.gov_role VALUES ('gov_r_43f97c1952b7e8a10d6e2b96228fd69adab5b193', 'reader');
INSERT INTO pg_temp.gov_role VALUES ('gov_r_cd8f917263afca4fb1dccd4800c06163354da24a', 'reader');
INSERT INTO pg_temp.gov_role VALUES ('gov_r_0466b38670627441301a63c7e049e3d9e1170699', 'reader');
INSERT INTO pg_temp.gov_role VALUES ('gov_r_1d69fdb9f35286a663d40f6318a7a65187161ba7', 'reader');
INSERT INTO pg_temp.gov_role VALUES ('gov_r_0251618e3ff162804c4e23915826272f43e51679', 'reader');
INSERT INTO pg_temp.gov_role VALUES ('gov_r_65aceaf72a70314813b56fe23c8c26879513b909', 'reader');
INSERT INTO pg_temp.gov_role VALUES ('gov_r_039d82de727b38b21f78c98066f8495774337ceb', 'reader');
DO $gov$
DECLARE
  one record;
BEGIN
  FOR one IN SELECT name, kind FROM pg_temp.gov_role ORDER BY name LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = one.name) THEN
      EXECUTE format('CREATE ROLE %I', one.name);
    ELSIF one.kind <> 'login' AND coalesce((SELECT shobj_description(oid, 'pg_authid') FROM pg_roles
                                            WHERE rolname = one.name), '') <> 'gov policy export: ' || one.kind THEN
      RAISE EXCEPTION 'gov: a role that the export would make is there already and is not its own';
    END IF;
    EXECUTE format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION NOINHERIT %s', one.name,
                   CASE WHEN one.kind = 'login' THEN 'LOGIN' ELSE 'NOLOGIN' END);
    EXECUTE format('COMMENT ON ROLE %I IS %L', one.name, 'gov policy export: ' || one.kind);
  END LOOP;
END
$gov$;

INSERT INTO pg_temp.gov_column VALUES ('curated', 'filtered', 'text', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'filtered', 'whole', 'bigint');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'filtered', 'amount', 'numeric(12,2)');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'filtered', 'day', 'date');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'filtered', 'at', 'timestamp without time zone');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'filtered', 'flag', 'boolean');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'filtered', 'place', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'plain', 'open', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'mask_alphanum_string', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'mask_to_fixed_value_string', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'mask_to_fixed_value_integer', 'bigint');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'mask_to_fixed_value_decimal', 'numeric(12,2)');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'mask_to_fixed_value_double', 'double precision');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'mask_to_fixed_value_boolean', 'boolean');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'mask_to_fixed_value_date', 'date');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'mask_to_fixed_value_timestamp', 'timestamp without time zone');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'replace_with_null_string', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'replace_with_null_date', 'date');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'show_first_4_string', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'show_last_4_string', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'truncate_to_year_date', 'date');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'truncate_to_year_timestamp', 'timestamp without time zone');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'truncate_to_month_date', 'date');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'sha_256_global_string', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'chinese_name_string', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'resident_number_string', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'phone_string', 'text');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'date_decade_date', 'date');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'date_decade_timestamp', 'timestamp without time zone');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'number_bucket_integer', 'bigint');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'number_bucket_decimal', 'numeric(12,2)');
INSERT INTO pg_temp.gov_column VALUES ('curated', 'masked', 'number_bucket_double', 'double precision');
DO $gov$
BEGIN
  IF EXISTS (SELECT FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_temp.gov_role g ON g.name = m.rolname) THEN
    RAISE EXCEPTION 'gov: a subject is a member of a role that is not of the export; revoke it first';
  END IF;
  IF EXISTS (SELECT FROM pg_temp.gov_column c WHERE NOT EXISTS (
      SELECT FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid JOIN pg_namespace n ON n.oid = t.relnamespace
      WHERE n.nspname = c.of_schema AND t.relname = c.of_table AND t.relkind IN ('r', 'p')
        AND a.attname = c.name AND NOT a.attisdropped AND format_type(a.atttypid, a.atttypmod) = c.type)) THEN
    RAISE EXCEPTION 'gov: a base table or column is not there in the type that tables.sql has';
  END IF;
  IF EXISTS (SELECT FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
             JOIN pg_temp.gov_column c ON n.nspname = c.of_schema AND t.relname = c.of_table
             JOIN pg_roles r ON r.oid IN (t.relowner, n.nspowner) JOIN pg_temp.gov_role g ON g.name = r.rolname) THEN
    RAISE EXCEPTION 'gov: a subject owns a base table or its schema; give it another owner';
  END IF;
END
$gov$;

REVOKE ALL ON SCHEMA "curated" FROM PUBLIC, "user:text", "user:whole", "user:amount", "user:day", "user:at", "user:flag", "user:place", "user:grouped", "user:ending", "user:over", "user:kept", "user:few", "user:masks", "user:plain";
REVOKE ALL ON TABLE "curated"."filtered" FROM PUBLIC, "user:text", "user:whole", "user:amount", "user:day", "user:at", "user:flag", "user:place", "user:grouped", "user:ending", "user:over", "user:kept", "user:few", "user:masks", "user:plain";
ALTER TABLE "curated"."filtered" ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON SCHEMA "curated" FROM PUBLIC, "user:text", "user:whole", "user:amount", "user:day", "user:at", "user:flag", "user:place", "user:grouped", "user:ending", "user:over", "user:kept", "user:few", "user:masks", "user:plain";
REVOKE ALL ON TABLE "curated"."plain" FROM PUBLIC, "user:text", "user:whole", "user:amount", "user:day", "user:at", "user:flag", "user:place", "user:grouped", "user:ending", "user:over", "user:kept", "user:few", "user:masks", "user:plain";
ALTER TABLE "curated"."plain" ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON SCHEMA "curated" FROM PUBLIC, "user:text", "user:whole", "user:amount", "user:day", "user:at", "user:flag", "user:place", "user:grouped", "user:ending", "user:over", "user:kept", "user:few", "user:masks", "user:plain";
REVOKE ALL ON TABLE "curated"."masked" FROM PUBLIC, "user:text", "user:whole", "user:amount", "user:day", "user:at", "user:flag", "user:place", "user:grouped", "user:ending", "user:over", "user:kept", "user:few", "user:masks", "user:plain";
ALTER TABLE "curated"."masked" ENABLE ROW LEVEL SECURITY;
CREATE SCHEMA IF NOT EXISTS "user:text for rows" AUTHORIZATION "gov_r_1bd3785607c4674c369210452dfd9a332f470359";
GRANT USAGE ON SCHEMA "curated" TO "gov_r_1bd3785607c4674c369210452dfd9a332f470359";
GRANT SELECT ("text", "whole", "amount", "day", "at", "flag", "place") ON TABLE "curated"."filtered" TO "gov_r_1bd3785607c4674c369210452dfd9a332f470359";
CREATE POLICY "gov_r_1bd3785607c4674c369210452dfd9a332f470359" ON "curated"."filtered" AS PERMISSIVE FOR SELECT TO "gov_r_1bd3785607c4674c369210452dfd9a332f470359" USING ((COALESCE((("text" COLLATE "C") = 'it''s \ 100%'), FALSE) OR COALESCE((NOT ("text" COLLATE "C") IN ('a', '名')), FALSE)) AND (COALESCE((("text" COLLATE "C") <> 'it''s \ 100%'), FALSE) OR COALESCE((("text" COLLATE "C") IN ('a', '名')), FALSE)));
CREATE VIEW "user:text for rows"."filtered" WITH (security_barrier = TRUE) AS SELECT (CAST("text" AS TEXT) COLLATE "C") AS "text", CAST("whole" AS BIGINT) AS "whole", CAST("amount" AS DECIMAL(12, 2)) AS "amount", CAST("day" AS DATE) AS "day", CAST("at" AS TIMESTAMP) AS "at", CAST("flag" AS BOOLEAN) AS "flag", (CAST("place" AS TEXT) COLLATE "C") AS "place" FROM "curated"."filtered" WHERE (COALESCE((("text" COLLATE "C") = 'it''s \ 100%'), FALSE) OR COALESCE((NOT ("text" COLLATE "C") IN ('a', '名')), FALSE)) AND (COALESCE((("text" COLLATE "C") <> 'it''s \ 100%'), FALSE) OR COALESCE((("text" COLLATE "C") IN ('a', '名')), FALSE));
ALTER VIEW "user:text for rows"."filtered" OWNER TO "gov_r_1bd3785607c4674c369210452dfd9a332f470359";
REVOKE ALL ON TABLE "user:text for rows"."filtered" FROM PUBLIC;
REVOKE ALL ON SCHEMA "user:text for rows" FROM PUBLIC;
GRANT USAGE ON SCHEMA "user:text for rows" TO "user:text for rows";
GRANT SELECT ON TABLE "user:text for rows"."filtered" TO "user:text for rows";
CREATE SCHEMA IF NOT EXISTS "user:whole for rows" AUTHORIZATION "gov_r_79c9c302ff220a2aca0a027d8a92ffc11fca9611";
GRANT USAGE ON SCHEMA "curated" TO "gov_r_79c9c302ff220a2aca0a027d8a92ffc11fca9611";
GRANT SELECT ("text", "whole", "amount", "day", "at", "flag", "place") ON TABLE "curated"."filtered" TO "gov_r_79c9c302ff220a2aca0a027d8a92ffc11fca9611";
CREATE POLICY "gov_r_79c9c302ff220a2aca0a027d8a92ffc11fca9611" ON "curated"."filtered" AS PERMISSIVE FOR SELECT TO "gov_r_79c9c302ff220a2aca0a027d8a92ffc11fca9611" USING ((COALESCE(("whole" <> CAST('3' AS BIGINT)), FALSE) OR COALESCE(("whole" >= CAST('2' AS BIGINT)), FALSE)) AND (COALESCE(("whole" = CAST('3' AS BIGINT)), FALSE) OR COALESCE(("whole" < CAST('2' AS BIGINT)), FALSE)));
CREATE VIEW "user:whole for rows"."filtered" WITH (security_barrier = TRUE) AS SELECT (CAST("text" AS TEXT) COLLATE "C") AS "text", CAST("whole" AS BIGINT) AS "whole", CAST("amount" AS DECIMAL(12, 2)) AS "amount", CAST("day" AS DATE) AS "day", CAST("at" AS TIMESTAMP) AS "at", CAST("flag" AS BOOLEAN) AS "flag", (CAST("place" AS TEXT) COLLATE "C") AS "place" FROM "curated"."filtered" WHERE (COALESCE(("whole" <> CAST('3' AS BIGINT)), FALSE) OR COALESCE(("whole" >= CAST('2' AS BIGINT)), FALSE)) AND (COALESCE(("whole" = CAST('3' AS BIGINT)), FALSE) OR COALESCE(("whole" < CAST('2' AS BIGINT)), FALSE));
ALTER VIEW "user:whole for rows"."filtered" OWNER TO "gov_r_79c9c302ff220a2aca0a027d8a92ffc11fca9611";
REVOKE ALL ON TABLE "user:whole for rows"."filtered" FROM PUBLIC;
REVOKE ALL ON SCHEMA "user:whole for rows" FROM PUBLIC;
GRANT USAGE ON SCHEMA "user:whole for rows" TO "user:whole for rows";
GRANT SELECT ON TABLE "user:whole for rows"."filtered" TO "user:whole for rows";
CREATE SCHEMA IF NOT EXISTS "user:amount for rows" AUTHORIZATION "gov_r_ac4ed6d8d066a89725cfcc086c3fc5e47f46bd2c";
GRANT USAGE ON SCHEMA "curated" TO "gov_r_ac4ed6d8d066a89725cfcc086c3fc5e47f46bd2c";
GRANT SELECT ("text", "whole", "amount", "day", "at", "flag", "place") ON TABLE "curated"."filtered" TO "gov_r_ac4ed6d8d066a89725cfcc086c3fc5e47f46bd2c";
CREATE POLICY "gov_r_ac4ed6d8d066a89725cfcc086c3fc5e47f46bd2c" ON "curated"."filtered" AS PERMISSIVE FOR SELECT TO "gov_r_ac4ed6d8d066a89725cfcc086c3fc5e47f46bd2c" USING ((COALESCE(("amount" < CAST('10.50' AS DECIMAL(12, 2))), FALSE) OR COALESCE(("amount" > CAST('1' AS DECIMAL(12, 2))), FALSE)) AND (COALESCE(("amount" >= CAST('10.50' AS DECIMAL(12, 2))), FALSE) OR COALESCE(("amount" <= CAST('1' AS DECIMAL(12, 2))), FALSE)));
CREATE VIEW "user:amount for rows"."filtered" WITH (security_barrier = TRUE) AS SELECT (CAST("text" AS TEXT) COLLATE "C") AS "text", CAST("whole" AS BIGINT) AS "whole", CAST("amount" AS DECIMAL(12, 2)) AS "amount", CAST("day" AS DATE) AS "day", CAST("at" AS TIMESTAMP) AS "at", CAST("flag" AS BOOLEAN) AS "flag", (CAST("place" AS TEXT) COLLATE "C") AS "place" FROM "curated"."filtered" WHERE (COALESCE(("amount" < CAST('10.50' AS DECIMAL(12, 2))), FALSE) OR COALESCE(("amount" > CAST('1' AS DECIMAL(12, 2))), FALSE)) AND (COALESCE(("amount" >= CAST('10.50' AS DECIMAL(12, 2))), FALSE) OR COALESCE(("amount" <= CAST('1' AS DECIMAL(12, 2))), FALSE));
ALTER VIEW "user:amount for rows"."filtered" OWNER TO "gov_r_ac4ed6d8d066a89725cfcc086c3fc5e47f46bd2c";
REVOKE ALL ON TABLE "user:amount for rows"."filtered" FROM PUBLIC;
REVOKE ALL ON SCHEMA "user:amount for rows" FROM PUBLIC;
GRANT USAGE ON SCHEMA "user:amount for rows" TO "user:amount for rows";
GRANT SELECT ON TABLE "user:amount for rows"."filtered" TO "user:amount for rows";
CREATE SCHEMA IF NOT EXISTS "user:day for rows" AUTHORIZATION "gov_r_43f97c1952b7e8a10d6e2b96228fd69adab5b193";
GRANT USAGE ON SCHEMA "curated" TO "gov_r_43f97c1952b7e8a10d6e2b96228fd69adab5b193";
GRANT SELECT ("text", "whole", "amount", "day", "at", "flag", "place") ON TABLE "curated"."filtered" TO "gov_r_43f97c1952b7e8a10d6e2b96228fd69adab5b193";
CREATE POLICY "gov_r_43f97c1952b7e8a10d6e2b96228fd69adab5b193" ON "curated"."filtered" AS PERMISSIVE FOR SELECT TO "gov_r_43f97c1952b7e8a10d6e2b96228fd69adab5b193" USING ((COALESCE(("day" <= CAST('2026-01-31' AS DATE)), FALSE) OR "day" IS NULL) AND (COALESCE(("day" > CAST('2026-01-31' AS DATE)), FALSE) OR NOT "day" IS NULL));
CREATE VIEW "user:day for rows"."filtered" WITH (security_barrier = TRUE) AS SELECT (CAST("text" AS TEXT) COLLATE "C") AS "text", CAST("whole" AS BIGINT) AS "whole", CAST("amount" AS DECIMAL(12, 2)) AS "amount", CAST("day" AS DATE) AS "day", CAST("at" AS TIMESTAMP) AS "at", CAST("flag" AS BOOLEAN) AS "flag", (CAST("place" AS TEXT) COLLATE "C") AS "place" FROM "curated"."filtered" WHERE (COALESCE(("day" <= CAST('2026-01-31' AS DATE)), FALSE) OR "day" IS NULL) AND (COALESCE(("day" > CAST('2026-01-31' AS DATE)), FALSE) OR NOT "day" IS NULL);
ALTER VIEW "user:day for rows"."filtered" OWNER TO "gov_r_43f97c1952b7e8a10d6e2b96228fd69adab5b193";
REVOKE ALL ON TABLE "user:day for rows"."filtered" FROM PUBLIC;
REVOKE ALL ON SCHEMA "user:day for rows" FROM PUBLIC;
GRANT USAGE ON SCHEMA "user:day for rows" TO "user:day for rows";
GRANT SELECT ON TABLE "user:day for rows"."filtered" TO "user:day for rows";
CREATE SCHEMA IF NOT EXISTS "user:at for rows" AUTHORIZATION "gov_r_cd8f917263afca4fb1dccd4800c06163354da24a";
GRANT USAGE ON SCHEMA "curated" TO "gov_r_cd8f917263afca4fb1dccd4800c06163354da24a";
GRANT SELECT ("text", "whole", "amount", "day", "at", "flag", "place") ON TABLE "curated"."filtered" TO "gov_r_cd8f917263afca4fb1dccd4800c06163354da24a";
CREATE POLICY "gov_r_cd8f917263afca4fb1dccd4800c06163354da24a" ON "curated"."filtered" AS PERMISSIVE FOR SELECT TO "gov_r_cd8f917263afca4fb1dccd4800c06163354da24a" USING ((COALESCE(("at" > CAST('2026-01-31 08:00:00' AS TIMESTAMP)), FALSE) OR NOT "at" IS NULL) AND (COALESCE(("at" <= CAST('2026-01-31 08:00:00' AS TIMESTAMP)), FALSE) OR "at" IS NULL));
CREATE VIEW "user:at for rows"."filtered" WITH (security_barrier = TRUE) AS SELECT (CAST("text" AS TEXT) COLLATE "C") AS "text", CAST("whole" AS BIGINT) AS "whole", CAST("amount" AS DECIMAL(12, 2)) AS "amount", CAST("day" AS DATE) AS "day", CAST("at" AS TIMESTAMP) AS "at", CAST("flag" AS BOOLEAN) AS "flag", (CAST("place" AS TEXT) COLLATE "C") AS "place" FROM "curated"."filtered" WHERE (COALESCE(("at" > CAST('2026-01-31 08:00:00' AS TIMESTAMP)), FALSE) OR NOT "at" IS NULL) AND (COALESCE(("at" <= CAST('2026-01-31 08:00:00' AS TIMESTAMP)), FALSE) OR "at" IS NULL);
ALTER VIEW "user:at for rows"."filtered" OWNER TO "gov_r_cd8f917263afca4fb1dccd4800c06163354da24a";
REVOKE ALL ON TABLE "user:at for rows"."filtered" FROM PUBLIC;
REVOKE ALL ON SCHEMA "user:at for rows" FROM PUBLIC;
GRANT USAGE ON SCHEMA "user:at for rows" TO "user:at for rows";
GRANT SELECT ON TABLE "user:at for rows"."filtered" TO "user:at for rows";
CREATE SCHEMA IF NOT EXISTS "user:flag for rows" AUTHORIZATION "gov_r_0466b38670627441301a63c7e049e3d9e1170699";
GRANT USAGE ON SCHEMA "curated" TO "gov_r_0466b38670627441301a63c7e049e3d9e1170699";
GRANT SELECT ("text", "whole", "amount", "day", "at", "flag", "place") ON TABLE "curated"."filtered" TO "gov_r_0466b38670627441301a63c7e049e3d9e1170699";
CREATE POLICY "gov_r_0466b38670627441301a63c7e049e3d9e1170699" ON "curated"."filtered" AS PERMISSIVE FOR SELECT TO "gov_r_0466b38670627441301a63c7e049e3d9e1170699" USING ((COALESCE(("flag" = TRUE), FALSE) OR COALESCE(("flag" <> FALSE), FALSE)) AND (COALESCE(("flag" <> TRUE), FALSE) OR COALESCE(("flag" = FALSE), FALSE)));
CREATE VIEW "user:flag for rows"."filtered" WITH (security_barrier = TRUE) AS SELECT (CAST("text" AS TEXT) COLLATE "C") AS "text", CAST("whole" AS BIGINT) AS "whole", CAST("amount" AS DECIMAL(12, 2)) AS "amount", CAST("day" AS DATE) AS "day", CAST("at" AS TIMESTAMP) AS "at", CAST("flag" AS BOOLEAN) AS "flag", (CAST("place" AS TEXT) COLLATE "C") AS "place" FROM "curated"."filtered" WHERE (COALESCE(("flag" = TRUE), FALSE) OR COALESCE(("flag" <> FALSE), FALSE)) AND (COALESCE(("flag" <> TRUE), FALSE) OR COALESCE(("flag" = FALSE), FALSE));
ALTER VIEW "user:flag for rows"."filtered" OWNER TO "gov_r_0466b38670627441301a63c7e049e3d9e1170699";
REVOKE ALL ON TABLE "user:flag for rows"."filtered" FROM PUBLIC;
REVOKE ALL ON SCHEMA "user:flag for rows" FROM PUBLIC;
GRANT USAGE ON SCHEMA "user:flag for rows" TO "user:flag for rows";
GRANT SELECT ON TABLE "user:flag for rows"."filtered" TO "user:flag for rows";
CREATE SCHEMA IF NOT EXISTS "user:place for rows" AUTHORIZATION "gov_r_1d69fdb9f35286a663d40f6318a7a65187161ba7";
GRANT USAGE ON SCHEMA "curated" TO "gov_r_1d69fdb9f35286a663d40f6318a7a65187161ba7";
GRANT SELECT ("text", "whole", "amount", "day", "at", "flag", "place") ON TABLE "curated"."filtered" TO "gov_r_1d69fdb9f35286a663d40f6318a7a65187161ba7";
CREATE POLICY "gov_r_1d69fdb9f35286a663d40f6318a7a65187161ba7" ON "curated"."filtered" AS PERMISSIVE FOR SELECT TO "gov_r_1d69fdb9f35286a663d40f6318a7a65187161ba7" USING ((COALESCE((("place" COLLATE "C") IN ('1', '2''')), FALSE) OR COALESCE((("place" COLLATE "C") = 'health'), FALSE)) AND (COALESCE((NOT ("place" COLLATE "C") IN ('1', '2''')), FALSE) OR COALESCE((("place" COLLATE "C") <> 'health'), FALSE)));
CREATE VIEW "user:place for rows"."filtered" WITH (security_barrier = TRUE) AS SELECT (CAST("text" AS TEXT) COLLATE "C") AS "text", CAST("whole" AS BIGINT) AS "whole", CAST("amount" AS DECIMAL(12, 2)) AS "amount", CAST("day" AS DATE) AS "day", CAST("at" AS TIMESTAMP) AS "at", CAST("flag" AS BOOLEAN) AS "flag", (CAST("place" AS TEXT) COLLATE "C") AS "place" FROM "curated"."filtered" WHERE (COALESCE((("place" COLLATE "C") IN ('1', '2''')), FALSE) OR COALESCE((("place" COLLATE "C") = 'health'), FALSE)) AND (COALESCE((NOT ("place" COLLATE "C") IN ('1', '2''')), FALSE) OR COALESCE((("place" COLLATE "C") <> 'health'), FALSE));
ALTER VIEW "user:place for rows"."filtered" OWNER TO "gov_r_1d69fdb9f35286a663d40f6318a7a65187161ba7";
REVOKE ALL ON TABLE "user:place for rows"."filtered" FROM PUBLIC;
REVOKE ALL ON SCHEMA "user:place for rows" FROM PUBLIC;
GRANT USAGE ON SCHEMA "user:place for rows" TO "user:place for rows";
GRANT SELECT ON TABLE "user:place for rows"."filtered" TO "user:place for rows";
CREATE SCHEMA IF NOT EXISTS "user:ending for plain" AUTHORIZATION "gov_r_0251618e3ff162804c4e23915826272f43e51679";
GRANT USAGE ON SCHEMA "curated" TO "gov_r_0251618e3ff162804c4e23915826272f43e51679";
GRANT SELECT ("open") ON TABLE "curated"."plain" TO "gov_r_0251618e3ff162804c4e23915826272f43e51679";
CREATE POLICY "gov_r_0251618e3ff162804c4e23915826272f43e51679" ON "curated"."plain" AS PERMISSIVE FOR SELECT TO "gov_r_0251618e3ff162804c4e23915826272f43e51679" USING (pg_catalog.statement_timestamp() < CAST('2027-01-01T00:00:00.000000Z' AS TIMESTAMPTZ));
CREATE VIEW "user:ending for plain"."plain" WITH (security_barrier = TRUE) AS SELECT (CAST("open" AS TEXT) COLLATE "C") AS "open" FROM "curated"."plain" WHERE pg_catalog.statement_timestamp() < CAST('2027-01-01T00:00:00.000000Z' AS TIMESTAMPTZ);
ALTER VIEW "user:ending for plain"."plain" OWNER TO "gov_r_0251618e3ff162804c4e23915826272f43e51679";
REVOKE ALL ON TABLE "user:ending for plain"."plain" FROM PUBLIC;
REVOKE ALL ON SCHEMA "user:ending for plain" FROM PUBLIC;
GRANT USAGE ON SCHEMA "user:ending for plain" TO "user:ending for plain";
GRANT SELECT ON TABLE "user:ending for plain"."plain" TO "user:ending for plain";
CREATE SCHEMA IF NOT EXISTS "user:masks for masks" AUTHORIZATION "gov_r_65aceaf72a70314813b56fe23c8c26879513b909";
GRANT USAGE ON SCHEMA "curated" TO "gov_r_65aceaf72a70314813b56fe23c8c26879513b909";
GRANT SELECT ("mask_alphanum_string", "mask_to_fixed_value_string", "mask_to_fixed_value_integer", "mask_to_fixed_value_decimal", "mask_to_fixed_value_double", "mask_to_fixed_value_boolean", "mask_to_fixed_value_date", "mask_to_fixed_value_timestamp", "replace_with_null_string", "replace_with_null_date", "show_first_4_string", "show_last_4_string", "truncate_to_year_date", "truncate_to_year_timestamp", "truncate_to_month_date", "sha_256_global_string", "chinese_name_string", "resident_number_string", "phone_string", "date_decade_date", "date_decade_timestamp", "number_bucket_integer", "number_bucket_decimal", "number_bucket_double") ON TABLE "curated"."masked" TO "gov_r_65aceaf72a70314813b56fe23c8c26879513b909";
CREATE POLICY "gov_r_65aceaf72a70314813b56fe23c8c26879513b909" ON "curated"."masked" AS PERMISSIVE FOR SELECT TO "gov_r_65aceaf72a70314813b56fe23c8c26879513b909" USING (TRUE);
CREATE VIEW "user:masks for masks"."masked" WITH (security_barrier = TRUE) AS SELECT (CAST(CASE WHEN CAST("mask_alphanum_string" AS TEXT) IS NULL THEN NULL WHEN (REGEXP_REPLACE(REGEXP_REPLACE(CAST("mask_alphanum_string" AS TEXT), '[^0-9(),.@-]', 'x', 'g'), '[0-9]', 'n', 'g')) <> CAST("mask_alphanum_string" AS TEXT) THEN (REGEXP_REPLACE(REGEXP_REPLACE(CAST("mask_alphanum_string" AS TEXT), '[^0-9(),.@-]', 'x', 'g'), '[0-9]', 'n', 'g')) WHEN CAST("mask_alphanum_string" AS TEXT) = 'XXXXXXXX' THEN '********' ELSE 'XXXXXXXX' END AS TEXT) COLLATE "C") AS "mask_alphanum_string", (CAST('XXXXXXXX' AS TEXT) COLLATE "C") AS "mask_to_fixed_value_string", CAST(0 AS BIGINT) AS "mask_to_fixed_value_integer", CAST(0 AS DECIMAL(12, 2)) AS "mask_to_fixed_value_decimal", CAST(0 AS DOUBLE PRECISION) AS "mask_to_fixed_value_double", CAST(FALSE AS BOOLEAN) AS "mask_to_fixed_value_boolean", CAST('1970-01-01' AS DATE) AS "mask_to_fixed_value_date", CAST('1970-01-01 00:00:00' AS TIMESTAMP) AS "mask_to_fixed_value_timestamp", (CAST(NULL AS TEXT) COLLATE "C") AS "replace_with_null_string", CAST(NULL AS DATE) AS "replace_with_null_date", (CAST(CASE WHEN CAST("show_first_4_string" AS TEXT) IS NULL THEN NULL WHEN (SUBSTRING(CAST("show_first_4_string" AS TEXT) FROM 1 FOR 4) || REGEXP_REPLACE(REGEXP_REPLACE(SUBSTRING(CAST("show_first_4_string" AS TEXT) FROM 5), '[^0-9(),.@-]', 'x', 'g'), '[0-9]', 'n', 'g')) <> CAST("show_first_4_string" AS TEXT) THEN (SUBSTRING(CAST("show_first_4_string" AS TEXT) FROM 1 FOR 4) || REGEXP_REPLACE(REGEXP_REPLACE(SUBSTRING(CAST("show_first_4_string" AS TEXT) FROM 5), '[^0-9(),.@-]', 'x', 'g'), '[0-9]', 'n', 'g')) WHEN CAST("show_first_4_string" AS TEXT) = 'XXXXXXXX' THEN '********' ELSE 'XXXXXXXX' END AS TEXT) COLLATE "C") AS "show_first_4_string", (CAST(CASE WHEN CAST("show_last_4_string" AS TEXT) IS NULL THEN NULL WHEN (CASE WHEN LENGTH(CAST("show_last_4_string" AS TEXT)) > 4 THEN REGEXP_REPLACE(REGEXP_REPLACE(SUBSTRING(CAST("show_last_4_string" AS TEXT) FROM 1 FOR LENGTH(CAST("show_last_4_string" AS TEXT)) - 4), '[^0-9(),.@-]', 'x', 'g'), '[0-9]', 'n', 'g') || RIGHT(CAST("show_last_4_string" AS TEXT), 4) ELSE CAST("show_last_4_string" AS TEXT) END) <> CAST("show_last_4_string" AS TEXT) THEN (CASE WHEN LENGTH(CAST("show_last_4_string" AS TEXT)) > 4 THEN REGEXP_REPLACE(REGEXP_REPLACE(SUBSTRING(CAST("show_last_4_string" AS TEXT) FROM 1 FOR LENGTH(CAST("show_last_4_string" AS TEXT)) - 4), '[^0-9(),.@-]', 'x', 'g'), '[0-9]', 'n', 'g') || RIGHT(CAST("show_last_4_string" AS TEXT), 4) ELSE CAST("show_last_4_string" AS TEXT) END) WHEN CAST("show_last_4_string" AS TEXT) = 'XXXXXXXX' THEN '********' ELSE 'XXXXXXXX' END AS TEXT) COLLATE "C") AS "show_last_4_string", CAST(CASE WHEN ISFINITE(CAST("truncate_to_year_date" AS DATE)) AND CAST("truncate_to_year_date" AS DATE) >= '0001-01-01' THEN DATE_TRUNC('YEAR', CAST(CAST("truncate_to_year_date" AS DATE) AS TIMESTAMP)) END AS DATE) AS "truncate_to_year_date", CAST(CASE WHEN ISFINITE(CAST("truncate_to_year_timestamp" AS TIMESTAMP)) AND CAST("truncate_to_year_timestamp" AS TIMESTAMP) >= '0001-01-01' THEN DATE_TRUNC('YEAR', CAST(CAST("truncate_to_year_timestamp" AS TIMESTAMP) AS TIMESTAMP)) END AS TIMESTAMP) AS "truncate_to_year_timestamp", CAST(CASE WHEN ISFINITE(CAST("truncate_to_month_date" AS DATE)) AND CAST("truncate_to_month_date" AS DATE) >= '0001-01-01' THEN DATE_TRUNC('MONTH', CAST(CAST("truncate_to_month_date" AS DATE) AS TIMESTAMP)) END AS DATE) AS "truncate_to_month_date", (CAST(CASE WHEN CAST("sha_256_global_string" AS TEXT) IS NULL THEN NULL WHEN (ENCODE(SHA256(CONVERT_TO(CAST("sha_256_global_string" AS TEXT), 'UTF8')), 'hex')) <> CAST("sha_256_global_string" AS TEXT) THEN (ENCODE(SHA256(CONVERT_TO(CAST("sha_256_global_string" AS TEXT), 'UTF8')), 'hex')) WHEN CAST("sha_256_global_string" AS TEXT) = 'XXXXXXXX' THEN '********' ELSE 'XXXXXXXX' END AS TEXT) COLLATE "C") AS "sha_256_global_string", (CAST(CASE WHEN CAST("chinese_name_string" AS TEXT) IS NULL THEN NULL WHEN (CASE WHEN LENGTH(CAST("chinese_name_string" AS TEXT)) >= 2 THEN SUBSTRING(CAST("chinese_name_string" AS TEXT) FROM 1 FOR 1) || '**' ELSE '**' END) <> CAST("chinese_name_string" AS TEXT) THEN (CASE WHEN LENGTH(CAST("chinese_name_string" AS TEXT)) >= 2 THEN SUBSTRING(CAST("chinese_name_string" AS TEXT) FROM 1 FOR 1) || '**' ELSE '**' END) WHEN CAST("chinese_name_string" AS TEXT) = 'XXXXXXXX' THEN '********' ELSE 'XXXXXXXX' END AS TEXT) COLLATE "C") AS "chinese_name_string", (CAST(CASE WHEN CAST("resident_number_string" AS TEXT) IS NULL THEN NULL WHEN (CASE WHEN (LENGTH(CAST("resident_number_string" AS TEXT)) = 18 AND CAST("resident_number_string" AS TEXT) ~ '^[0-9]{17}[0-9Xx]$') OR (LENGTH(CAST("resident_number_string" AS TEXT)) = 15 AND CAST("resident_number_string" AS TEXT) ~ '^[0-9]{15}$') THEN SUBSTRING(CAST("resident_number_string" AS TEXT) FROM 1 FOR 6) || '************' ELSE '******************' END) <> CAST("resident_number_string" AS TEXT) THEN (CASE WHEN (LENGTH(CAST("resident_number_string" AS TEXT)) = 18 AND CAST("resident_number_string" AS TEXT) ~ '^[0-9]{17}[0-9Xx]$') OR (LENGTH(CAST("resident_number_string" AS TEXT)) = 15 AND CAST("resident_number_string" AS TEXT) ~ '^[0-9]{15}$') THEN SUBSTRING(CAST("resident_number_string" AS TEXT) FROM 1 FOR 6) || '************' ELSE '******************' END) WHEN CAST("resident_number_string" AS TEXT) = 'XXXXXXXX' THEN '********' ELSE 'XXXXXXXX' END AS TEXT) COLLATE "C") AS "resident_number_string", (CAST(CASE WHEN CAST("phone_string" AS TEXT) IS NULL THEN NULL WHEN (CASE WHEN LENGTH(CAST("phone_string" AS TEXT)) = 11 AND CAST("phone_string" AS TEXT) ~ '^[0-9]{11}$' THEN SUBSTRING(CAST("phone_string" AS TEXT) FROM 1 FOR 3) || '****' || RIGHT(CAST("phone_string" AS TEXT), 4) ELSE '***********' END) <> CAST("phone_string" AS TEXT) THEN (CASE WHEN LENGTH(CAST("phone_string" AS TEXT)) = 11 AND CAST("phone_string" AS TEXT) ~ '^[0-9]{11}$' THEN SUBSTRING(CAST("phone_string" AS TEXT) FROM 1 FOR 3) || '****' || RIGHT(CAST("phone_string" AS TEXT), 4) ELSE '***********' END) WHEN CAST("phone_string" AS TEXT) = 'XXXXXXXX' THEN '********' ELSE 'XXXXXXXX' END AS TEXT) COLLATE "C") AS "phone_string", CAST(CASE WHEN ISFINITE(CAST("date_decade_date" AS DATE)) AND CAST("date_decade_date" AS DATE) >= '0001-01-01' THEN DATE_TRUNC('DECADE', CAST(CAST("date_decade_date" AS DATE) AS TIMESTAMP)) END AS DATE) AS "date_decade_date", CAST(CASE WHEN ISFINITE(CAST("date_decade_timestamp" AS TIMESTAMP)) AND CAST("date_decade_timestamp" AS TIMESTAMP) >= '0001-01-01' THEN DATE_TRUNC('DECADE', CAST(CAST("date_decade_timestamp" AS TIMESTAMP) AS TIMESTAMP)) END AS TIMESTAMP) AS "date_decade_timestamp", CAST(CASE WHEN (CAST(CAST("number_bucket_integer" AS BIGINT) AS DECIMAL) - (CAST(CAST("number_bucket_integer" AS BIGINT) AS DECIMAL) % 1000 + 1000) % 1000) >= CAST('-9223372036854775808' AS DECIMAL) THEN CAST((CAST(CAST("number_bucket_integer" AS BIGINT) AS DECIMAL) - (CAST(CAST("number_bucket_integer" AS BIGINT) AS DECIMAL) % 1000 + 1000) % 1000) AS BIGINT) END AS BIGINT) AS "number_bucket_integer", CAST(CASE WHEN ABS(((FLOOR((CASE WHEN ABS(CAST("number_bucket_decimal" AS DECIMAL(12, 2)) * 100) <= 9007199254740992 THEN CAST((CAST("number_bucket_decimal" AS DECIMAL(12, 2)) * 100) AS DOUBLE PRECISION) / CAST(100 AS DOUBLE PRECISION) ELSE CAST(TRUNC(CAST("number_bucket_decimal" AS DECIMAL(12, 2))) AS DOUBLE PRECISION) + CAST(((CAST("number_bucket_decimal" AS DECIMAL(12, 2)) - TRUNC(CAST("number_bucket_decimal" AS DECIMAL(12, 2)))) * 100) AS DOUBLE PRECISION) / CAST(100 AS DOUBLE PRECISION) END) / CAST(1000 AS DOUBLE PRECISION)) * CAST(1000 AS DOUBLE PRECISION)) * CAST(100 AS DOUBLE PRECISION))) < CAST(1e12 AS DOUBLE PRECISION) THEN CAST(CAST(((FLOOR((CASE WHEN ABS(CAST("number_bucket_decimal" AS DECIMAL(12, 2)) * 100) <= 9007199254740992 THEN CAST((CAST("number_bucket_decimal" AS DECIMAL(12, 2)) * 100) AS DOUBLE PRECISION) / CAST(100 AS DOUBLE PRECISION) ELSE CAST(TRUNC(CAST("number_bucket_decimal" AS DECIMAL(12, 2))) AS DOUBLE PRECISION) + CAST(((CAST("number_bucket_decimal" AS DECIMAL(12, 2)) - TRUNC(CAST("number_bucket_decimal" AS DECIMAL(12, 2)))) * 100) AS DOUBLE PRECISION) / CAST(100 AS DOUBLE PRECISION) END) / CAST(1000 AS DOUBLE PRECISION)) * CAST(1000 AS DOUBLE PRECISION)) * CAST(100 AS DOUBLE PRECISION)) AS BIGINT) AS DECIMAL) * 0.01 END AS DECIMAL(12, 2)) AS "number_bucket_decimal", CAST(CASE WHEN NOT CAST("number_bucket_double" AS DOUBLE PRECISION) IN (CAST('Infinity' AS DOUBLE PRECISION), CAST('-Infinity' AS DOUBLE PRECISION), CAST('NaN' AS DOUBLE PRECISION)) THEN CASE WHEN ABS(CAST("number_bucket_double" AS DOUBLE PRECISION)) BETWEEN 1e-290 AND 1e308 THEN FLOOR(CAST("number_bucket_double" AS DOUBLE PRECISION) / CAST(1000 AS DOUBLE PRECISION)) * CAST(1000 AS DOUBLE PRECISION) WHEN ABS(CAST("number_bucket_double" AS DOUBLE PRECISION)) < 1 THEN CASE WHEN CAST("number_bucket_double" AS DOUBLE PRECISION) < 0 THEN -CAST(1000 AS DOUBLE PRECISION) ELSE CAST(0 AS DOUBLE PRECISION) END END END AS DOUBLE PRECISION) AS "number_bucket_double" FROM "curated"."masked";
ALTER VIEW "user:masks for masks"."masked" OWNER TO "gov_r_65aceaf72a70314813b56fe23c8c26879513b909";
REVOKE ALL ON TABLE "user:masks for masks"."masked" FROM PUBLIC;
REVOKE ALL ON SCHEMA "user:masks for masks" FROM PUBLIC;
GRANT USAGE ON SCHEMA "user:masks for masks" TO "user:masks for masks";
GRANT SELECT ON TABLE "user:masks for masks"."masked" TO "user:masks for masks";
CREATE SCHEMA IF NOT EXISTS "user:plain for plain" AUTHORIZATION "gov_r_039d82de727b38b21f78c98066f8495774337ceb";
GRANT USAGE ON SCHEMA "curated" TO "gov_r_039d82de727b38b21f78c98066f8495774337ceb";
GRANT SELECT ("open") ON TABLE "curated"."plain" TO "gov_r_039d82de727b38b21f78c98066f8495774337ceb";
CREATE POLICY "gov_r_039d82de727b38b21f78c98066f8495774337ceb" ON "curated"."plain" AS PERMISSIVE FOR SELECT TO "gov_r_039d82de727b38b21f78c98066f8495774337ceb" USING (TRUE);
CREATE VIEW "user:plain for plain"."plain" WITH (security_barrier = TRUE) AS SELECT (CAST("open" AS TEXT) COLLATE "C") AS "open" FROM "curated"."plain";
ALTER VIEW "user:plain for plain"."plain" OWNER TO "gov_r_039d82de727b38b21f78c98066f8495774337ceb";
REVOKE ALL ON TABLE "user:plain for plain"."plain" FROM PUBLIC;
REVOKE ALL ON SCHEMA "user:plain for plain" FROM PUBLIC;
GRANT USAGE ON SCHEMA "user:plain for plain" TO "user:plain for plain";
GRANT SELECT ON TABLE "user:plain for plain"."plain" TO "user:plain for plain";
GRANT "user:text for rows" TO "user:text";
GRANT "user:whole for rows" TO "user:whole";
GRANT "user:amount for rows" TO "user:amount";
GRANT "user:day for rows" TO "user:day";
GRANT "user:at for rows" TO "user:at";
GRANT "user:flag for rows" TO "user:flag";
GRANT "user:place for rows" TO "user:place";
GRANT "user:ending for plain" TO "user:ending";
GRANT "user:masks for masks" TO "user:masks";
GRANT "user:plain for plain" TO "user:plain";
DO $gov$
BEGIN
  EXECUTE format('REVOKE TEMPORARY, CREATE ON DATABASE %I FROM PUBLIC', current_database());
  IF EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public') THEN
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  END IF;
END
$gov$;

COMMIT;
