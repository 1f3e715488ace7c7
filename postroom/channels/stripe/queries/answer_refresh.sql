-- Answer a request; one that came meanwhile stays due. $1 account, $2 customer, $3 `asked_at` as it was taken, $4 code and
-- $5 text of what went wrong, or nulls
update postroom.stripe_refresh
set answered = $3, answered_at = now(), code = $4, fault = $5, due_at = case when asked_at > $3 then now() end
where account = $1 and customer = $2
