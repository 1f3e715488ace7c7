-- Messages whose publishers' own time is over, and forget that it would be; most have ended long ago. $1 at most
delete from postroom.expiring e
where e.ctid = any (array(
    select p.ctid from postroom.expiring p where p.expires_at <= now()
    order by p.expires_at limit $1 for update skip locked))
returning e.message_id
