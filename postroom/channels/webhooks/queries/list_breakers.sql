-- Breakers of this name that have ever opened. $1 names
select name, state, forced, reason, retry_at from postroom.circuit where name = any ($1::text[])
