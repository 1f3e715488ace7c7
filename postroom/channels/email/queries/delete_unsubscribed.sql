-- Mail of this category may go there again. $1 address in lower case, $2 tenant, $3 category. Whether there was such a wish.
with gone as (
    delete from postroom.unsubscribed where address = $1 and tenant = $2 and category = $3
    returning 1
)
select exists (select from gone)
