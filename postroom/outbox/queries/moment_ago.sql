-- A moment so many seconds ago, by the clock that due deliveries are compared with. In epoch seconds. $1 seconds
select date_part('epoch', now()) - $1::float8
