-- Partitions of the attempt log for the days to come. $1 days ahead
select postroom.make_attempt_partitions($1)
