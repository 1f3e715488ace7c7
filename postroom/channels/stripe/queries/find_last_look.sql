-- From when on events have to be looked at: since the last look at any account, at most so long ago. $1 seconds
select min(greatest(looked_at, now() - make_interval(secs => $1))) from postroom.stripe_reconcile
