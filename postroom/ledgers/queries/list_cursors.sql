-- How far Stripe's list of events was compared, as JSON, and the accounts in whose mirror this customer is. $1 tenant
select
    (select coalesce(jsonb_agg(jsonb_build_object('account', r.account, 'live', r.live, 'began_at', r.began_at, 'cursor_at', r.cursor_at)), '[]')
        from postroom.stripe_reconcile r where r.cursor_at is not null)::text as cursors,
    array(select o.account from postroom.stripe_object o where o.object_id = $1 and o.type = 'customer' and not o.deleted) as accounts
