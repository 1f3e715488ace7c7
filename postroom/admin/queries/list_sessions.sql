-- Sessions of the console that are not over, newest first. $1 seconds one may idle, $2 seconds one may live, $3 limit
select s.id, s.actor, s.token_id, coalesce(t.scopes, s.scopes) as scopes, s.created_at, s.seen_at
from postroom.console_session s
left join postroom.living_token t on t.id = s.token_id
where s.seen_at > now() - make_interval(secs => $1) and s.created_at > now() - make_interval(secs => $2)
    and (s.token_id is null or t.id is not null)
order by s.created_at desc, s.id limit $3
