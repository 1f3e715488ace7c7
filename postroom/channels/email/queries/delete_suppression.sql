-- Mail may go to this address again. $1 address in lower case. Returns the reason that it had.
delete from postroom.suppression where address = $1 returning reason
