"""Functions that a user's statement may call. What is not named here is refused.

Left out on purpose: whatever runs SQL from text, reads files, settings, variables, the catalogue or statistics,
writes a log, sleeps, or echoes its argument in an error.
"""

from __future__ import annotations

_OPERATORS = "+ - * / // % ** ^ || ~~ !~~ ~~* !~~* ~~~ ~ & | << >> && @> <@ ^@ @ !__postfix -> ->> = != < > <= >="
_STRINGS = (
    "ascii char_length character_length chr concat concat_ws contains damerau_levenshtein ends_with format hamming "
    "hex instr jaccard jaro_similarity jaro_winkler_similarity lcase left left_grapheme len length length_grapheme "
    "levenshtein like_escape ilike_escape not_like_escape not_ilike_escape lower lpad ltrim md5 mismatches "
    "nfc_normalize octet_length ord position prefix regexp_extract regexp_extract_all regexp_full_match regexp_matches "
    "regexp_replace regexp_split_to_array repeat replace reverse right right_grapheme rpad rtrim sha256 split "
    "split_part starts_with str_split string_split string_to_array strip_accents strlen strpos substr substring "
    "substring_grapheme suffix to_hex translate trim ucase unicode upper bit_length overlay printf"
)
_NUMBERS = (
    "abs acos acosh asin asinh atan atan2 atanh cbrt ceil ceiling cos cosh cot degrees even exp factorial floor fmod "
    "gamma gcd greatest_common_divisor isfinite isinf isnan lcm least_common_multiple lgamma ln log log10 log2 mod pi "
    "pow power radians round round_even sign signbit sin sinh sqrt tan tanh trunc xor add subtract multiply divide "
    "fdiv bit_count greatest least"
)
_TIMES = (
    "age century current_date current_localtime current_localtimestamp date_add date_diff date_part date_sub "
    "date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade "
    "epoch epoch_ms epoch_us era get_current_time get_current_timestamp hour isodow isoyear julian last_day make_date "
    "make_time make_timestamp microsecond millennium millisecond minute month monthname now quarter second strftime "
    "strptime try_strptime time_bucket timezone to_centuries to_days to_decades to_hours to_microseconds to_millennia "
    "to_milliseconds to_minutes to_months to_quarters to_seconds to_weeks to_years to_timestamp today "
    "transaction_timestamp week weekday weekofyear year yearweek"
)
_AGGREGATES = (
    "any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_min argmax argmin array_agg "
    "avg bit_and bit_or bit_xor bool_and bool_or corr count count_if count_star countif covar_pop covar_samp entropy "
    "favg first fsum geomean group_concat histogram kahan_sum kurtosis kurtosis_pop last list listagg mad max max_by "
    "mean median min min_by mode product quantile quantile_cont quantile_disc regr_avgx regr_avgy regr_count "
    "regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy sem skewness stddev stddev_pop stddev_samp "
    "string_agg sum sumkahan var_pop var_samp variance grouping grouping_id"
)
_WINDOWS = (
    "row_number rank dense_rank rank_dense percent_rank cume_dist ntile lag lead first_value last_value nth_value fill"
)
_NESTED = (
    "array_length array_value cardinality element_at flatten generate_series list_aggr list_aggregate list_append "
    "list_apply list_avg list_cat list_concat list_contains list_count list_distinct list_extract list_element "
    "list_filter list_first list_has list_has_all list_has_any list_indexof list_last list_max list_median list_min "
    "list_pack list_position list_prepend list_reduce list_reverse list_reverse_sort list_select list_slice list_sort "
    "list_sum list_transform list_unique list_value list_where list_zip array_agg array_extract array_slice "
    "array_to_string map map_entries map_extract map_from_entries map_keys map_values range row struct_extract "
    "struct_extract_at struct_insert struct_keys struct_pack struct_values unnest unpivot_list"
)
_OTHERS = "coalesce if ifnull nullif typeof hash constant_or_null switch"

FUNCTIONS = frozenset(
    " ".join((_OPERATORS, _STRINGS, _NUMBERS, _TIMES, _AGGREGATES, _WINDOWS, _NESTED, _OTHERS)).split()
)
TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
