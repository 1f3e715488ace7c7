-- What somebody needs to know who wants to send a message again; who else wants it waits. $1 message id
select channel, created_at, pg_column_size(payload) <= 8 as emptied
from postroom.message where id = $1 for no key update
