-- Every outcome counter, summed over its shards.
select name, label, sum(value)::bigint as value from postroom.tally group by name, label
