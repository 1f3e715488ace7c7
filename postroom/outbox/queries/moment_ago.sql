-- A moment so many seconds ago, by the clock that due deliveries are compared with. $1 seconds
select now() - make_interval(secs => $1)
