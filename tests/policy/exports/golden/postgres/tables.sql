-- The base tables that policy.sql expects: load them from the release's snapshot.
BEGIN;
CREATE SCHEMA IF NOT EXISTS "curated";
CREATE TABLE IF NOT EXISTS "curated"."filtered" ("text" TEXT, "whole" BIGINT, "amount" NUMERIC(12,2), "day" DATE, "at" TIMESTAMP, "flag" BOOLEAN, "place" TEXT);
CREATE SCHEMA IF NOT EXISTS "curated";
CREATE TABLE IF NOT EXISTS "curated"."plain" ("open" TEXT);
CREATE SCHEMA IF NOT EXISTS "curated";
CREATE TABLE IF NOT EXISTS "curated"."masked" ("mask_alphanum_string" TEXT, "mask_to_fixed_value_string" TEXT, "mask_to_fixed_value_integer" BIGINT, "mask_to_fixed_value_decimal" NUMERIC(12,2), "mask_to_fixed_value_double" DOUBLE PRECISION, "mask_to_fixed_value_boolean" BOOLEAN, "mask_to_fixed_value_date" DATE, "mask_to_fixed_value_timestamp" TIMESTAMP, "replace_with_null_string" TEXT, "replace_with_null_date" DATE, "show_first_4_string" TEXT, "show_last_4_string" TEXT, "truncate_to_year_date" DATE, "truncate_to_year_timestamp" TIMESTAMP, "truncate_to_month_date" DATE, "sha_256_global_string" TEXT, "chinese_name_string" TEXT, "resident_number_string" TEXT, "phone_string" TEXT, "date_decade_date" DATE, "date_decade_timestamp" TIMESTAMP, "number_bucket_integer" BIGINT, "number_bucket_decimal" NUMERIC(12,2), "number_bucket_double" DOUBLE PRECISION);
COMMIT;
