-- A version of a template. $1 hash
select name, files::text as files, first_used_at from postroom.email_template where hash = $1
