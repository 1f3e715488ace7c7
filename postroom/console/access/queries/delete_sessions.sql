-- Sign out everywhere. $1 actor, $2 token or null: names of tokens are not unique
delete from postroom.console_session where actor = $1 and token_id is not distinct from $2
