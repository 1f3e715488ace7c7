-- Have a customer fetched into the mirror here, as far as this is the id of one that may be asked for. $1 customer, $2 accounts
select postroom.refresh_customer($1, account) from unnest($2::text[]) account where $1 ~ '^[A-Za-z0-9_-]{1,200}$'
