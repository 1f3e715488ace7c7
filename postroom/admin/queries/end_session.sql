-- End a session of the console. $1 id
delete from postroom.console_session where id = $1 returning actor
