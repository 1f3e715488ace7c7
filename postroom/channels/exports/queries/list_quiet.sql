-- Folders to look at for small files: quiet since $1 seconds, and others once a day.
-- $1 seconds, $2 most folders
select folder from postroom.export_partition
where compacted_at < changed_at
    and (changed_at <= now() - make_interval(secs => $1) or compacted_at <= now() - interval '1 day')
order by changed_at limit $2
