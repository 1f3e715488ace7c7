-- The logins of the API and the runner, each a member of its role and of no other. May be run again, also with new passwords.
-- `postroom migrate --roles` has made the roles; what they may do is in docs/reference/database-roles.md.
\set ON_ERROR_STOP on
\getenv api_password API_DATABASE_PASSWORD
\getenv runner_password RUNNER_DATABASE_PASSWORD
select format('create role %I login', name) from unnest(array['api', 'runner']) name
where not exists (select from pg_roles where rolname = name) \gexec
alter role api password :'api_password';
alter role runner password :'runner_password';
select format('grant %I to %I', 'postroom_' || name || '_' || current_database(), name)
from unnest(array['api', 'runner']) name \gexec
-- So that they see transactions that others hold open.
grant pg_read_all_stats to api, runner;
