-- Folders whose manifest lacks a change. Whoever made it has had $1 seconds to write it.
-- $1 seconds, $2 most folders
select folder from postroom.export_partition
where written < version and changed_at <= now() - make_interval(secs => $1)
order by changed_at limit $2
