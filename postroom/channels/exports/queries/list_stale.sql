-- Folders whose manifest lacks a change, in no order: those that a storage never takes hold up no others. Whoever made it
-- has had $1 seconds to write it.
-- $1 seconds, $2 most folders
select folder from postroom.export_partition
where written < version and changed_at <= now() - make_interval(secs => $1)
order by random() limit $2
