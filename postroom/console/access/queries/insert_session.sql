-- $1 sha256 of the cookie, $2 actor, $3 token or null, $4 scopes (empty with a token)
insert into postroom.console_session (hash, actor, token_id, scopes) values ($1, $2, $3, $4)
