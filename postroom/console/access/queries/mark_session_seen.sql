-- The session slides on. $1 sha256 of the cookie
update postroom.console_session set seen_at = now() where hash = $1
