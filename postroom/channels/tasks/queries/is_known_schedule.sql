-- Whether some runner's code declares this schedule, or once did. $1 its name
select exists (select from postroom.schedule where name = $1)
