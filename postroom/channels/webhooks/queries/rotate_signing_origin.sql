-- The next secret of an origin. $1 origin, $2 seconds for which the present one stays valid.
insert into postroom.signing_origin as o (origin, generation, previous_until)
values ($1, 1, now() + make_interval(secs => $2))
on conflict (origin) do update set generation = o.generation + 1, previous_until = excluded.previous_until
