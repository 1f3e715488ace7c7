-- Forget breakers of single destinations that have been closed for a day.
delete from postroom.circuit
where state = 'closed' and not forced and name not in ('stripe', 'email') and changed_at < now() - interval '1 day'
