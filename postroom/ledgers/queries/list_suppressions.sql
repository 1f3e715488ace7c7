-- Suppressions, a page at a time; a suppressed address is no tenant's own. $1 behind this address, $2 how many
select address, to_jsonb(s)::text as row from postroom.suppression s where address > $1 order by address limit $2
