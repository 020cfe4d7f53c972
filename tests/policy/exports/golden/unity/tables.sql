-- The tables that policy.sql expects: load them from the release's snapshot.
CREATE CATALOG IF NOT EXISTS `p_rows`;
CREATE SCHEMA IF NOT EXISTS `p_rows`.`curated`;
CREATE TABLE IF NOT EXISTS `p_rows`.`curated`.`filtered` (`text` STRING, `whole` BIGINT, `amount` DECIMAL(12,2), `day` DATE, `at` TIMESTAMP_NTZ, `flag` BOOLEAN, `place` STRING);
CREATE CATALOG IF NOT EXISTS `p_plain`;
CREATE SCHEMA IF NOT EXISTS `p_plain`.`curated`;
CREATE TABLE IF NOT EXISTS `p_plain`.`curated`.`plain` (`open` STRING);
CREATE CATALOG IF NOT EXISTS `p_masks`;
CREATE SCHEMA IF NOT EXISTS `p_masks`.`curated`;
CREATE TABLE IF NOT EXISTS `p_masks`.`curated`.`masked` (`mask_alphanum_string` STRING, `mask_to_fixed_value_string` STRING, `mask_to_fixed_value_integer` BIGINT, `mask_to_fixed_value_decimal` DECIMAL(12,2), `mask_to_fixed_value_double` DOUBLE, `mask_to_fixed_value_boolean` BOOLEAN, `mask_to_fixed_value_date` DATE, `mask_to_fixed_value_timestamp` TIMESTAMP_NTZ, `replace_with_null_string` STRING, `replace_with_null_date` DATE, `show_first_4_string` STRING, `show_last_4_string` STRING, `truncate_to_year_date` DATE, `truncate_to_year_timestamp` TIMESTAMP_NTZ, `truncate_to_month_date` DATE, `sha_256_global_string` STRING, `chinese_name_string` STRING, `resident_number_string` STRING, `phone_string` STRING, `address_county_string` STRING, `date_decade_date` DATE, `date_decade_timestamp` TIMESTAMP_NTZ, `number_bucket_integer` BIGINT, `number_bucket_decimal` DECIMAL(12,2));
