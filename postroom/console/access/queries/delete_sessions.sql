-- Sign out everywhere. $1 actor
delete from postroom.console_session where actor = $1
