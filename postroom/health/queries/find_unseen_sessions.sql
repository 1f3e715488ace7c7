-- This login, where PostgreSQL hides from it what sessions of other roles do.
select session_user::text where not pg_has_role('pg_read_all_stats', 'usage')
