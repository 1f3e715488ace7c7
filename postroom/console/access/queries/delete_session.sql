-- Sign out. $1 sha256 of the cookie
delete from postroom.console_session where hash = $1
