-- Keep a version of a template, or note that it is still used. $1 hash, $2 name of the template, $3 its files as JSON text
insert into postroom.email_template as t (hash, name, files) values ($1, $2, $3::text::jsonb)
on conflict (hash) do update set last_used_at = now() where t.last_used_at < now() - interval '12 hours'
