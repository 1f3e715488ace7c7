-- The living session with this hash; one of a token lives and may no more than the token.
-- $1 sha256 of the cookie, $2 seconds it may idle, $3 seconds it may live
select s.id, s.actor, s.token_id, coalesce(t.scopes, s.scopes) as scopes, t.tenants, t.channels, s.created_at,
    (s.seen_at < now() - interval '1 minute') as unrecorded_use
from postroom.console_session s
left join postroom.living_token t on t.id = s.token_id
where s.hash = $1 and s.seen_at > now() - make_interval(secs => $2)
    and s.created_at > now() - make_interval(secs => $3)
    and (s.token_id is null or t.id is not null)
