-- Once, as whoever owns the schema: `shop` is what your application signs in as.
grant usage on schema stripe to shop;
grant select on stripe.customer_access, stripe.customer_refresh to shop;
