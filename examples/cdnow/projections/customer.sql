-- Recency, frequency and monetary value of each customer.
CREATE PROJECTION customer ON purchases AS SELECT
  time_since_last('days')                                      AS recency,
  count(*)                                                     AS frequency,
  sum(data.dollar_value)                                       AS monetary,
  time_since_first('days')                                     AS tenure,
  sum(data.number_of_cds)                                      AS cds,
  count(*) OVER (RANGE INTERVAL '12 weeks' PRECEDING)          AS frequency_12w,
  coalesce(sum(data.dollar_value) OVER (RANGE INTERVAL '12 weeks' PRECEDING), 0) AS monetary_12w
