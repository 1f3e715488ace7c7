-- Who changed what. $1 actor, $2 action, $3 subject, $4 detail as JSON text, $5 request id or null, $6 token or null
insert into postroom.audit (actor, action, subject, detail, request_id, token_id)
values ($1, $2, $3, $4::text::jsonb, $5, $6)
