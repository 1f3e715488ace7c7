-- Forget minutes that no chart shows. $1 days
delete from postroom.flow where minute < now() - make_interval(days => $1)
