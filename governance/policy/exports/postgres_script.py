"""The fixed parts of the PostgreSQL script. No name of the policy stands in them: names come in rows of temporary tables."""

from __future__ import annotations

BEFORE = """\
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
"""
ROLES = """\
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
"""
CHECKS = """\
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
"""
AFTER = """\
DO $gov$
BEGIN
  EXECUTE format('REVOKE TEMPORARY, CREATE ON DATABASE %I FROM PUBLIC', current_database());
  IF EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public') THEN
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  END IF;
END
$gov$;
"""
END = "COMMIT;\n"
