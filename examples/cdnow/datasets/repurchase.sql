-- Each customer every week, and what they bought in the 39 weeks after it.
CREATE DATASET repurchase ON customer
  AT EVERY INTERVAL '1 week' FROM '1997-01-07' TO '1998-06-30'
  HORIZON INTERVAL '39 weeks'
  SPLIT BY KEY 80, 20
  AS SELECT
    count(*)                               AS purchases_39w,
    coalesce(sum(data.dollar_value), 0)    AS dollars_39w
