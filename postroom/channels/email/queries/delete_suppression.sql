-- Mail may go to this address again. $1 address in lower case
delete from postroom.suppression where address = $1 returning address
