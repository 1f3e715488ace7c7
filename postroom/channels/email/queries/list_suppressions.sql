-- Suppressed addresses in order. $1 only those above this one, or null; $2 limit
select address, reason, created_at from postroom.suppression
where $1::text is null or address > $1
order by address limit $2
