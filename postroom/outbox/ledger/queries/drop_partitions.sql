-- Drop what is older than it must be of the attempt log. $1 days
select postroom.drop_attempt_partitions($1)
