-- As whom a worker signs in, so that one that may do too much is told. Without a default first: that rewrites nothing.
-- May be run again.
alter table postroom.worker add column if not exists database_role text;
alter table postroom.worker alter column database_role set default session_user;
