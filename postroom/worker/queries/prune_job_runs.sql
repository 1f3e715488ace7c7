-- Keep the last runs of each job. $1 how many
delete from postroom.job_run r
using (
    select name, (select id from postroom.job_run where job = name order by id desc offset $1 limit 1) as upto
    from postroom.job
) last
where r.job = last.name and r.id <= last.upto
