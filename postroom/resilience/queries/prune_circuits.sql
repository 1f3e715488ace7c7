-- Forget breakers of single destinations that have been closed for a day, or might have been tried for a day and were
-- not: nothing is left that is due there, and an alert for nobody would go on.
delete from postroom.circuit
where not forced and name not in ('stripe', 'email')
    and (state = 'closed' and changed_at < now() - interval '1 day' or state <> 'closed' and retry_at < now() - interval '1 day')
