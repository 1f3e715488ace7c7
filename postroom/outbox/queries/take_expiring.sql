-- Messages whose publishers' own time is over, and forget that it would be; most have ended long ago. Not those of
-- which something is under way: it may be put back. They are looked up one by one, whatever PostgreSQL believes of the
-- deliveries: it would read all of them. $1 at most
delete from postroom.expiring e
where e.ctid = any (array(
    select p.ctid from postroom.expiring p
    where p.expires_at <= now() and 0 = (
        select count(*) from postroom.delivery d where d.message_id = p.message_id and d.worker is not null)
    order by p.expires_at limit $1 for update of p skip locked))
returning e.message_id
