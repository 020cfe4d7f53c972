"""Column lineage of thirty TPC-DS queries, read from their texts by hand: what each output column and the set of rows
depend on. The texts are TPC's and not here; columns of TPC-DS name their table by their prefix.

A line has a subtype and `output=column,column` (an output alone is the column of its name); a line without a subtype is
IDENTITY. Lines that begin with `*` speak of the rows. Joins by comma stand in WHERE: FILTER. `count(*)` has no source.
Blanks in output names are written `_`; `_col_1` is the second output, which has no name.
"""

ANSWERS: dict[int, str] = {
    1: """
        c_customer_id
        * FILTER sr_returned_date_sk d_date_sk d_year sr_return_amt sr_store_sk sr_customer_sk s_store_sk s_state c_customer_sk
        * GROUP_BY sr_customer_sk sr_store_sk
        * SORT c_customer_id
    """,
    3: """
        d_year brand_id=i_brand_id brand=i_brand
        AGGREGATION sum_agg=ss_ext_sales_price
        * FILTER d_date_sk ss_sold_date_sk ss_item_sk i_item_sk i_manufact_id d_moy
        * GROUP_BY d_year i_brand i_brand_id
        * SORT d_year ss_ext_sales_price i_brand_id
    """,
    6: """
        state=ca_state
        * FILTER ca_address_sk c_current_addr_sk c_customer_sk ss_customer_sk ss_sold_date_sk d_date_sk ss_item_sk i_item_sk
        * FILTER d_month_seq d_year d_moy i_current_price i_category
        * GROUP_BY ca_state
        * SORT ca_state
    """,
    7: """
        i_item_id
        AGGREGATION agg1=ss_quantity agg2=ss_list_price agg3=ss_coupon_amt agg4=ss_sales_price
        * FILTER ss_sold_date_sk d_date_sk ss_item_sk i_item_sk ss_cdemo_sk cd_demo_sk ss_promo_sk p_promo_sk cd_gender
        * FILTER cd_marital_status cd_education_status p_channel_email p_channel_event d_year
        * GROUP_BY i_item_id
        * SORT i_item_id
    """,
    9: """
        AGGREGATION bucket1=ss_ext_discount_amt,ss_net_paid bucket2=ss_ext_discount_amt,ss_net_paid
        AGGREGATION bucket3=ss_ext_discount_amt,ss_net_paid bucket4=ss_ext_discount_amt,ss_net_paid
        AGGREGATION bucket5=ss_ext_discount_amt,ss_net_paid
        CONDITIONAL bucket1=ss_quantity bucket2=ss_quantity bucket3=ss_quantity bucket4=ss_quantity bucket5=ss_quantity
        FILTER bucket1=ss_quantity bucket2=ss_quantity bucket3=ss_quantity bucket4=ss_quantity bucket5=ss_quantity
        * FILTER r_reason_sk
    """,
    12: """
        i_item_id i_item_desc i_category i_class i_current_price
        AGGREGATION itemrevenue=ws_ext_sales_price revenueratio=ws_ext_sales_price
        WINDOW revenueratio=i_class
        * FILTER ws_item_sk i_item_sk i_category ws_sold_date_sk d_date_sk d_date
        * GROUP_BY i_item_id i_item_desc i_category i_class i_current_price
        * SORT i_category i_class i_item_id i_item_desc ws_ext_sales_price
    """,
    15: """
        ca_zip
        AGGREGATION _col_1=cs_sales_price
        * FILTER cs_bill_customer_sk c_customer_sk c_current_addr_sk ca_address_sk ca_zip ca_state cs_sales_price
        * FILTER cs_sold_date_sk d_date_sk d_qoy d_year
        * GROUP_BY ca_zip
        * SORT ca_zip
    """,
    16: """
        AGGREGATION order_count=cs_order_number total_shipping_cost=cs_ext_ship_cost total_net_profit=cs_net_profit
        * FILTER d_date cs_ship_date_sk d_date_sk cs_ship_addr_sk ca_address_sk ca_state cs_call_center_sk
        * FILTER cc_call_center_sk cc_county cs_order_number cs_warehouse_sk cr_order_number
        * SORT cs_order_number
    """,
    19: """
        brand_id=i_brand_id brand=i_brand i_manufact_id i_manufact
        AGGREGATION ext_price=ss_ext_sales_price
        * FILTER d_date_sk ss_sold_date_sk ss_item_sk i_item_sk i_manager_id d_moy d_year ss_customer_sk c_customer_sk
        * FILTER c_current_addr_sk ca_address_sk ca_zip s_zip ss_store_sk s_store_sk
        * GROUP_BY i_brand i_brand_id i_manufact_id i_manufact
        * SORT ss_ext_sales_price i_brand i_brand_id i_manufact_id i_manufact
    """,
    20: """
        i_item_id i_item_desc i_category i_class i_current_price
        AGGREGATION itemrevenue=cs_ext_sales_price revenueratio=cs_ext_sales_price
        WINDOW revenueratio=i_class
        * FILTER cs_item_sk i_item_sk i_category cs_sold_date_sk d_date_sk d_date
        * GROUP_BY i_item_id i_item_desc i_category i_class i_current_price
        * SORT i_category i_class i_item_id i_item_desc cs_ext_sales_price
    """,
    22: """
        i_product_name i_brand i_class i_category
        AGGREGATION qoh=inv_quantity_on_hand
        * FILTER inv_date_sk d_date_sk inv_item_sk i_item_sk d_month_seq
        * GROUP_BY i_product_name i_brand i_class i_category
        * SORT inv_quantity_on_hand i_product_name i_brand i_class i_category
    """,
    25: """
        i_item_id i_item_desc s_store_id s_store_name
        AGGREGATION store_sales_profit=ss_net_profit store_returns_loss=sr_net_loss catalog_sales_profit=cs_net_profit
        * FILTER d_moy d_year d_date_sk ss_sold_date_sk i_item_sk ss_item_sk s_store_sk ss_store_sk ss_customer_sk
        * FILTER sr_customer_sk sr_item_sk ss_ticket_number sr_ticket_number sr_returned_date_sk cs_bill_customer_sk
        * FILTER cs_item_sk cs_sold_date_sk
        * GROUP_BY i_item_id i_item_desc s_store_id s_store_name
        * SORT i_item_id i_item_desc s_store_id s_store_name
    """,
    26: """
        i_item_id
        AGGREGATION agg1=cs_quantity agg2=cs_list_price agg3=cs_coupon_amt agg4=cs_sales_price
        * FILTER cs_sold_date_sk d_date_sk cs_item_sk i_item_sk cs_bill_cdemo_sk cd_demo_sk cs_promo_sk p_promo_sk cd_gender
        * FILTER cd_marital_status cd_education_status p_channel_email p_channel_event d_year
        * GROUP_BY i_item_id
        * SORT i_item_id
    """,
    32: """
        AGGREGATION excess_discount_amount=cs_ext_discount_amt
        * FILTER i_manufact_id i_item_sk cs_item_sk d_date d_date_sk cs_sold_date_sk cs_ext_discount_amt
    """,
    37: """
        i_item_id i_item_desc i_current_price
        * FILTER i_current_price inv_item_sk i_item_sk d_date_sk inv_date_sk d_date i_manufact_id inv_quantity_on_hand cs_item_sk
        * GROUP_BY i_item_id i_item_desc i_current_price
        * SORT i_item_id
    """,
    38: """
        * FILTER ss_sold_date_sk d_date_sk ss_customer_sk c_customer_sk d_month_seq cs_sold_date_sk cs_bill_customer_sk
        * FILTER ws_sold_date_sk ws_bill_customer_sk c_last_name c_first_name d_date
        * GROUP_BY c_last_name c_first_name d_date
    """,
    42: """
        d_year i_category_id i_category
        AGGREGATION _col_3=ss_ext_sales_price
        * FILTER d_date_sk ss_sold_date_sk ss_item_sk i_item_sk i_manager_id d_moy d_year
        * GROUP_BY d_year i_category_id i_category
        * SORT ss_ext_sales_price d_year i_category_id i_category
    """,
    44: """
        WINDOW rnk=ss_net_profit
        best_performing=i_product_name worst_performing=i_product_name
        * FILTER ss_store_sk ss_net_profit ss_addr_sk i_item_sk ss_item_sk
        * GROUP_BY ss_item_sk
        * SORT ss_net_profit
    """,
    51: """
        TRANSFORMATION item_sk=ws_item_sk,ss_item_sk d_date=d_date
        CONDITIONAL item_sk=ws_item_sk d_date=d_date
        AGGREGATION web_sales=ws_sales_price store_sales=ss_sales_price
        AGGREGATION web_cumulative=ws_sales_price store_cumulative=ss_sales_price
        WINDOW web_sales=ws_item_sk,d_date store_sales=ss_item_sk,d_date
        WINDOW web_cumulative=ws_item_sk,ss_item_sk,d_date store_cumulative=ws_item_sk,ss_item_sk,d_date
        * FILTER ws_sold_date_sk d_date_sk d_month_seq ws_item_sk ss_sold_date_sk ss_item_sk ws_sales_price ss_sales_price d_date
        * GROUP_BY ws_item_sk ss_item_sk d_date
        * JOIN ws_item_sk ss_item_sk d_date
        * SORT ws_item_sk ss_item_sk d_date
    """,
    52: """
        d_year brand_id=i_brand_id brand=i_brand
        AGGREGATION ext_price=ss_ext_sales_price
        * FILTER d_date_sk ss_sold_date_sk ss_item_sk i_item_sk i_manager_id d_moy d_year
        * GROUP_BY d_year i_brand i_brand_id
        * SORT d_year ss_ext_sales_price i_brand_id
    """,
    55: """
        brand_id=i_brand_id brand=i_brand
        AGGREGATION ext_price=ss_ext_sales_price
        * FILTER d_date_sk ss_sold_date_sk ss_item_sk i_item_sk i_manager_id d_moy d_year
        * GROUP_BY i_brand i_brand_id
        * SORT ss_ext_sales_price i_brand_id
    """,
    61: """
        AGGREGATION promotions=ss_ext_sales_price total=ss_ext_sales_price _col_2=ss_ext_sales_price
        * FILTER ss_sold_date_sk d_date_sk ss_store_sk s_store_sk ss_promo_sk p_promo_sk ss_customer_sk c_customer_sk
        * FILTER ca_address_sk c_current_addr_sk ss_item_sk i_item_sk ca_gmt_offset i_category p_channel_dmail
        * FILTER p_channel_email p_channel_tv s_gmt_offset d_year d_moy
        * SORT ss_ext_sales_price
    """,
    65: """
        s_store_name i_item_desc i_current_price i_wholesale_cost i_brand
        AGGREGATION revenue=ss_sales_price
        * FILTER ss_sold_date_sk d_date_sk d_month_seq ss_store_sk ss_sales_price s_store_sk i_item_sk ss_item_sk
        * GROUP_BY ss_store_sk ss_item_sk
        * SORT s_store_name i_item_desc
    """,
    82: """
        i_item_id i_item_desc i_current_price
        * FILTER i_current_price inv_item_sk i_item_sk d_date_sk inv_date_sk d_date i_manufact_id inv_quantity_on_hand ss_item_sk
        * GROUP_BY i_item_id i_item_desc i_current_price
        * SORT i_item_id
    """,
    84: """
        customer_id=c_customer_id
        TRANSFORMATION customername=c_last_name,c_first_name
        * FILTER ca_city c_current_addr_sk ca_address_sk ib_lower_bound ib_upper_bound ib_income_band_sk hd_income_band_sk
        * FILTER cd_demo_sk c_current_cdemo_sk hd_demo_sk c_current_hdemo_sk sr_cdemo_sk
        * SORT c_customer_id
    """,
    92: """
        AGGREGATION excess_discount_amount=ws_ext_discount_amt
        * FILTER i_manufact_id i_item_sk ws_item_sk d_date d_date_sk ws_sold_date_sk ws_ext_discount_amt
        * SORT ws_ext_discount_amt
    """,
    93: """
        ss_customer_sk
        AGGREGATION sumsales=ss_quantity,sr_return_quantity,ss_sales_price
        CONDITIONAL sumsales=sr_return_quantity
        * JOIN sr_item_sk ss_item_sk sr_ticket_number ss_ticket_number
        * FILTER sr_reason_sk r_reason_sk r_reason_desc
        * GROUP_BY ss_customer_sk
        * SORT ss_quantity sr_return_quantity ss_sales_price ss_customer_sk
    """,
    96: """
        * FILTER ss_sold_time_sk t_time_sk ss_hdemo_sk hd_demo_sk ss_store_sk s_store_sk t_hour t_minute hd_dep_count
        * FILTER s_store_name
    """,
    97: """
        CONDITIONAL store_only=ss_customer_sk,cs_bill_customer_sk catalog_only=ss_customer_sk,cs_bill_customer_sk
        CONDITIONAL store_and_catalog=ss_customer_sk,cs_bill_customer_sk
        * FILTER ss_sold_date_sk d_date_sk d_month_seq cs_sold_date_sk
        * GROUP_BY ss_customer_sk ss_item_sk cs_bill_customer_sk cs_item_sk
        * JOIN ss_customer_sk ss_item_sk cs_bill_customer_sk cs_item_sk
    """,
    98: """
        i_item_id i_item_desc i_category i_class i_current_price
        AGGREGATION itemrevenue=ss_ext_sales_price revenueratio=ss_ext_sales_price
        WINDOW revenueratio=i_class
        * FILTER ss_item_sk i_item_sk i_category ss_sold_date_sk d_date_sk d_date
        * GROUP_BY i_item_id i_item_desc i_category i_class i_current_price
        * SORT i_category i_class i_item_id i_item_desc ss_ext_sales_price
    """,
}


def edges(answer: str) -> set[tuple[str, str, str]]:
    """(output column or `*`, subtype, column) of one answer.

    >>> sorted(edges("a b=c,d" + chr(10) + "* FILTER e"))
    [('*', 'FILTER', 'e'), ('a', 'IDENTITY', 'a'), ('b', 'IDENTITY', 'c'), ('b', 'IDENTITY', 'd')]
    """
    found = set()
    for line in filter(None, map(str.strip, answer.splitlines())):
        first, *rest = line.split()
        if first == "*":
            found |= {("*", rest[0], column) for column in rest[1:]}
            continue
        subtype, items = (first, rest) if first.isupper() else ("IDENTITY", [first, *rest])
        for item in items:
            output, _, columns = item.partition("=")
            found |= {(output, subtype, column) for column in (columns or output).split(",")}
    return found
