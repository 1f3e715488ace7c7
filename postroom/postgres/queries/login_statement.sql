-- The statement that makes the login of a role of this database, or gives it another password. With the login's name.
-- Who holds a transaction for long is seen in the sessions of other roles, too.
-- $1 which role: api, runner, reader or owner, $2 the password
with role as (
    select suffix, 'postroom_login_' || $1::text || '_' || suffix as login, format('postroom_%s_%s', $1, suffix) as of_whom
    from (select case when octet_length(current_database()) <= 44
        then current_database() else md5(current_database()) end as suffix) s
)
select login, case when exists (select from pg_roles where rolname = login)
    then format('alter role %I login password %L', login, $2::text)
    else format('create role %I login password %L in role %I, pg_read_all_stats', login, $2::text, of_whom) end as statement
from role
