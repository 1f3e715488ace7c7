-- The deployment's own secret is a batch of one; nothing before its first use and behind it. $1 false at first, $2 batch
select only_one from postroom.signing_secret where only_one > $1 limit $2
